"""A user's shell in an empty folder, and a small archive to sync from."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dandi_pipeline_tests.cli.forked import run_forked
from dandi_pipeline_tests.prepared import place_home
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world

CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Finished:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def summary(self) -> dict[str, str]:
        """The summary's lines as names and values."""
        return dict(line.split(": ", 1) for line in self.out.splitlines() if ": " in line)


@dataclass(frozen=True)
class Shell:
    """Runs the real command in `folder`, against the archive at `api_url`, with nothing else in its environment."""

    folder: Path
    api_url: str

    def environment(self, **changes: str) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        return {
            **inherited,
            "HOME": str(self.folder),
            "PYTHONPATH": str(CHECKOUT),
            "DANDI_API_URL": self.api_url,
            **changes,
        }

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "dandi_pipeline", *arguments]

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str, **environment: str) -> Finished:
        return Finished(*run_forked(arguments, self.folder, self.environment(**environment)))


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if happened():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen within a minute")


@pytest.fixture
def archive() -> Iterator[SimulatedArchive]:
    with SimulatedArchive(generated_world(dandisets=5, assets=6)) as archive:
        yield archive


@pytest.fixture
def fresh_shell(tmp_path: Path, archive: SimulatedArchive) -> Shell:
    """A folder in which nothing has been done yet."""
    folder = tmp_path / "folder"
    folder.mkdir()
    return Shell(folder, archive.api_url)


@pytest.fixture
def shell(fresh_shell: Shell) -> Shell:
    """A folder with a home that nobody has used yet."""
    place_home(fresh_shell.folder / ".dagster_home")
    return fresh_shell
