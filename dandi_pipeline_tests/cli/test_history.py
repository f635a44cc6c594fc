"""`dandi-pipeline history` tells the past syncs from Dagster's own storage."""

import re

from dandi_pipeline_tests.cli.conftest import Shell
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive


def test_an_empty_history_is_one_friendly_line_and_makes_nothing(fresh_shell: Shell) -> None:
    done = fresh_shell.run("history")
    assert (done.code, done.err, done.out.count("\n")) == (0, "", 1)
    assert done.out.startswith("No sync yet in ")
    assert fresh_shell.run("history", "--json", "--source", "another").json == []
    assert list(fresh_shell.folder.iterdir()) == []


def test_past_syncs_are_listed_newest_first_with_their_whole_run_id(shell: Shell, archive: SimulatedArchive) -> None:
    first = shell.run("sync", "--json").json
    archive.world.add_asset("000001", "sub-new/sub-new.nwb", size=5)
    second = shell.run("sync", "--dandiset-id", "1", "--json").json

    done = shell.run("history")
    heading, *lines = (re.split(r" {2,}", line.strip()) for line in done.out.splitlines())
    newest, oldest = (dict(zip(heading, cells, strict=True)) for cells in lines)
    assert (done.code, done.err) == (0, "")
    assert (newest["RUN"], oldest["RUN"]) == (second["run_id"], first["run_id"])
    assert (newest["SCOPE"], oldest["SCOPE"]) == ("000001", "all")
    assert (newest["STATUS"], newest["CHECKED"], newest["UPDATED"], newest["ERRORS"]) == ("done", "1", "1", "0")
    assert re.fullmatch(r"\d+\.\d s", newest["TOOK"])

    told = shell.run("history", "--json", "--limit", "1", "--source", "dandi").json
    assert [sync["run_id"] for sync in told] == [second["run_id"]]
    assert (told[0]["scope"], told[0]["checked"], told[0]["updated"], told[0]["failed"]) == ("000001", 1, 1, 0)
    assert (told[0]["status"], told[0]["records"]["added"]) == ("done", 1)
