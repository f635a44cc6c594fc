"""Every upstream operation moves exactly the timestamps that it moves upstream, and no other."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from dandi_pipeline_tests.simulators.clock import Clock
from dandi_pipeline_tests.simulators.dandi import (
    OWNER_TOKEN,
    STRANGER_TOKEN,
    SUPERUSER_TOKEN,
    Refused,
    World,
    generated_world,
)
from dandi_pipeline_tests.simulators.dandi.records import Asset, spell

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
ONE, TWO, ZARR = "sub-1/sub-1.nwb", "sub-2/sub-2.nwb", "sub-3/sub-3.ome.zarr"


@pytest.fixture
def world() -> World:
    """One dandiset with two files and a zarr, and one that is embargoed."""
    world = World(clock=Clock(NOW))
    for embargoed in (False, True):
        dandiset = world.create_dandiset("Place fields", embargoed=embargoed)
        world.add_asset(dandiset.identifier, ONE, size=2**31 + 1, sha256=False)
        world.add_asset(dandiset.identifier, TWO)
        world.add_asset(dandiset.identifier, ZARR, size=70_000, zarr=True)
    world.clock.advance(3600)
    return world


OPEN, HIDDEN = "000001", "000002"

Operation = Callable[[World], object]
SILENT: dict[str, Operation] = {
    "an edit that changes nothing": lambda world: world.edit_asset(OPEN, ONE, metadata={"keywords": None}),
    "a rename to the same name": lambda world: world.rename_dandiset(OPEN, "Place fields"),
    "a sha256 computed": lambda world: world.compute_sha256(OPEN, ONE),
    "a zarr re-opened": lambda world: world.reopen_zarr(OPEN, ZARR),
}
MOVING_THE_DRAFT: dict[str, Operation] = {
    "an asset added": lambda world: world.add_asset(OPEN, "new.nwb"),
    "an asset edited": lambda world: world.edit_asset(OPEN, ONE, metadata={"keywords": ["x"]}),
    "an asset's content replaced": lambda world: world.edit_asset(OPEN, ONE, size=5),
    "an asset moved": lambda world: world.move_asset(OPEN, ONE, "sub-1/other.nwb"),
    "two paths swapped": lambda world: world.swap_paths(OPEN, ONE, TWO),
    "an asset removed": lambda world: world.remove_asset(OPEN, ONE),
    "the dandiset renamed": lambda world: world.rename_dandiset(OPEN, "Grid fields"),
    "the dandiset edited": lambda world: world.edit_dandiset(OPEN, {"keywords": ["grid"]}),
    "assets validated": lambda world: world.validate_assets(OPEN),
    "the version validated": lambda world: world.validate_version(OPEN),
    "assets summed up": lambda world: world.summarize_assets(OPEN),
    "a zarr ingested": lambda world: world.ingest_zarr(OPEN, ZARR, size=99),
    "published": lambda world: world.publish(OPEN),
}
MOVING_OLD_ASSETS = {"a zarr ingested": {ZARR}, "published": {ONE, TWO, ZARR}}


@pytest.mark.parametrize("operation", SILENT.values(), ids=SILENT)
def test_silent_changes_move_nothing(world: World, operation: Operation) -> None:
    before = _timestamps(world)
    operation(world)
    assert _timestamps(world) == before


@pytest.mark.parametrize("name", MOVING_THE_DRAFT)
def test_changes_move_the_draft_and_nothing_else(world: World, name: str) -> None:
    before, old_assets = _timestamps(world), dict(world.dandisets[OPEN].draft.assets)
    modified = {asset.asset_id: asset.modified for asset in old_assets.values()}
    MOVING_THE_DRAFT[name](world)
    assert world.dandisets[OPEN].modified == before[OPEN][0]
    assert world.dandisets[OPEN].draft.modified > before[OPEN][1]
    moved = {path for path, asset in old_assets.items() if asset.modified != modified[asset.asset_id]}
    assert moved == MOVING_OLD_ASSETS.get(name, set())
    assert _timestamps(world)[HIDDEN] == before[HIDDEN]


@pytest.mark.parametrize("name", ["an asset edited", "an asset's content replaced", "an asset moved"])
def test_an_edit_makes_a_new_row_and_keeps_the_old_one_out_of_the_draft(world: World, name: str) -> None:
    old = world.dandisets[OPEN].draft.assets[ONE]
    new = MOVING_THE_DRAFT[name](world)
    assert isinstance(new, Asset)
    assert new.asset_id != old.asset_id
    assert new.created > old.modified
    assert world.dandisets[OPEN].draft.assets[new.path] is new
    assert len(world.dandisets[OPEN].draft.assets) == 3
    assert world.assets[old.asset_id] is old
    assert (new.blob == old.blob) is (name != "an asset's content replaced")
    assert new.metadata["identifier"] == new.asset_id


def test_swapped_paths_keep_their_contents_apart(world: World) -> None:
    assets = world.dandisets[OPEN].draft.assets
    first, second = assets[ONE].blob, assets[TWO].blob
    world.swap_paths(OPEN, ONE, TWO)
    assert (assets[ONE].blob, assets[TWO].blob) == (second, first)
    assert [assets[path].metadata["path"] for path in (ONE, TWO)] == [ONE, TWO]


def test_a_removed_asset_keeps_its_row(world: World) -> None:
    removed = world.remove_asset(OPEN, ONE)
    assert ONE not in world.dandisets[OPEN].draft.assets
    assert world.assets[removed.asset_id] is removed


def test_publishing_shares_assets_with_the_draft_and_keeps_their_ids(world: World) -> None:
    ids = {path: asset.asset_id for path, asset in world.dandisets[OPEN].draft.assets.items()}
    version = world.publish(OPEN)
    assert {path: asset.asset_id for path, asset in version.assets.items()} == ids
    assert all("publishedBy" in asset.metadata for asset in version.assets.values())
    draft = world.dandisets[OPEN].draft
    assert draft.status == "Published"
    assert draft.metadata["datePublished"] == version.metadata["datePublished"]
    world.remove_asset(OPEN, ONE)
    assert ONE in version.assets


def test_publishing_again_moves_only_assets_that_are_new(world: World) -> None:
    first = world.publish(OPEN)
    modified = world.dandisets[OPEN].draft.assets[TWO].modified
    world.edit_asset(OPEN, ONE, metadata={"keywords": ["x"]})
    second = world.publish(OPEN)
    assert second.version != first.version
    assert second.assets[TWO].modified == modified
    assert first.assets[ONE] is not second.assets[ONE]


@pytest.mark.parametrize(
    "operation",
    [
        lambda world, version: world.store_doi(OPEN, version),
        lambda world, version: world.fix_published_version(OPEN, version, {"keywords": ["fixed"]}),
    ],
    ids=["its DOI is stored", "an administrator fixes it"],
)
def test_a_published_version_moves_without_its_draft(world: World, operation: Callable[[World, str], Any]) -> None:
    version = world.publish(OPEN)
    modified, draft = version.modified, world.dandisets[OPEN].draft.modified
    operation(world, version.version)
    assert version.modified > modified
    assert world.dandisets[OPEN].draft.modified == draft


def test_a_stored_doi_shows_in_metadata_and_citation(world: World) -> None:
    version = world.publish(OPEN)
    world.store_doi(OPEN, version.version)
    assert version.metadata["doi"] == f"10.48324/dandi.{OPEN}/{version.version}"
    assert version.metadata["citation"].endswith(version.metadata["doi"])


def test_a_deleted_version_is_gone_and_the_one_before_is_the_newest_again(world: World) -> None:
    first, second = world.publish(OPEN), world.publish(OPEN)
    world.delete_version(OPEN, second.version)
    assert world.dandisets[OPEN].most_recent_published is first
    with pytest.raises(Refused, match="no published version"):
        world.delete_version(OPEN, "draft")


def test_unembargoing_hides_until_it_ends_and_moves_no_asset_though_access_changes(world: World) -> None:
    dandiset = world.dandisets[HIDDEN]
    asset = dandiset.draft.assets[ONE]
    before = (dandiset.modified, asset.modified, dandiset.draft.modified)
    world.start_unembargo(HIDDEN)
    assert HIDDEN not in world.snapshot()
    assert (dandiset.modified, asset.modified, dandiset.draft.modified) == before
    world.finish_unembargo(HIDDEN)
    assert (dandiset.modified, asset.modified) == before[:2]
    assert dandiset.draft.modified > before[2]
    assert asset.metadata["access"][0]["status"] == "dandi:OpenAccess"
    assert not asset.embargoed
    assert world.snapshot()[HIDDEN]["embargo_status"] == "OPEN"


def test_a_zarr_loses_size_and_checksum_and_gets_them_back(world: World) -> None:
    asset = world.reopen_zarr(OPEN, ZARR)
    assert (asset.size, asset.metadata["digest"]) == (0, {"dandi:dandi-zarr-checksum": None})
    assert world.ingest_zarr(OPEN, ZARR, size=123) is asset
    assert (asset.size, asset.metadata["contentSize"]) == (123, 123)
    assert asset.metadata["digest"]["dandi:dandi-zarr-checksum"].endswith("--123")


def test_sha256_appears_beside_the_other_digest(world: World) -> None:
    asset = world.dandisets[OPEN].draft.assets[ONE]
    assert asset.metadata["digest"].keys() == {"dandi:dandi-etag"}
    world.compute_sha256(OPEN, ONE)
    assert asset.metadata["digest"].keys() == {"dandi:dandi-etag", "dandi:sha2-256"}


def test_deleting_a_dandiset_leaves_its_assets_readable_and_published_ones_alone(world: World) -> None:
    asset = world.dandisets[HIDDEN].draft.assets[ONE]
    world.delete_dandiset(HIDDEN)
    assert HIDDEN not in world.dandisets
    assert asset.asset_id in world.assets
    world.publish(OPEN)
    with pytest.raises(Refused, match="never deleted"):
        world.delete_dandiset(OPEN)


@pytest.mark.parametrize(
    "operation",
    [
        lambda world: world.add_asset(OPEN, ONE),
        lambda world: world.move_asset(OPEN, ONE, TWO),
        lambda world: world.remove_asset(OPEN, "missing.nwb"),
        lambda world: world.reopen_zarr(OPEN, ONE),
        lambda world: world.publish(HIDDEN),
        lambda world: world.start_unembargo(OPEN),
        lambda world: world.create_dandiset("Again", identifier=OPEN),
        lambda world: world.rename_dandiset("999999", "Nobody"),
    ],
)
def test_what_upstream_forbids_is_refused_and_changes_nothing(world: World, operation: Operation) -> None:
    before = world.snapshot(SUPERUSER_TOKEN)
    with pytest.raises(Refused):
        operation(world)
    assert world.snapshot(SUPERUSER_TOKEN) == before


def test_timestamps_can_be_made_to_go_back(world: World) -> None:
    world.rewrite_version(OPEN, modified="2020-01-01T00:00:00Z")
    assert world.snapshot()[OPEN]["draft_version"]["modified"] == "2020-01-01T00:00:00Z"
    world.clock.set(datetime(2019, 1, 1, tzinfo=timezone.utc))
    world.remove_asset(OPEN, ONE)
    assert world.dandisets[OPEN].draft.modified.year == 2019


def test_the_clock_never_shows_an_instant_twice() -> None:
    for clock in (Clock(), Clock(NOW)):
        readings = [clock.now() for _ in range(1000)]
        assert len(set(readings)) == 1000
        assert readings == sorted(readings)


def test_the_clock_starts_at_the_real_time() -> None:
    assert abs(Clock().now() - datetime.now(timezone.utc)) < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("instant", "spelled"),
    [
        (datetime(2023, 6, 29, 20, 2, 14, tzinfo=timezone.utc), "2023-06-29T20:02:14Z"),
        (datetime(2020, 3, 15, 22, 56, 55, 655000, tzinfo=timezone.utc), "2020-03-15T22:56:55.655000Z"),
        (datetime(2020, 3, 15, 22, 0, tzinfo=timezone(timedelta(hours=-5))), "2020-03-16T03:00:00Z"),
    ],
)
def test_instants_are_utc_and_drop_a_fraction_of_zero(instant: datetime, spelled: str) -> None:
    assert spell(instant) == spelled


def test_a_snapshot_shows_each_viewer_what_he_may_read(world: World) -> None:
    assert set(world.snapshot()) == set(world.snapshot(STRANGER_TOKEN)) == {OPEN}
    assert set(world.snapshot(OWNER_TOKEN)) == set(world.snapshot(SUPERUSER_TOKEN)) == {OPEN, HIDDEN}


def test_a_snapshot_does_not_change_with_the_world(world: World) -> None:
    before = world.snapshot()
    kept = before[OPEN]["versions"]["draft"]["assets"][ONE]["size"]
    world.edit_asset(OPEN, ONE, size=7)
    assert before[OPEN]["versions"]["draft"]["assets"][ONE]["size"] == kept == 2**31 + 1
    assert world.snapshot()[OPEN]["versions"]["draft"]["assets"][ONE]["size"] == 7


def test_generated_worlds_are_the_same_for_the_same_seed() -> None:
    assert generated_world(seed=3).snapshot() == generated_world(seed=3).snapshot()
    assert generated_world(seed=3).snapshot() != generated_world(seed=4).snapshot()


def test_a_generated_world_has_one_of_every_sort() -> None:
    world = generated_world(dandisets=12, assets=10)
    everything = world.snapshot(SUPERUSER_TOKEN)
    assets = [asset for row in everything.values() for asset in row["versions"]["draft"]["assets"].values()]
    assert {len(row["versions"]) for row in everything.values()} == {1, 2, 3, 4}
    assert min(row["draft_version"]["asset_count"] for row in everything.values()) == 0
    assert [row["embargo_status"] for row in everything.values()].count("EMBARGOED") == 1
    assert any(asset["zarr"] for asset in assets)
    assert len({asset["created"] for asset in assets}) < len(assets)
    assert {"." in row["draft_version"]["modified"] for row in everything.values()} == {True, False}
    assert any(not asset["path"].isascii() for asset in assets)
    assert any(asset["size"] > 2**31 for asset in assets)
    assert any("dandi:sha2-256" not in asset["metadata"]["digest"] for asset in assets)
    assert any("wasAttributedTo" not in asset["metadata"] for asset in assets)
    assert not all(row["draft_version"]["name"].isascii() for row in everything.values())


def _timestamps(world: World) -> dict[str, tuple[datetime, datetime, list[datetime]]]:
    return {
        identifier: (
            dandiset.modified,
            dandiset.draft.modified,
            [asset.modified for asset in dandiset.draft.assets.values()],
        )
        for identifier, dandiset in world.dandisets.items()
    }
