"""`dandi-pipeline sync` as its users meet it: options, what goes where, exit codes."""

import fcntl
import os
import pty
import re
import signal
import sqlite3
import struct
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest

from dandi_pipeline.cli.main import main
from dandi_pipeline.http import HttpClient
from dandi_pipeline_tests.cli.conftest import Finished, Shell, wait_for
from dandi_pipeline_tests.simulators.dandi import OWNER_TOKEN, SimulatedArchive

RULE = "=" * 50


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def draft_assets(shell: Shell) -> list[tuple[str, str]]:
    with sqlite3.connect(shell.folder / ".dagster_home" / "mirror.sqlite") as database:
        rows = database.execute("SELECT dandiset_id, path FROM draft_assets ORDER BY 1, 2").fetchall()
    database.close()
    return rows


def steps(finished: Finished) -> list[str]:
    return finished.err.splitlines()


def test_a_first_sync_copies_everything_and_a_second_finds_nothing(shell: Shell, archive: SimulatedArchive) -> None:
    first = shell.run("sync")
    assert first.code == 0, first.err
    assert first.out.splitlines()[:4] == ["", RULE, "SYNC SUMMARY", RULE]
    assert first.out.splitlines()[-1] == "Sync completed successfully"
    assert first.summary["Dandisets added"] == str(len(archive.world.snapshot())) == "4"
    assert first.summary["Assets added"] == first.summary["Assets checked"] == str(len(draft_assets(shell)))
    assert steps(first)[:3] == [
        "Initializing DANDI client...",
        "Last sync: never",
        "Fetching dandisets from DANDI API...",
    ]
    assert "Found 4 dandisets to update" in steps(first)
    assert any(re.match(r"Updating assets for DANDI:000001: \d+ checked, \d+ changed$", line) for line in steps(first))

    second = shell.run("sync")
    assert second.code == 0
    assert second.summary["Dandisets checked"] == "4"
    assert [second.summary[name] for name in ("Dandisets updated", "Dandisets added", "Assets checked")] == ["0"] * 3
    assert second.summary["Requests"] == "1"
    assert "Found 0 dandisets to update" in steps(second)
    assert re.search(r"^Last sync: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00$", second.err, re.MULTILINE)


def test_one_failed_dandiset_is_named_and_the_rest_is_committed(shell: Shell, archive: SimulatedArchive) -> None:
    archive.faults.add("without_field", name="modified", kind="assets_full", path="000002")
    told = shell.run("sync", "--json")
    assert told.code == 1
    report = told.json  # all of standard output, that is
    assert set(report) == {
        "run_id",
        "scope",
        "whole",
        "duration_seconds",
        "partition_noun",
        "record_noun",
        "dandisets",
        "assets",
        "requests",
        "bytes_received",
        "counters",
        "traffic",
        "failures",
        "errors",
    }
    assert set(report["dandisets"]) == {"checked", "updated", "added", "deleted", "failed"}
    assert set(report["assets"]) == {"checked", "updated", "added", "deleted", "unchanged"}
    assert (report["dandisets"]["added"], report["dandisets"]["failed"], len(report["errors"])) == (3, 1, 1)
    assert (report["errors"][0]["partition"], report["errors"][0]["group"]) == ("000002", "contract")
    assert report["run_id"]
    assert {dandiset for dandiset, _ in draft_assets(shell)} == {"000001", "000003", "000004"}

    again = shell.run("sync")
    assert (again.code, again.summary["Errors"]) == (1, "1")
    assert "Found 1 dandiset to update" in steps(again)
    closing = again.out.splitlines()[-2:]
    assert closing[0] == "Sync completed with 1 error:"
    assert closing[1].startswith("  000002 (contract): ")
    assert "Traceback" not in told.err + again.err


def test_a_dry_run_writes_nothing_and_says_what_would_change(fresh_shell: Shell, archive: SimulatedArchive) -> None:
    first = fresh_shell.run("sync", "--dry-run")
    assert (first.code, contents(fresh_shell.folder)) == (0, {})
    assert first.summary["Dandisets added"] == "4"
    assert first.out.endswith("\nDry run completed successfully; nothing was written\n")

    assert fresh_shell.run("sync").code == 0
    archive.world.add_asset("000001", "sub-new/sub-new.nwb", size=5)
    archive.world.delete_dandiset("000004")
    before = contents(fresh_shell.folder)
    second = fresh_shell.run("sync", "--dry-run")
    assert second.code == 0
    assert contents(fresh_shell.folder) == before
    lines = second.out.splitlines()
    assert any(re.match(r"Would sync 000001: .*1 asset added.* \[changed\]$", line) for line in lines)
    assert any(re.match(r"Would sync 000004: .*\d+ assets? deleted", line) for line in lines)
    assert (second.summary["Dandisets deleted"], second.summary["Assets added"]) == ("1", "1")

    as_json = fresh_shell.run("sync", "--dry-run", "--json").json
    assert (as_json["run_id"], as_json["assets"]["added"], as_json["dandisets"]["deleted"]) == (None, 1, 1)


