"""How many requests a sync takes: in proportion to what changed, exactly as planned, within its bounds."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dandi_pipeline.http import Traffic
from dandi_pipeline.mirror import Mirror
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline_tests.end_to_end.rig import Rig
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world

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
    with closing(rig.open_platform()) as platform, Mirror.open(rig.url) as mirror:
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
def test_a_few_changed_assets_cost_the_bare_pages_and_themselves(
    rig: Rig, archive: SimulatedArchive, changed: int
) -> None:
    """The list, the bare pages, each changed asset, and at the end the draft's row."""
    rig.sync()
    paths = list(archive.world.dandisets[LARGE].draft.assets)
    for path in paths[:: len(paths) // changed][:changed]:
        archive.world.edit_asset(LARGE, path, metadata={"keywords": ["edited"]})
    rig.requests()
    rig.sync()
    assert rig.requests() == 1 + PAGES + changed + 1
    assert rig.differences() == []


def test_many_changed_assets_cost_no_more_than_their_pages_twice(rig: Rig, archive: SimulatedArchive) -> None:
    rig.sync()
    for path in list(archive.world.dandisets[LARGE].draft.assets)[::2]:
        archive.world.edit_asset(LARGE, path, metadata={"keywords": ["edited"]})
    rig.requests()
    rig.sync()
    assert rig.requests() <= 1 + PAGES + 1 + PAGES + 1
    assert rig.differences() == []


def test_changes_in_several_dandisets_cost_each_its_own(rig: Rig, archive: SimulatedArchive) -> None:
    """A small dandiset that changed costs its page, its versions where it has any, and its draft's row."""
    rig.sync()
    changed = ["000002", "000003", "000006"]
    for identifier in changed:
        archive.world.remove_asset(identifier, next(iter(archive.world.dandisets[identifier].draft.assets)))
    rig.requests()
    rig.sync()
    published = sum(len(archive.world.dandisets[identifier].versions) > 1 for identifier in changed)
    assert rig.requests() == 1 + 2 * len(changed) + published
    assert rig.differences() == []
