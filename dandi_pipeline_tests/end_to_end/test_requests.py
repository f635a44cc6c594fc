"""How many requests a sync takes: in proportion to what changed, exactly as planned, within its bounds."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.http import Traffic
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline_tests.end_to_end.rig import Rig
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, World, generated_world

LARGE = "000001"
PAGES = 8
PAGE_SIZE = 50


@pytest.fixture
def archive() -> Iterator[SimulatedArchive]:
    """An archive as years of quiet leave it, with a dandiset of too many pages to be read in full when it changes."""
    world = generated_world(dandisets=9, assets=30, large=PAGES * PAGE_SIZE, digested=True)
    for dandiset in world.dandisets.values():
        for version in dandiset.versions.values():
            version.modified += timedelta(days=1)
    with SimulatedArchive(world) as archive:
        yield archive


@pytest.fixture(params=["manifests", "API alone"])
def rig(request: pytest.FixtureRequest, archive: SimulatedArchive, sqlite_url: str, tmp_path: Path) -> Rig:
    bucket: dict[str, Any] = {"manifest_url": archive.bucket_url} if request.param == "manifests" else {}
    return Rig(archive, sqlite_url, tmp_path, page_size=PAGE_SIZE, **bucket)


def traffic_of_sync(rig: Rig) -> Traffic:
    with closing(rig.open_platform()) as platform, open_mirror(rig.url) as mirror:
        sync = Sync("dandi", platform, mirror, SyncOptions())
        for report in sync.run(sync.plan(), "run"):
            assert report.error is None
        return platform.traffic


@pytest.mark.parametrize("changed", [0, 1, 5])
def test_a_quiet_sync_sends_exactly_what_it_planned(rig: Rig, archive: SimulatedArchive, changed: int) -> None:
    first = traffic_of_sync(rig)
    assert first.counters["requests_planned"] == first.requests
    for path in list(archive.world.dandisets[LARGE].draft.assets)[:changed]:
        archive.world.edit_asset(LARGE, path, metadata={"keywords": ["edited"]})
    later = traffic_of_sync(rig)
    assert later.counters["requests_planned"] == later.requests


def test_what_is_planned_is_about_what_is_received(rig: Rig) -> None:
    used = traffic_of_sync(rig)
    assert 0.3 < used.counters["bytes_planned"] / used.bytes_received < 3


def test_a_check_that_finds_nothing_is_one_request(rig: Rig) -> None:
    rig.sync()
    rig.requests()
    rig.sync()
    assert rig.requests() == 1


@pytest.mark.parametrize("changed", [1, 3])
def test_a_few_changed_assets_cost_one_page_of_the_newest(rig: Rig, archive: SimulatedArchive, changed: int) -> None:
    """The list, the newest page, and at the end the draft's row."""
    rig.sync()
    paths = list(archive.world.dandisets[LARGE].draft.assets)
    for path in paths[:: len(paths) // changed][:changed]:
        archive.world.edit_asset(LARGE, path, metadata={"keywords": ["edited"]})
    rig.requests()
    rig.sync()
    assert rig.requests() == 1 + 1 + 1
    assert rig.differences() == []


def test_one_changed_asset_of_sixty_thousand_costs_four_requests_at_most(sqlite_url: str, tmp_path: Path) -> None:
    world = World()
    world.create_dandiset("Large")
    for number in range(60_000):
        world.add_asset(LARGE, f"sub-{number // 100:03d}/{number:05d}.nwb")
    world.clock.advance(86_400)
    world.validate_version(LARGE)
    with SimulatedArchive(world) as archive:
        rig = Rig(archive, sqlite_url, tmp_path)
        rig.sync()
        world.edit_asset(LARGE, "sub-321/32123.nwb", metadata={"keywords": ["edited"]})
        rig.requests()
        report = rig.sync()[LARGE]
        assert (report.tallies["asset"].updated, report.tallies["asset"].checked) == (1, 60_000)
        assert rig.requests() <= 4

        world.remove_asset(LARGE, "sub-555/55555.nwb")
        assert rig.sync()[LARGE].tallies["asset"].deleted == 1
        assert rig.requests() <= 15  # where the 60 pages of the whole list would do as well
        assert rig.differences() == []


def test_a_thousand_changed_assets_of_a_hundred_drafts_cost_three_requests_each_at_most(
    sqlite_url: str, tmp_path: Path
) -> None:
    world = World()
    for _ in range(100):
        identifier = world.create_dandiset("One of a hundred").identifier
        for number in range(30):
            world.add_asset(identifier, f"{number:03d}.nwb")
    world.clock.advance(86_400)
    for identifier in world.dandisets:
        world.validate_version(identifier)
    with SimulatedArchive(world) as archive:
        rig = Rig(archive, sqlite_url, tmp_path)
        rig.sync()
        for identifier in world.dandisets:
            for number in range(10):
                world.edit_asset(identifier, f"{3 * number:03d}.nwb", metadata={"keywords": ["edited"]})
        rig.requests()
        assert sum(report.tallies["asset"].updated for report in rig.sync().values()) == 1_000
        counts, pages = (
            archive.requests.counts(),
            [
                parse_qs(urlsplit(exchange.target).query)
                for exchange in archive.requests.exchanges
                if exchange.kind == "assets_full"
            ],
        )
        assert counts["total"] <= 1 + 3 * 100
        assert pages
        assert max(int(query["page_size"][0]) for query in pages) <= 100
        assert rig.differences() == []


def test_many_changed_assets_cost_hardly_more_than_their_pages_twice(rig: Rig, archive: SimulatedArchive) -> None:
    rig.sync()
    for path in list(archive.world.dandisets[LARGE].draft.assets)[::2]:
        archive.world.edit_asset(LARGE, path, metadata={"keywords": ["edited"]})
    rig.requests()
    rig.sync()
    tried = 4  # pages of the newest, with and without metadata, before the rest is listed whole
    assert rig.requests() <= 1 + tried + PAGES + 1 + PAGES + 1
    assert rig.differences() == []


def test_changes_in_several_dandisets_cost_each_its_own(rig: Rig, archive: SimulatedArchive) -> None:
    """A small dandiset that lost an asset costs two pages, its versions where it has any, and its draft's row."""
    rig.sync()
    changed = ["000002", "000003", "000006"]
    for identifier in changed:
        archive.world.remove_asset(identifier, next(iter(archive.world.dandisets[identifier].draft.assets)))
    rig.requests()
    rig.sync()
    published = sum(len(archive.world.dandisets[identifier].versions) > 1 for identifier in changed)
    assert rig.requests() <= 1 + 3 * len(changed) + published
    assert rig.differences() == []
