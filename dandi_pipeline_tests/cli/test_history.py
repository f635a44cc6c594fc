"""`dandi-pipeline history` tells the past syncs from Dagster's own storage."""

from dandi_pipeline_tests.cli.conftest import Shell
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive


def test_an_empty_history_is_one_friendly_line_and_makes_nothing(shell: Shell) -> None:
    done = shell.run("history")
    assert (done.code, done.err, done.out.count("\n")) == (0, "", 1)
    assert done.out.startswith("No sync yet in ")
    assert shell.run("history", "--json", "--source", "another").json == []
    assert list(shell.folder.iterdir()) == []


def test_past_syncs_are_listed_newest_first_with_their_whole_run_id(shell: Shell, archive: SimulatedArchive) -> None:
    first = shell.run("sync", "--json").json
    archive.world.add_asset("000001", "sub-new/sub-new.nwb", size=5)
    second = shell.run("sync", "--dandiset-id", "1", "--json").json

    done = shell.run("history")
    heading, newest, oldest = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert heading.split("  ")[0] == "STARTED (UTC)"
    assert newest.split()[-2:] == ["done", second["run_id"]]
    assert oldest.split()[-1] == first["run_id"]
    assert " 000001 " in newest
    assert " all " in oldest

    told = shell.run("history", "--json", "--limit", "1", "--source", "dandi").json
    assert [sync["run_id"] for sync in told] == [second["run_id"]]
    assert (told[0]["scope"], told[0]["checked"], told[0]["updated"], told[0]["failed"]) == ("000001", 1, 1, 0)
    assert (told[0]["status"], told[0]["records"]["added"]) == ("done", 1)
