"""docs/commands.md says what the commands really take and write, and gives every habit of old its counterpart."""

import re
import subprocess
import sys

import click
import pytest

from dandi_pipeline.cli.commands import commands
from dandi_pipeline_tests.cli.conftest import CHECKOUT, Shell
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive

DOCUMENT = CHECKOUT / "docs" / "commands.md"

OPTIONS_OF_THE_COMMAND_SUCCEEDED = [
    "--dry-run",
    "--force-full-sync",
    "--dandiset-id",
    "--since",
    "--dandisets-only",
    "--assets-only",
    "--verbose",
    "--no-progress",
    "--max-assets",
]

LINES_OF_THE_COMMAND_SUCCEEDED = [
    "Initializing DANDI client...",
    "Last sync: 2024-06-14 15:30:45+00:00",
    "Fetching dandisets from DANDI API...",
    "Checking dandisets for updates: 100%",
    "Found 12 dandisets to update",
    "Updating dandisets: 100%",
    "Syncing assets...",
    "Processing dandisets for asset updates: 100%",
    "Checking assets for DANDI:000XXX",
    "Updating assets for DANDI:000XXX",
    "SYNC SUMMARY",
    "Duration: 1125.50 seconds",
    "Dandisets checked: 500",
    "Dandisets updated: 12",
    "Assets checked: 45670",
    "Assets updated: 1203",
    "Errors: 0",
    "Sync completed successfully",
]


def rows(heading: str) -> dict[str, str]:
    """Return the tables under a heading: each row's first cell, and the second."""
    section = DOCUMENT.read_text(encoding="utf-8").split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    cells = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return {first.strip(): second.strip() for first, second, *_ in cells if not set(first) <= set("- ")}


@pytest.mark.parametrize("name", sorted(commands.commands))
def test_every_option_is_documented_and_every_documented_one_exists(name: str) -> None:
    command = commands.commands[name]
    shown = [each for each in command.get_params(click.Context(command)) if not getattr(each, "hidden", False)]
    taken = {option for parameter in shown for option in parameter.opts}
    documented = {
        match[0] for first in rows(f"`dandi-pipeline {name}`") if (match := re.search(r"(?<=`)--[a-z-]+", first))
    }
    assert documented == {option for option in taken if option.startswith("--")}


def test_every_option_of_the_command_succeeded_is_still_taken_and_mapped() -> None:
    command = commands.commands["sync"]
    taken = {option for parameter in command.params for option in parameter.opts}
    mapped = rows("Coming from `sync_dandi_incremental`")
    for option in OPTIONS_OF_THE_COMMAND_SUCCEEDED:
        assert option in taken
        assert [second for first, second in mapped.items() if first.startswith(f"`{option}") and option in second]


def test_every_line_of_the_command_succeeded_has_its_counterpart_in_real_output(
    shell: Shell, archive: SimulatedArchive
) -> None:
    mapped = rows("Coming from `sync_dandi_incremental`")
    shell.run("sync", "--no-progress")
    for dandiset in ("000001", "000002"):
        archive.world.add_asset(dandiset, "sub-new/sub-new.nwb", size=5)
    done = shell.run("sync", "--no-progress")
    written = (done.err + done.out).splitlines()
    for line in LINES_OF_THE_COMMAND_SUCCEEDED:
        here = re.match(r"`([^`]+)`", mapped[f"`{line}`"])
        assert here is not None, line
        if line.startswith("Checking assets for"):
            continue  # a bar of its own only on a terminal, where another test sees it
        assert any(re.match(_shape(here[1]), found) for found in written), f"{here[1]!r} in {written}"


def _shape(line: str) -> str:
    """Return a pattern for a line whose numbers and dandiset may be others."""
    return re.sub(r"\d+|000XXX", r"\\d+", re.escape(line).replace("000XXX", "0"))


def test_the_exit_codes_in_the_document_are_those_of_the_command(shell: Shell) -> None:
    codes = set(rows("`dandi-pipeline sync`")) & {"0", "1", "2", "3", "130", "141"}
    assert codes == {"0", "1", "2", "3", "130"}


def test_help_comes_at_once_and_loads_none_of_what_only_a_sync_needs(shell: Shell) -> None:
    for arguments in (["--help"], *([name, "--help"] for name in commands.commands)):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "dandi_pipeline", *arguments],
            cwd=shell.folder,
            env=shell.environment(),
            capture_output=True,
            text=True,
            timeout=30,
        )
        loaded = {line.rsplit("|", 1)[-1].strip().partition(".")[0] for line in done.stderr.splitlines()}
        assert done.returncode == 0
        assert "click" in loaded
        assert not loaded & {"dagster", "pandas", "sqlalchemy", "requests", "tqdm", "pydantic", "orjson"}