@pytest.mark.parametrize("spelling", ["3", "0003", "000003", "DANDI:000003"])
def test_a_dandiset_may_be_named_in_every_usual_way(shell: Shell, spelling: str) -> None:
    done = shell.run("sync", "--dry-run", "--dandiset-id", spelling, "--json")
    assert (done.code, done.json["scope"], done.json["dandisets"]["checked"]) == (0, "000003", 1)


def test_several_dandisets_and_no_other(shell: Shell) -> None:
    done = shell.run("sync", "--dandiset-id", "1", "--dandiset-id", "DANDI:000003", "--dandiset-id", "000001")
    assert (done.code, done.summary["Dandisets checked"]) == (0, "2")
    assert {dandiset for dandiset, _ in draft_assets(shell)} == {"000001", "000003"}


def test_since_leaves_out_what_was_modified_before(shell: Shell, archive: SimulatedArchive) -> None:
    modified = sorted(row["draft_version"]["modified"] for row in archive.world.snapshot().values())
    done = shell.run("sync", "--dry-run", "--json", "--since", modified[2])
    assert (done.code, done.json["dandisets"]["checked"], done.json["dandisets"]["added"]) == (0, 4, 2)


def test_parts_can_be_synced_one_after_the_other(shell: Shell) -> None:
    dandisets = shell.run("sync", "--dandisets-only")
    assert (dandisets.code, dandisets.summary["Assets added"], draft_assets(shell)) == (0, "0", [])
    assert dandisets.summary["Dandisets added"] == "4"
    assert "Syncing assets..." not in steps(dandisets)
    assets = shell.run("sync", "--assets-only")
    assert (assets.code, assets.summary["Assets added"]) == (0, str(len(draft_assets(shell))))
    assert draft_assets(shell)
    assert "Found 0 dandisets to update" in steps(shell.run("sync", "--dry-run"))


def test_what_max_assets_cuts_short_stays_stale_and_says_so(shell: Shell) -> None:
    told = shell.run("sync", "--dandiset-id", "1", "--max-assets", "2", "--json").json
    assert [item["partition"] for item in told["incomplete"]] == ["000001"]
    assert "--max-assets" in told["incomplete"][0]["message"]
    cut = shell.run("sync", "--dandiset-id", "1", "--max-assets", "2")
    assert cut.code == 0
    assert len(draft_assets(shell)) == 2
    assert "1 dandiset read in part, to be synced again:" in cut.out.splitlines()
    assert re.search(r"^  000001: .*--max-assets.* stale", cut.out, re.MULTILINE)
    stale = shell.run("sync", "--dandiset-id", "1", "--dry-run")
    assert re.search(r"^Would sync 000001: .*\d+ assets? added", stale.out, re.MULTILINE)


def test_a_dry_run_counts_no_more_than_max_assets_and_says_what_it_would_hide(shell: Shell) -> None:
    dry = shell.run("sync", "--dry-run", "--dandiset-id", "1", "--max-assets", "2")
    assert re.search(r"^Would sync 000001: 2 assets added \(incomplete\); cut short at 2 ", dry.out, re.MULTILINE)
    assert dry.summary["Assets added"] == "2"
    # The fifth is embargoed; who loses the key loses sight of it.
    assert shell.run("sync", DANDI_API_KEY=OWNER_TOKEN).summary["Dandisets added"] == "5"
    hidden = shell.run("sync", "--dry-run")
    assert re.search(
        r"^Would hide 000005: \d+ records kept, marked as hidden, and not refreshed any more \[no longer listed\]$",
        hidden.out,
        re.MULTILINE,
    )
    assert shell.run("sync").code == 0
    assert "Would leave 000005: still hidden" in shell.run("sync", "--dry-run").out


def test_force_full_sync_reads_what_looks_unchanged(shell: Shell) -> None:
    shell.run("sync", "--dandiset-id", "1")
    done = shell.run("sync", "--dandiset-id", "1", "--force-full-sync")
    assert (done.code, done.summary["Assets unchanged"]) == (0, str(len(draft_assets(shell))))
    assert done.summary["Assets updated"] == "0"


