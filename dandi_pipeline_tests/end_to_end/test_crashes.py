"""Killed, out of space, cut off: the mirror holds whole partitions, old or new, and the next sync does the rest."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.errors import DatabaseUnavailable, MirrorLost
from dandi_pipeline_tests.end_to_end.equality import held_rows
from dandi_pipeline_tests.end_to_end.rig import Rig
from dandi_pipeline_tests.end_to_end.sync_process import Ending, Errand, SyncProcess, archive_at
from dandi_pipeline_tests.postgresql import PostgresqlServer
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, World, generated_world
from dandi_pipeline_tests.soak.ledger import Ledger


class Watched:
    """An archive, a mirror of it, and all the states that the archive was ever in."""

    def __init__(self, archive: SimulatedArchive, url: str, folder: Path) -> None:
        self.rig = Rig(archive, url, folder)
        self.world = archive.world
        self.ledger = Ledger(self.world, published_assets=False)

    def edit(self) -> None:
        """Change every dandiset's assets and versions."""
        for identifier in self.world.dandisets:
            self.world.add_asset(identifier, f"{self.world.clock.now()}.nwb")
            self.ledger.record()
            self.world.edit_dandiset(identifier, {"description": f"{self.world.clock.now()}"})
            self.ledger.record()

    def problems(self) -> list[str]:
        """Return what the mirror holds that is no whole state of a dandiset."""
        with open_mirror(self.rig.url) as mirror:
            tokens = {key: state.token for key, state in mirror.states("dandi").items()}
        return self.ledger.problems(held_rows(self.rig.url), tokens)

    def run(self, **errand: object) -> Ending:
        """Run a sync in a process of its own."""
        return SyncProcess(Errand(archive_at(self.rig.archive.api_url), self.rig.url, **errand)).wait()  # type: ignore[arg-type]


@contextmanager
def watched(url: str, folder: Path, *, assets: int = 4) -> Iterator[Watched]:
    with SimulatedArchive(generated_world(dandisets=4, assets=assets)) as archive:
        yield Watched(archive, url, folder)


def test_a_first_sync_may_be_killed_at_any_statement(mirror_url: str, tmp_path: Path) -> None:
    with watched(mirror_url, tmp_path) as it:
        killed = [it.run(die_after=statement).killed for statement in range(1, 80, 9)]
        assert all(killed[:4])
        assert it.problems() == []
        it.rig.sync()
        assert it.rig.differences() == []


def test_a_sync_may_be_killed_at_any_statement(mirror_url: str, tmp_path: Path) -> None:
    with watched(mirror_url, tmp_path) as it:
        it.rig.sync()
        kills = 0
        for statement in range(2, 120, 8):
            it.edit()
            kills += it.run(die_after=statement).killed
            assert it.problems() == []
        assert kills >= 8
        it.rig.sync()
        assert it.rig.differences() == []


@pytest.mark.parametrize("request_number", [1, 2, 4, 6])
def test_a_sync_may_be_killed_while_it_waits_for_an_answer(
    request_number: int, mirror_url: str, tmp_path: Path
) -> None:
    with watched(mirror_url, tmp_path) as it:
        it.rig.sync()
        it.edit()
        processes: list[SyncProcess] = []
        asked: list[str] = []

        def kill(kind: str, params: object) -> None:
            asked.append(kind)
            if len(asked) == request_number:
                processes[0].kill()

        it.rig.archive.before_response = kill
        with it.world.lock:  # no answer before the process is known here
            processes.append(SyncProcess(Errand(archive_at(it.rig.archive.api_url), it.rig.url)))
        assert processes[0].wait().killed
        it.rig.archive.before_response = None
        assert it.problems() == []
        it.rig.sync()
        assert it.rig.differences() == []


def test_a_file_that_may_not_grow_any_more_is_reported_and_keeps_what_it_has(sqlite_url: str, tmp_path: Path) -> None:
    with watched(sqlite_url, tmp_path, assets=60) as it:
        it.rig.sync()
        held = held_rows(sqlite_url)
        for identifier in it.world.dandisets:
            for path in list(it.world.dandisets[identifier].draft.assets):
                it.world.edit_asset(identifier, path, metadata={"description": "x" * 4_000})
        it.ledger.record()
        failures = it.run(largest_file=200_000).failures
        assert failures
        assert all(failure.startswith("DatabaseUnavailable: ") for failure in failures)
        assert it.problems() == []
        assert held_rows(sqlite_url).keys() == held.keys()
        it.rig.sync()
        assert it.rig.differences() == []


def test_a_full_disk_is_named_and_loses_nothing(sqlite_url: str, tmp_path: Path) -> None:
    with watched(sqlite_url, tmp_path, assets=30) as it:
        it.rig.sync()
        held = held_rows(sqlite_url)
        for identifier in it.world.dandisets:
            for number in range(40):
                it.world.add_asset(identifier, f"more/{number}.nwb", metadata={"description": "x" * 4_000})
        no_more_pages = "PRAGMA max_page_count = 1"  # fewer than there are: SQLite takes those there are
        full = pytest.raises(DatabaseUnavailable, match="the disk is full; free space")
        with every_connection_runs(no_more_pages), full:
            it.rig.sync()
        assert held_rows(sqlite_url) == held
        it.rig.sync()
        assert it.rig.differences() == []


@contextmanager
def every_connection_runs(statement: str) -> Iterator[None]:
    def run(connection: object, _: object) -> None:
        connection.execute(statement).close()  # type: ignore[attr-defined]

    sa.event.listen(sa.pool.Pool, "connect", run)
    try:
        yield
    finally:
        sa.event.remove(sa.pool.Pool, "connect", run)


@pytest.mark.parametrize("statement", [3, 12, 25, 40, 60])
def test_connections_that_the_server_ends_are_made_again_by_the_next_sync(
    statement: int, postgresql_server: PostgresqlServer, postgresql_url: str, tmp_path: Path
) -> None:
    with watched(postgresql_url, tmp_path) as it:
        it.rig.sync()
        it.edit()
        database = sa.make_url(postgresql_url).database
        ended: list[int] = []

        def end_connections(*_: object) -> None:
            ended.append(1)
            if len(ended) == statement:
                postgresql_server.execute(
                    f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
                )

        sa.event.listen(sa.Engine, "after_cursor_execute", end_connections)
        try:
            errors = [report.error for report in it.rig.sync().values() if report.error]
        except MirrorLost as error:
            errors = [error]
        finally:
            sa.event.remove(sa.Engine, "after_cursor_execute", end_connections)
        assert errors
        assert all(isinstance(error, MirrorLost) for error in errors)
        assert it.problems() == []
        it.rig.sync()
        assert it.rig.differences() == []


@pytest.mark.parametrize("days", [-1, 1])
def test_no_clock_but_the_archive_s_own_is_compared_with(days: int, mirror_url: str, tmp_path: Path) -> None:
    """The archive's clock is a day before or after ours, and goes back and forth: only its own values count."""
    with SimulatedArchive(generated_world(dandisets=3, assets=3)) as archive:
        rig, now = Rig(archive, mirror_url, tmp_path), datetime.now(timezone.utc)
        for shift in (days, -days, days):
            archive.world.clock.set(now + timedelta(days=shift))
            for identifier in archive.world.dandisets:
                edit_something(archive.world, identifier)
            rig.sync()
            assert rig.differences() == []
            assert rig.stale() == ()


def edit_something(world: World, identifier: str) -> None:
    world.add_asset(identifier, f"{len(world.assets)}.nwb")
