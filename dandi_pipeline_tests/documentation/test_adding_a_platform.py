"""docs/adding-a-platform.md adds a platform that works: its files are written into a copy of the project, and run."""

import importlib.util
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dandi_pipeline_tests.documentation.markdown import CHECKOUT, Document

PAGE = Document(CHECKOUT / "docs" / "adding-a-platform.md")

NAMED = re.compile(r"^`([\w/.]+\.py)`:\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A file of the page: its path, and what stands in it."""

FILES = dict(NAMED.findall(PAGE.text))
(SOURCES,) = [block.text for block in PAGE.blocks if block.language == "yaml"]
QUERIES = [line for block in PAGE.blocks if block.language == "sql" for line in block.text.splitlines()]
SYNC, INSPECT = [command for command in PAGE.commands if command.startswith("dandi-pipeline")]
CONFORMANCE = "make test ARGS='dandi_pipeline_tests/conformance -k recordings'"
SIMULATOR = "dandi_pipeline_tests/simulators/recordings.py"
PLATFORM = "dandi_pipeline/platforms/recordings/platform.py"


@dataclass(frozen=True)
class Project:
    """A copy of the project with the page's files in it, and a folder for a user."""

    path: Path

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.path,
            env={"PATH": os.environ["PATH"], "HOME": str(self.path), "LANG": "C.UTF-8", "PYTHONPATH": str(self.path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        path = self.path / ".dagster_home" / "mirror.sqlite"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()

    def changes(self) -> list[tuple[str, str, str]]:
        """Return partition, key and kind of every change, in order."""
        return [(row[1], row[2], row[3]) for row in self.ask(QUERIES[1])]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for package in ("dandi_pipeline", "dandi_pipeline_tests"):
        shutil.copytree(CHECKOUT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    return Project(tmp_path)


@pytest.fixture
def library(project: Project) -> Iterator[Any]:
    """Serve the page's simulator with two collections."""
    spec = importlib.util.spec_from_file_location("recordings", project.path / SIMULATOR)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.SimulatedLibrary() as library:
        library.put("birds", "b1", title="Robin", species="Erithacus rubecula", seconds=12.5, recorded_at="2026-01-01")
        library.put("birds", "b2", title="Wren", species="Troglodytes", seconds=31, recorded_at="2026-01-02T03:04:05Z")
        library.put("frogs", "f1", title="Tree frog", seconds=4)
        (project.path / "sources.yaml").write_text(
            SOURCES.replace("https://recordings.example/api", library.api_url), encoding="utf-8"
        )
        yield library


def sync(project: Project) -> None:
    project.run(*_module(SYNC), "--no-progress")


def _module(command: str) -> list[str]:
    """Return a command of the page as `python -m` takes it: the installed one is not the copy's."""
    return command.replace("dandi-pipeline", "dandi_pipeline", 1).split()


def test_the_page_adds_a_platform_that_follows_every_change(project: Project, library: Any) -> None:
    sync(project)
    assert project.ask(QUERIES[0]) == [("Wren", "Troglodytes", 31.0), ("Robin", "Erithacus rubecula", 12.5)]
    assert project.ask("SELECT recorded_at FROM library_birds ORDER BY item_id") == [
        (None,),
        ("2026-01-02T03:04:05.000000Z",),
    ]
    assert len(project.changes()) == 3
    library.requests = 0
    sync(project)
    assert library.requests == 1
    assert len(project.changes()) == 3
    library.put("birds", "b1", seconds=13)
    library.put("birds", "b3", title="Owl", seconds=60)
    library.remove("birds", "b2")
    sync(project)
    assert sorted(project.changes()[3:]) == [
        ("birds", "b1", "update"),
        ("birds", "b2", "delete"),
        ("birds", "b3", "insert"),
    ]
    assert [row[0] for row in project.ask(QUERIES[0])] == ["Owl", "Robin"]
    del library.collections["frogs"]
    sync(project)
    assert project.changes()[6:] == [("frogs", "f1", "delete")]
    assert project.ask("SELECT name FROM sqlite_master WHERE name = 'library_frogs'") == []
    assert "fresh" in project.run(*_module(INSPECT)).stdout


def test_the_page_adds_a_platform_that_keeps_every_promise(project: Project) -> None:
    assert CONFORMANCE in PAGE.commands
    done = project.run("pytest", "-q", "-p", "no:cacheprovider", "dandi_pipeline_tests/conformance", "-k", "recordings")
    assert re.search(r"^[1-9]\d passed", done.stdout, re.MULTILINE), done.stdout


def test_the_page_shows_code_that_is_in_order(project: Project) -> None:
    project.run("ruff", "format", "--check", "--no-cache", *FILES)
    project.run("ruff", "check", "--no-cache", *FILES)


def test_a_platform_is_as_short_as_the_page_says() -> None:
    assert len([line for line in FILES[PLATFORM].splitlines() if line]) < 50
