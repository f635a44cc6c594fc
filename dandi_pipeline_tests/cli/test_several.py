"""A sync of several sources: side by side, each a recorded run, reported together, the worst deciding."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dandi_pipeline_tests.cli.conftest import Finished
from dandi_pipeline_tests.cli.estate import Estate, estate


@pytest.fixture
def estate_of_five(tmp_path: Path) -> Iterator[Estate]:
    with estate(tmp_path) as opened:
        yield opened


def rows(finished: Finished) -> dict[str, list[str]]:
    """Return the cells of a table by the first."""
    lines = [re.split(r"  +", line) for line in finished.out.splitlines() if "  " in line]
    return {cells[0]: cells[1:] for cells in lines}


def test_a_plan_then_a_sync_then_nothing_is_due(estate_of_five: Estate) -> None:
    home = estate_of_five.shell.folder / ".dagster_home"
    plan = estate_of_five.run("sync", "--dry-run")
    assert plan.code == 0, plan.err
    assert rows(plan)["tasks"] == ["notion", "yes", "never synced", "1", "1", "~4", "1 s"]
    assert rows(plan)["dandi"][-1] == "no stated rate"
    assert "sandbox" not in plan.out  # disabled, and not named
    assert plan.out.endswith("\nDry run: nothing was written\n")
    assert not home.exists()

    total = estate_of_five.run("sync", "notion", "--dry-run", "--json").json["total"]
    assert (total["requests"], round(total["seconds"], 2)) == (8, 2.67)  # both wait for one connection's rate
    total = estate_of_five.run("sync", "notion", "--dry-run", "--json", "--rate-limit", "0.5").json["total"]
    assert (total["requests"], total["seconds"]) == (8, 8.0)  # each for its own
    past = estate_of_five.run("sync", "--dry-run", "--since", "2999-01-01", AIRTABLE_TOKEN="wrong")
    assert (past.code, rows(past)["tasks"][3:5], rows(past)["stock"]) == (
        2,
        ["1", "0"],
        ["airtable", "yes", "never synced"],
    )
    assert re.search(r"^stock: http.*AIRTABLE_TOKEN", past.out, re.MULTILINE)

    done = estate_of_five.run("sync", "--json", "--preset", "safe")
    assert done.code == 0, done.err
    report = done.json
    assert list(report["sources"]) == ["dandi", "tasks", "notes", "stock"]
    assert set(report["sources"]["tasks"]) >= {"run_id", "scope", "data_sources", "pages", "requests", "errors"}
    assert report["sources"]["tasks"]["pages"]["added"] == 4
    assert report["total"]["sources_synced"] == 4
    assert report["total"]["requests"] == sum(each["requests"] for each in report["sources"].values())
    assert "tasks: Found 1 data source to update" in done.err.splitlines()

    runs = estate_of_five.run("history", "--json").json
    assert sorted(run["source"] for run in runs) == ["dandi", "notes", "stock", "tasks"]
    assert {run["run_id"] for run in runs} == {each["run_id"] for each in report["sources"].values()}

    estate_of_five.forget_requests()
    quiet = estate_of_five.run("sync", "all", "--only-due")
    assert (quiet.code, quiet.out.splitlines()[-1]) == (0, "Nothing was due")
    assert re.search(r"^notes: not due \(last looked at .* ago, every 1 d, due in 23 h\)$", quiet.err, re.MULTILINE)
    assert estate_of_five.archive.requests.total == estate_of_five.notion.requests.counts()["total"] == 0
    planned = estate_of_five.run("sync", "--dry-run", "--only-due", "--json").json
    assert [source["due"] for source in planned["sources"].values()] == [False] * 4


def test_one_platform_in_trouble_leaves_the_others_synced_and_decides_the_exit_code(estate_of_five: Estate) -> None:
    estate_of_five.archive.faults.add("without_field", name="modified", kind="assets_full", path="000002")
    done = estate_of_five.run("sync", "all", "--app", "neuro", NOTION_TOKEN="")
    assert (done.code, done.summary["Errors"]) == (1, "1")  # a single source: as ever

    done = estate_of_five.run("sync", "--no-progress", AIRTABLE_TOKEN="wrong")
    assert done.code == 2, done.err
    lines = done.out.splitlines()
    assert re.search(r"^dandi \(dandi\): 3 dandisets checked.*; 1 error; ", done.out, re.MULTILINE)
    assert re.search(r"^tasks \(notion\): 1 data source checked, 1 added; 4 pages checked, 4 added; ", done.out, re.M)
    assert re.search(r"^stock \(airtable\): failed, exit code 2$", done.out, re.MULTILINE)
    assert lines[-3] == "Sync completed with 2 errors:"
    assert lines[-2].startswith("  dandi: 000002 (contract): ")
    assert re.search(r"^  stock: .*AIRTABLE_TOKEN", lines[-1])
    assert "Traceback" not in done.err
    assert "wrong" not in done.out + done.err


def test_options_of_one_platform_are_refused_for_others(estate_of_five: Estate) -> None:
    refused = estate_of_five.run("sync", "--dandiset-id", "1", "--assets-only")
    assert (refused.code, refused.out) == (2, "")
    assert "--dandiset-id, --assets-only: for DANDI alone, and tasks, notes, stock would be" in refused.err
    taken = estate_of_five.run("sync", "--platform", "dandi", "--dandiset-id", "1", "--json")
    assert taken.json["scope"] == "000001"


def test_an_interrupt_ends_every_source_in_order(estate_of_five: Estate) -> None:
    estate_of_five.archive.faults.add("slow_start", seconds=60.0, kind="assets_full")
    estate_of_five.notion.faults.add("slow_start", seconds=60.0, kind="query")
    shell = estate_of_five.shell
    with subprocess.Popen(
        shell.command("sync"),
        cwd=shell.folder,
        env=shell.environment(**estate_of_five.credentials),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if b"Found 3 dandisets" in line:
                break
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        estate_of_five.archive.faults.clear()
        for platform in (estate_of_five.archive, estate_of_five.notion):
            platform.stopping.set()  # nobody waits for a slow answer any more
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.decode().splitlines()[-1].startswith("Error: interrupted; ")
    assert "Traceback" not in err.decode()
    statuses = {run["source"]: run["status"] for run in json.loads(estate_of_five.run("history", "--json").out)}
    assert statuses["dandi"] == "interrupted"