def test_much_is_deleted_only_when_it_is_allowed(shell: Shell, archive: SimulatedArchive) -> None:
    assert shell.run("sync").code == 0
    archive.world.dandisets.clear()
    refused = shell.run("sync", "--dry-run")
    assert refused.code == 2
    assert "--allow-mass-deletion" in steps(refused)[-1]
    allowed = shell.run("sync", "--allow-mass-deletion")
    assert (allowed.code, allowed.summary["Dandisets deleted"], draft_assets(shell)) == (0, "4", [])


def test_verbose_shows_each_dandiset_and_why_on_standard_error(shell: Shell) -> None:
    done = shell.run("sync", "--verbose")
    assert done.code == 0
    assert re.search(r"000001: .*\d+ assets? added", done.err)
    assert done.out.splitlines()[2] == "SYNC SUMMARY"


def on_a_terminal(shell: Shell, *arguments: str, columns: int = 120) -> str:
    """Return what a command writes when standard output and standard error are a terminal."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40 if columns else 0, columns, 0, 0))
    with subprocess.Popen(
        shell.command(*arguments),
        cwd=shell.folder,
        env=shell.environment(TERM="xterm"),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        written = b""
        while chunk := _read(controller):
            written += chunk
        assert process.wait(timeout=60) == 0, written.decode()
    os.close(controller)
    return written.decode()


def _read(controller: int) -> bytes:
    try:
        return os.read(controller, 65536)
    except OSError:  # Linux says so when the last writer has gone.
        return b""


@pytest.mark.parametrize("columns", [120, 0])
def test_a_terminal_shows_bars_at_four_levels(shell: Shell, columns: int) -> None:
    shown = on_a_terminal(shell, "sync", columns=columns)
    for level in (
        r"Checking dandisets for updates: 100%\|.*\| 4/4 \[.*dandiset/s\]",
        r"Updating dandisets: 100%\|.*\| 4/4 \[\d\d:\d\d<\d\d:\d\d",
        r"Checking assets for DANDI:00000\d:",
        r"Updating assets for DANDI:00000\d:",
    ):
        assert re.search(level, shown), level
    assert "SYNC SUMMARY" in shown


def test_no_progress_means_no_bars_on_a_terminal_either(shell: Shell) -> None:
    shown = on_a_terminal(shell, "sync", "--no-progress")
    assert "\x1b" not in shown
    assert "|" not in shown
    assert "Updating dandisets: 100% 4/4" in shown


def test_a_narrow_terminal_gets_blocks_in_place_of_a_wide_table(shell: Shell) -> None:
    assert on_a_terminal(shell, "list", columns=80).startswith("SOURCE  PLATFORM  ")
    narrow = on_a_terminal(shell, "list", columns=40)
    assert narrow.splitlines()[:2] == ["dandi", "  PLATFORM     dandi"]


def test_names_from_outside_cannot_steer_the_terminal(shell: Shell, archive: SimulatedArchive) -> None:
    archive.world.add_asset("000001", "sub-\x1b[2J\x07/\u202eevil.nwb", size=5)
    archive.faults.add("with_value", name="modified", value="\x1b[2J\x07\u202e", kind="assets_full", path="000001")
    done = shell.run("sync", "--verbose")
    assert done.code == 1
    assert not set("\x1b\x07\u202e") & set(done.out + done.err)


def test_ctrl_c_keeps_what_is_committed_and_ends_in_one_line(shell: Shell, archive: SimulatedArchive) -> None:
    archive.faults.add("slow_start", seconds=60.0, kind="assets_full", path="000001")
    with shell.start("sync") as process:
        wait_for(lambda: shell_has(shell, "000003"))
        process.send_signal(signal.SIGINT)
        archive.stopping.set()  # the answer comes after all
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    lines = err.decode().splitlines()
    assert lines[-1].startswith("Error: interrupted; ")
    assert "Traceback" not in err.decode()
    archive.faults.clear()
    assert "Found 1 dandiset to update" in steps(shell.run("sync", "--dry-run"))


def shell_has(shell: Shell, dandiset: str) -> bool:
    try:
        return any(found == dandiset for found, _ in draft_assets(shell))
    except sqlite3.OperationalError:
        return False


def test_one_sync_makes_one_client_for_the_archive_and_one_for_its_bucket(
    shell: Shell, archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else must be known of a platform it says by a value. The command runs here, so that clients count."""
    monkeypatch.chdir(shell.folder)
    for name, value in shell.environment(DANDI_MANIFEST_URL=archive.bucket_url).items():
        monkeypatch.setenv(name, value)
    made: list[str] = []
    make = HttpClient.__init__

    def counted(self: HttpClient, base_url: str, **options: Any) -> None:
        made.append(base_url)
        make(self, base_url, **options)

    monkeypatch.setattr(HttpClient, "__init__", counted)
    assert main(["sync", "--dandiset-id", "1"]) == 0
    assert made == [archive.api_url, archive.bucket_url]
