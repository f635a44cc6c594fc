"""Every command that a document shows can be run as it stands."""

import os
import re
import signal
from pathlib import Path

import pytest
import requests

from dandi_pipeline_tests.documentation.conftest import Folder
from dandi_pipeline_tests.documentation.markdown import documents
from dandi_pipeline_tests.orchestration.served import free_port, wait_for

COMMANDS = sorted({command for document in documents() for command in document.commands})

CHECKS = ("make test", "make check", "make browser")
"""What would run these tests within themselves: make is asked what it would do."""

AFTER_A_SYNC = ("verify", "query", "export")
"""What fails before anything was synced."""

ELSEWHERE = ("dg ", "make ui", "make demo", "dandi-pipeline sync library", "dandi-pipeline inspect library")
"""What has a test of its own."""


def test_the_documents_show_commands() -> None:
    assert {"make demo", "make sync", "make ui", "make test"} <= set(COMMANDS)


@pytest.mark.parametrize("command", [line for line in COMMANDS if not line.startswith((*CHECKS, *ELSEWHERE))])
def test_a_command_shown_succeeds(folder: Folder, command: str) -> None:
    if set(AFTER_A_SYNC) & set(command.split()):
        folder.run("dandi-pipeline sync")
    done = folder.run(command)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith(CHECKS)])
def test_a_check_shown_is_one_that_make_knows(folder: Folder, command: str) -> None:
    done = folder.run(f"{command} --dry-run")
    assert done.returncode == 0, done.stderr
    assert "/bin/" in done.stdout


def test_the_demonstration_shows_two_syncs_and_what_changed_between_them(demonstrated: Path) -> None:
    shown = (demonstrated / "demonstration.txt").read_text(encoding="utf-8")
    assert shown.count("Sync completed successfully") == 2
    assert re.search(r"000001 +asset +sub-new/sub-new_ecephys.nwb +insert", shown)


def test_the_demonstration_of_all_platforms_syncs_what_is_due_and_shows_what_changed_on_each(
    demonstrated_all: Path,
) -> None:
    shown = (demonstrated_all / "demonstration.txt").read_text(encoding="utf-8")
    first, due, feed = _steps(shown, 3, 6, 7)
    assert "Sources synced: 5" in first
    assert "Sources synced: 3" in due
    assert re.search(r"^notes +notion +no ", due, re.MULTILINE)
    assert set(re.findall(r"^\d+ +(\w+)", feed, re.MULTILINE)) == {"dandi", "planning", "notebook"}
    assert "Electrode array, second try" in feed
    assert shown.rstrip().endswith("Healthy")


def _steps(shown: str, *numbers: int) -> list[str]:
    """Return what was shown under the headings with these numbers."""
    return [shown.split(f"\n{number}. ", 1)[1].split(f"\n{number + 1}. ", 1)[0] for number in numbers]


def test_the_ui_is_served_once_a_home_below_its_prefix_and_ends_by_sigterm(folder: Folder) -> None:
    """As a script begins it by `&`: with SIGINT ignored, which Dagster would take for SIGTERM's effect as well."""
    port = free_port()
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = folder.start(f"make ui ARGS='--port {port} --path-prefix /mirror/'")
    finally:
        signal.signal(signal.SIGINT, previous)
    try:
        assert wait_for(lambda: _title(port, "/mirror/"), seconds=240)
        second = folder.run("dandi-pipeline ui")
        assert second.returncode == 2
        there = re.search(rf"already served at http://127.0.0.1:{port}/mirror \(process (\d+)\)", second.stderr)
        assert there is not None, second.stderr
        os.kill(int(there[1]), signal.SIGTERM)
        process.wait(timeout=60)
        assert not _title(port, "/mirror/")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=60)


def _title(port: int, path: str) -> bool:
    try:
        return "Dagster" in requests.get(f"http://127.0.0.1:{port}{path}", timeout=5).text
    except requests.RequestException:
        return False
