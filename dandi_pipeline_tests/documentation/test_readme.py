"""What the README says of options, tables, queries and messages is what the project does."""

import re
import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest

from dandi_pipeline.catalogue import FACET_SCHEMA
from dandi_pipeline.cli.commands import commands
from dandi_pipeline.mirror.schema import METADATA
from dandi_pipeline_tests.documentation.conftest import Folder
from dandi_pipeline_tests.documentation.markdown import CHECKOUT, Document
from dandi_pipeline_tests.simulators.airtable import SimulatedAirtable
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world
from dandi_pipeline_tests.simulators.notion import SimulatedNotion

README = Document(CHECKOUT / "README.md")
BLOCKS = README.blocks
QUERIES = [
    (query.text, answer.text)
    for query, answer in pairwise(BLOCKS)
    if (query.language, answer.language) == ("sql", "text")
]
OF_ALL_PLATFORMS = README.section("Several sources, several platforms")
KEYLESS = """\
sources:
  - platform: notion
    settings: {{api_url: "{notion}", databases: [0f1a2b3c4d5e6f708192a3b4c5d6e7f8]}}
  - platform: airtable
    settings: {{api_url: "{airtable}", bases: [{{base: appLabNotebook001}}]}}
"""
MESSAGES = README.first_cells("When something goes wrong")


def test_every_option_of_sync_is_in_the_table_and_no_other() -> None:
    command = commands.commands["sync"]
    # What is hidden is for the processes of a sync of several sources, not for people.
    offered = [item for item in command.get_params(click.Context(command)) if not getattr(item, "hidden", False)]
    taken = {option for parameter in offered for option in parameter.opts}
    told = {option for cell in README.first_cells("Options of `sync`") for option in re.findall(r"--[a-z-]+", cell)}
    assert told == {option for option in taken if option.startswith("--")}


def test_every_table_and_view_told_exists_and_can_be_asked(demonstrated: Path) -> None:
    told = {name for cell in README.first_cells("What to ask the mirror") for name in re.findall(r"`(\w+)`", cell)}
    assert {"dandisets", "versions", "draft_assets", "changes"} <= told
    for name in told:
        assert ask(demonstrated, f"SELECT count(*) FROM {name}")[1][0][0] > 0
    assert told <= {*METADATA.tables, *FACET_SCHEMA.metadata.tables, "draft_assets", "version_assets", "changes"}


@pytest.mark.parametrize(("query", "answer"), QUERIES, ids=["largest", "species", "latest", "notion"])
def test_a_query_gives_the_answer_that_the_readme_shows(
    request: pytest.FixtureRequest, query: str, answer: str
) -> None:
    names, rows = ask(
        request.getfixturevalue("demonstrated_all" if query in OF_ALL_PLATFORMS else "demonstrated"), query
    )
    lines = [re.split(r"  +", line.strip()) for line in answer.splitlines()]
    assert lines == [names, *([str(value) for value in row] for row in rows)]


def ask(demonstrated: Path, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    path = demonstrated / ".demo" / "dagster_home" / "mirror.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        cursor = connection.execute(query)
        return [column[0] for column in cursor.description], cursor.fetchall()


def test_every_message_told_is_the_one_that_is_written(folder: Folder, archive: SimulatedArchive) -> None:
    (folder.path / "notes.sqlite").write_text("These are notes. " * 100, encoding="utf-8")
    mistyped = folder.path / "mistyped" / "sources.yaml"
    mistyped.parent.mkdir()
    mistyped.write_text("sources:\n  - platform: dandi\n    evry: 15m\n", encoding="utf-8")
    (folder.path / "pyproject.toml").touch()
    sync = "dandi-pipeline sync --no-progress"
    written = [
        folder.run(sync, DANDI_API_URL="http://127.0.0.1:9/api"),
        folder.run(sync, DANDI_API_KEY="not-a-key"),
        folder.run(f"{sync} --dandiset-id 999"),
        folder.run(sync, DANDI_PIPELINE_SOURCES=str(mistyped)),
        folder.run(sync, MIRROR_DATABASE_URL="sqlite:///notes.sqlite"),
        folder.run(sync, MIRROR_DATABASE_URL="postgresql://somebody@127.0.0.1:9/mirror"),
        folder.run("make sync PYTHON=false VENV=none"),
    ]
    with SimulatedNotion() as notion, SimulatedAirtable() as airtable:
        keyless = folder.path / "keyless.yaml"
        keyless.write_text(KEYLESS.format(notion=notion.api_url, airtable=airtable.api_url), encoding="utf-8")
        written += [
            folder.run(f"{sync} {platform}", DANDI_PIPELINE_SOURCES=str(keyless)) for platform in ("notion", "airtable")
        ]
    archive.faults.add("status", status=400, path="dandisets/000002/versions/draft/assets")
    written.append(folder.run(sync))
    with SimulatedArchive(generated_world(dandisets=0)) as empty:
        written.append(folder.run(sync, DANDI_API_URL=empty.api_url))
    texts = [done.stderr + done.stdout for done in written]
    unwritten = [message for message in MESSAGES if not any(_pattern(message).search(text) for text in texts)]
    assert unwritten == []
    assert len(MESSAGES) == len(written)


def _pattern(message: str) -> re.Pattern[str]:
    """Return a pattern of a message told in code style, whose dots stand for anything."""
    return re.compile(re.escape(message.strip("`")).replace("https://…", "…").replace("…", ".*"))
