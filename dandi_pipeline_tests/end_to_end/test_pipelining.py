"""Requests overlap, as many as are allowed and never more, and one slow dandiset keeps none of the others waiting.

Answers are held back until the others are under way: a sync that did not ask for them at the same time would get none.
"""

from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Event

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.settings import Tuning
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline_tests.end_to_end.rig import Rig
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world

AT_ONCE = 4
PATIENCE = 20

BeforeResponse = Callable[[str, Mapping[str, str]], None]


def hold_until(together: Barrier, chosen: Callable[[Mapping[str, str]], bool]) -> BeforeResponse:
    """Hold back the chosen pages of assets until enough are asked for at once; the barrier breaks if they never are."""

    def hold(kind: str, params: Mapping[str, str]) -> None:
        if kind == "assets_full" and chosen(params):
            with suppress(BrokenBarrierError):
                together.wait(PATIENCE)

    return hold


def rig_of(archive: SimulatedArchive, url: str, folder: Path) -> Rig:
    return Rig(archive, url, folder, page_size=10, max_concurrent=AT_ONCE)


def sync_with_pages_together(rig: Rig, chosen: Callable[[Mapping[str, str]], bool]) -> None:
    """Sync an archive that answers the chosen pages only once as many as are allowed are asked for at once."""
    together, archive = Barrier(AT_ONCE), rig.archive
    archive.before_response = hold_until(together, chosen)
    rig.sync(tuning=Tuning(max_concurrent=AT_ONCE))
    archive.before_response = None
    assert not together.broken
    assert rig.differences() == []
    assert archive.requests.counts()["in_flight_max"] == AT_ONCE


def test_pages_of_one_large_dandiset_are_in_flight_together(sqlite_url: str, tmp_path: Path) -> None:
    pages = 1 + 3 * AT_ONCE
    with SimulatedArchive(generated_world(dandisets=1, large=10 * pages)) as archive:
        sync_with_pages_together(rig_of(archive, sqlite_url, tmp_path), lambda params: params["page"] != "1")


def test_pages_of_many_small_dandisets_are_in_flight_together(sqlite_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=2 * AT_ONCE + 1, assets=6)) as archive:
        sync_with_pages_together(rig_of(archive, sqlite_url, tmp_path), lambda params: True)


def test_the_others_are_written_while_the_pages_of_the_largest_do_not_come(sqlite_url: str, tmp_path: Path) -> None:
    released = Event()

    def hold(kind: str, params: Mapping[str, str]) -> None:
        if kind == "assets_full" and params["dandiset"] == "000001" and params["page"] != "1":
            released.wait(PATIENCE)

    with SimulatedArchive(generated_world(dandisets=8, assets=30, large=400)) as archive:
        archive.before_response = hold
        rig = rig_of(archive, sqlite_url, tmp_path)
        written = []
        with closing(rig.open_platform()) as platform, open_mirror(rig.url) as mirror:
            sync = Sync("dandi", platform, mirror, SyncOptions(tuning=Tuning(max_concurrent=AT_ONCE)))
            for report in sync.run(sync.plan(), "run"):
                written.append(report.partition)
                if len(written) == 6:
                    assert "000001" not in written
                    released.set()
        archive.before_response = None
        assert len(written) == 7
        assert rig.differences() == []
        assert archive.requests.counts()["in_flight_max"] == AT_ONCE
