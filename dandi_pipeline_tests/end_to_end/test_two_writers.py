"""Two syncs at once, on the same partitions or others: both end, neither fails for the other's sake, all is exact."""

import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.errors import MirrorBusy
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.report import Outcome
from dandi_pipeline_tests.end_to_end.equality import Rows, held_rows
from dandi_pipeline_tests.end_to_end.replay import all_changes, replay_problems
from dandi_pipeline_tests.end_to_end.rig import Rig
from dandi_pipeline_tests.end_to_end.sync_process import Errand, SyncProcess, archive_at, sync_once
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, World, generated_world

APART, OVERLAPPING = (("000001", "000003"), ("000002",)), (("000001", "000002"), ("000002", "000003"))


def edit(world: World) -> None:
    for identifier in world.dandisets:
        path = min(world.dandisets[identifier].draft.assets, default=None)
        if path:
            world.edit_asset(identifier, path, size=world.random.randint(1, 1_000))
        world.add_asset(identifier, f"{world.clock.now()}.nwb")


@pytest.mark.parametrize("at_once", [2, 4])
@pytest.mark.parametrize("full", [False, True], ids=["stale", "full"])
def test_threads_on_the_same_partitions(at_once: int, full: bool, mirror_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=4, assets=4)) as archive:
        rig, together = Rig(archive, mirror_url, tmp_path), Barrier(at_once)
        for _ in range(2):
            edit(archive.world)
            before, sequence = read(mirror_url)

            def run(_: int) -> list[str]:
                together.wait()
                return sync_once(Errand(archive_at(archive.api_url), mirror_url, options={"full": full}))

            with ThreadPoolExecutor(at_once) as threads:
                assert list(threads.map(run, range(at_once))) == [[]] * at_once
            assert rig.differences() == []
            with open_mirror(mirror_url) as mirror:
                changes = all_changes(mirror, after=sequence)
            assert replay_problems(before, changes, held_rows(mirror_url)) == []
        assert rig.stale() == ()


def read(url: str) -> tuple[Mapping[str, Rows], int]:
    """Return the rows, and the sequence of the newest change."""
    with open_mirror(url) as mirror:
        changes = all_changes(mirror)
    return held_rows(url), changes[-1].sequence if changes else 0


@pytest.mark.parametrize("partitions", [((), ()), APART, OVERLAPPING])
def test_processes(partitions: tuple[tuple[str, ...], ...], mirror_url: str, tmp_path: Path) -> None:
    """Also where both come first, and one of them creates the tables."""
    with SimulatedArchive(generated_world(dandisets=4, assets=4)) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        for _ in range(2):
            at = archive_at(archive.api_url)
            errands = [Errand(at, mirror_url, options={"partitions": keys}) for keys in partitions]
            endings = [process.wait() for process in [SyncProcess(errand) for errand in errands]]
            assert [ending.failures for ending in endings] == [[], []]
            edit(archive.world)
        rig.sync()
        assert rig.differences() == []


def test_of_two_that_read_the_same_dandiset_the_slower_finds_it_fresh(mirror_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=2, assets=4)) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        rig.sync()
        edit(archive.world)
        overtaken: list[list[str]] = []

        def overtake(kind: str, params: object) -> None:
            if kind == "assets_full" and not overtaken:
                overtaken.append([])
                overtaken[0] += sync_once(Errand(archive_at(archive.api_url), mirror_url))

        archive.before_response = overtake
        reports = rig.sync()
        assert overtaken == [[]]
        assert {report.outcome for report in reports.values()} <= {Outcome.FRESH, Outcome.SYNCED}
        assert Outcome.FRESH in {report.outcome for report in reports.values()}
        assert rig.differences() == []


def test_a_dandiset_that_another_sync_removed_meanwhile_is_no_failure(mirror_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=2, assets=4)) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        archive.world.create_dandiset("To be deleted")
        archive.world.add_asset("000003", "a.nwb")
        rig.sync()
        archive.world.edit_asset("000003", "a.nwb", size=5)
        gone: list[list[str]] = []

        def delete(kind: str, params: object) -> None:
            if kind == "version_info" and not gone:
                gone.append([])
                archive.world.delete_dandiset("000003")
                gone[0] += sync_once(Errand(archive_at(archive.api_url), mirror_url))

        archive.before_response = delete
        assert rig.sync()["000003"].error is None
        assert gone == [[]]
        assert rig.differences() == []


def test_a_mirror_that_others_hold_too_long_fails_each_dandiset_alone(sqlite_url: str, tmp_path: Path) -> None:
    """Not even the failures can be written down then: the report has them."""
    with SimulatedArchive(generated_world(dandisets=4, assets=3)) as archive:
        rig = Rig(archive, sqlite_url, tmp_path)
        rig.sync()
        edit(archive.world)
        with (
            closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as other,
            closing(rig.open_platform()) as platform,
            open_mirror(sqlite_url, patience=0.1) as mirror,
        ):
            sync = Sync("dandi", platform, mirror, SyncOptions())
            plan = sync.plan()
            other.execute("BEGIN IMMEDIATE")
            reports = list(sync.run(plan, "run"))
        assert {type(report.error) for report in reports} == {MirrorBusy}
        assert len(reports) == 3
        rig.sync()
        assert rig.differences() == []


def test_opening_the_file_again_keeps_the_locks_that_this_process_holds_on_it(sqlite_url: str) -> None:
    """Closing any descriptor of a file drops all of a process's locks on it: another writer would corrupt the file."""
    path = sqlite_url.removeprefix("sqlite:///")
    with open_mirror(sqlite_url) as mirror:
        mirror.states("dandi")
        assert is_locked(path)
        open_mirror(sqlite_url).close()
        assert is_locked(path)
    assert not is_locked(path)


def is_locked(path: str) -> bool:
    """Ask another process whether a connection holds the file; the bytes are its shared lock."""
    ask = f"import fcntl; fcntl.lockf(open({path!r}, 'rb+'), fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)"
    return subprocess.run([sys.executable, "-c", ask], capture_output=True, check=False).returncode != 0
