"""Several syncs at once, writers that are killed, servers that go away: the mirror is old or new, never between."""

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from dandi_pipeline.errors import MirrorBusy, MirrorLost, PartitionMoved
from dandi_pipeline.mirror import Counts, Mirror, PartitionSession
from dandi_pipeline_tests.mirror.records import (
    ASSET,
    FRESH,
    PARTS,
    SOURCE,
    asset,
    dandiset,
    opened,
    query,
    rows_of,
    store,
    version,
    writing,
)

COMMIT_AT_A_SIGNAL = """
import sys
from dandi_pipeline.errors import PartitionMoved
from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline_tests.mirror.records import FRESH, PARTS, SOURCE, asset
url, path = sys.argv[1:]
with open_mirror(url, patience=30) as mirror, mirror.session(SOURCE, "000003", PARTS) as session:
    session.stage([asset(path)])
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        session.commit(run_id=path, tokens=FRESH)
        print("committed")
    except PartitionMoved:
        print("moved")
"""

DIE_AFTER_A_STATEMENT = """
import os, signal, sys
import sqlalchemy as sa
from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline_tests.mirror.records import ASSET, PARTS, SOURCE, asset, dandiset, version
url, statement = sys.argv[1:]
def die(connection, cursor, executed, *rest):
    if " ".join(executed.split()).startswith(statement):
        os.kill(os.getpid(), signal.SIGKILL)
with open_mirror(url, patience=30) as mirror, mirror.session(SOURCE, "000003", PARTS) as session:
    session.stage([dandiset("2"), version("draft", "2"), asset("a", "2"), asset("c", "2")])
    session.stage_deleted(ASSET, [("draft", "b")])
    sa.event.listen(sa.Engine, "after_cursor_execute", die)
    session.commit(run_id="new", tokens=dict.fromkeys(PARTS, "new"))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_of_two_syncs_of_one_partition_the_second_must_read_again(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, asset("a"), asset("b"))
        with (
            mirror.session(SOURCE, "000003", PARTS) as first,
            mirror.session(SOURCE, "000003", PARTS) as second,
        ):
            first.stage([asset("a", "first")])
            second.stage([asset("a", "second")])
            second.stage_deleted(ASSET, [("draft", "b")])
            first.commit(run_id="first", tokens=FRESH)
            with pytest.raises(PartitionMoved, match="dandi 000003: another sync committed"):
                second.commit(run_id="second", tokens=dict.fromkeys(PARTS, "of the second"))
        assert {row["path"]: row["content_hash"] for row in rows_of(mirror_url, "assets")} == {
            "a": "first",
            "b": "hash",
        }
        assert mirror.states(SOURCE)["000003", "assets"].token == "token"
        assert [change.run_id for change in mirror.changes()][2:] == ["first"]


@pytest.mark.parametrize("ending", ["commit", "hide", "remove"])
@pytest.mark.parametrize("meanwhile", ["commit", "hide", "remove", "removed and stored anew"])
def test_every_ending_notices_that_the_partition_moved(mirror_url: str, ending: str, meanwhile: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, asset("a"))
        with mirror.session(SOURCE, "000003", PARTS) as slow:
            with mirror.session(SOURCE, "000003", PARTS) as quick:
                ENDINGS[meanwhile.split()[0].replace("removed", "remove")](quick)
            if meanwhile.endswith("anew"):
                store(mirror, asset("a"), asset("b"))
            seen = rows_of(mirror_url, "assets")
            with pytest.raises(PartitionMoved):
                ENDINGS[ending](slow)
            assert rows_of(mirror_url, "assets") == seen


ENDINGS: dict[str, Callable[[PartitionSession], object]] = {
    "commit": lambda session: session.commit(run_id="run", tokens=FRESH),
    "hide": lambda session: session.hide(run_id="run"),
    "remove": lambda session: session.remove(run_id="run"),
}


def test_parts_of_one_partition_are_synced_independently(mirror_url: str) -> None:
    with (
        opened(mirror_url) as mirror,
        mirror.session(SOURCE, "000003", ["dandisets"]) as first,
        mirror.session(SOURCE, "000003", ["assets"]) as second,
    ):
        first.stage([dandiset()])
        second.stage([asset("a")])
        first.commit(run_id="first", tokens={"dandisets": "token"})
        second.commit(run_id="second", tokens={"assets": "token"})
        assert {key: state.records for key, state in mirror.states(SOURCE).items()} == {
            ("000003", "dandisets"): 1,
            ("000003", "assets"): 1,
        }


def test_a_failure_recorded_meanwhile_moves_nothing(mirror_url: str) -> None:
    with opened(mirror_url) as mirror, mirror.session(SOURCE, "000003", PARTS) as session:
        mirror.record_failure(SOURCE, "000003", PARTS, run_id="other", group="transient", message="no answer")
        session.stage([asset("a")])
        session.commit(run_id="run", tokens=FRESH)
        assert mirror.states(SOURCE)["000003", "assets"].token == "token"


def test_of_processes_that_commit_one_partition_at_once_one_wins(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, asset("old"))
    paths = ["p1", "p2", "p3"]
    processes = [_spawn(COMMIT_AT_A_SIGNAL, mirror_url, path) for path in paths]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outcomes = dict(zip(paths, (process.communicate(timeout=60)[0].strip() for process in processes), strict=True))
    assert sorted(outcomes.values()) == ["committed", "moved", "moved"]
    winner = next(path for path, outcome in outcomes.items() if outcome == "committed")
    assert {row["path"] for row in rows_of(mirror_url, "assets")} == {"old", winner}


def test_partitions_are_synced_side_by_side_and_the_feed_appears_in_order(mirror_url: str) -> None:
    seen: list[int] = []
    done = threading.Event()

    def sync(mirror: Mirror, partition: str) -> None:
        for number in range(10):
            store(mirror, asset("a", str(number)), partition=partition)

    def follow(mirror: Mirror) -> None:
        while not done.is_set():
            seen.extend(change.sequence for change in mirror.changes(after=seen[-1] if seen else 0))

    with opened(mirror_url) as mirror, opened(mirror_url) as other, ThreadPoolExecutor(7) as pool:
        reader = pool.submit(follow, mirror)
        writers = [pool.submit(sync, (mirror, other)[number % 2], f"{number:06d}") for number in range(6)]
        for writer in writers:
            writer.result(timeout=60)
        done.set()
        reader.result(timeout=60)
        seen += [change.sequence for change in mirror.changes(after=seen[-1])]
        assert seen == [change.sequence for change in mirror.changes()]
        assert len(seen) == 60


def test_reading_the_platform_locks_nobody_out(mirror_url: str) -> None:
    with opened(mirror_url, patience=1) as mirror, mirror.session(SOURCE, "000003", PARTS) as session:
        session.known(ASSET)
        session.stage([asset("a")])
        session.stage_deleted(ASSET, [("draft", "b")])
        store(mirror, asset("x"), partition="000004")
        with opened(mirror_url, patience=1) as other:
            store(other, asset("x"), partition="000005")
        session.commit(run_id="run", tokens=FRESH)
    assert len(query(mirror_url, "SELECT path FROM assets")) == 3


def test_a_writer_that_holds_the_mirror_too_long_makes_others_busy(mirror_url: str) -> None:
    with opened(mirror_url, patience=0.3) as mirror:
        with writing(mirror_url), pytest.raises(MirrorBusy, match="held by other writers for too long"):
            store(mirror, asset("a"))
        store(mirror, asset("a"))
    assert len(rows_of(mirror_url, "assets")) == 1


def test_a_commit_that_found_the_mirror_busy_can_be_repeated(mirror_url: str) -> None:
    with opened(mirror_url, patience=0.3) as mirror, mirror.session(SOURCE, "000003", PARTS) as session:
        session.stage([asset("a")])
        with writing(mirror_url), pytest.raises(MirrorBusy):
            session.commit(run_id="run", tokens=FRESH)
        assert session.commit(run_id="run", tokens=FRESH) == {"asset": Counts(inserted=1)}


def test_a_session_does_not_commit_over_what_came_between_its_commits(mirror_url: str) -> None:
    with opened(mirror_url) as mirror, mirror.session(SOURCE, "000003", PARTS) as session:
        session.stage([asset("a")])
        session.commit(run_id="run", tokens=FRESH)
        store(mirror, asset("a", "newer"))
        session.stage([asset("a", "older")])
        with pytest.raises(PartitionMoved):
            session.commit(run_id="run", tokens=FRESH)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE partitions SET generation",
        "INSERT INTO change_log",
        "DELETE FROM assets",
        "INSERT INTO dandisets",
        "INSERT INTO assets",
        "UPDATE partitions SET token",
    ],
)
def test_a_writer_killed_in_its_transaction_leaves_the_old_state(mirror_url: str, statement: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, dandiset("1"), version("draft", "1"), asset("a", "1"), asset("b", "1"), token="old")
        changes = mirror.changes()
        known = mirror.known(SOURCE, "000003", ASSET)
    process = _spawn(DIE_AFTER_A_STATEMENT, mirror_url, statement)
    assert (process.communicate(timeout=60)[0], process.returncode) == ("", -9)
    with opened(mirror_url) as mirror:
        assert mirror.changes() == changes
        assert mirror.known(SOURCE, "000003", ASSET) == known
        assert {state.token for state in mirror.states(SOURCE).values()} == {"old"}
        store(mirror, asset("a", "3"))
        assert mirror.known(SOURCE, "000003", ASSET)["draft", "a"][0] == "3"


def test_a_writer_killed_after_its_commit_leaves_the_new_state(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, dandiset("1"), version("draft", "1"), asset("a", "1"), asset("b", "1"), token="old")
    process = _spawn(DIE_AFTER_A_STATEMENT, mirror_url, "no statement starts so")
    assert (process.communicate(timeout=60)[0], process.returncode) == ("", -9)
    with opened(mirror_url) as mirror:
        assert {row["path"]: row["content_hash"] for row in rows_of(mirror_url, "assets")} == {"a": "2", "c": "2"}
        assert {state.token for state in mirror.states(SOURCE).values()} == {"new"}
        assert sorted(change.kind for change in mirror.changes()[4:]) == [
            "delete",
            "insert",
            "update",
            "update",
            "update",
        ]


MOMENTS: dict[str, Callable[[PartitionSession], object]] = {
    "known": lambda session: session.known(ASSET),
    "stage": lambda session: session.stage([asset("c")]),
    "commit": lambda session: session.commit(run_id="run", tokens=FRESH),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_connection_lost_in_a_sync_is_transient_and_the_mirror_goes_on(postgresql_url: str, moment: str) -> None:
    with opened(postgresql_url) as mirror:
        store(mirror, asset("a"))
        with mirror.session(SOURCE, "000003", PARTS) as session:
            session.stage([asset("b")])
            _terminate_others(postgresql_url)
            with pytest.raises(MirrorLost):
                MOMENTS[moment](session)
        store(mirror, asset("d"))
    assert [row["path"] for row in rows_of(postgresql_url, "assets")] == ["a", "d"]


def test_a_session_that_ends_unused_does_not_mind_a_lost_connection(postgresql_url: str) -> None:
    with opened(postgresql_url) as mirror:
        with mirror.session(SOURCE, "000003", PARTS) as session:
            session.stage([asset("a")])
            _terminate_others(postgresql_url)
        assert mirror.states(SOURCE) == {}


def _terminate_others(url: str) -> None:
    query(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )


def test_an_error_in_a_session_forgets_what_it_staged(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        for _ in range(2):
            with pytest.raises(KeyError):
                _stage_and_fail(mirror)
        with mirror.session(SOURCE, "000003", PARTS) as session:
            session.stage([asset("b")])
            session.commit(run_id="run", tokens=FRESH)
    assert [row["path"] for row in rows_of(mirror_url, "assets")] == ["b"]


def _stage_and_fail(mirror: Mirror) -> None:
    with mirror.session(SOURCE, "000003", PARTS) as session:
        session.stage([asset("a")])
        raise KeyError


def _spawn(script: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
