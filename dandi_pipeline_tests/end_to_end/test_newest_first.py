"""A known draft is read newest first: what that shows, what the count tells, and what is asked for by itself."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from dandi_pipeline.platforms.dandi.plan import OVERLAP, SHARES
from dandi_pipeline.platforms.dandi.reading import in_turn
from dandi_pipeline.sync.report import Outcome, PartitionReport
from dandi_pipeline_tests.end_to_end.rig import Rig
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, World

DRAFT = "000001"
ASSETS = 240
PAGE_SIZE = 50


def path(number: int) -> str:
    return f"sub-{number // 10:02d}/{number:03d}.nwb"


@pytest.fixture
def world() -> World:
    """A draft that has been quiet for a day; of its files one lacks the sha256, besides it has two zarrs."""
    world = World(seed=3)
    world.create_dandiset("Known")
    for zarr in ("a.zarr", "z.zarr"):
        world.add_asset(DRAFT, zarr, zarr=True, size=77)
    for number in range(ASSETS):
        world.add_asset(DRAFT, path(number), sha256=number != 7)
    world.clock.advance(86_400)
    world.validate_version(DRAFT)
    return world


@pytest.fixture
def rig(world: World, mirror_url: str, tmp_path: Path) -> Iterator[Rig]:
    with SimulatedArchive(world) as archive:
        rig = Rig(archive, mirror_url, tmp_path, page_size=PAGE_SIZE)
        rig.sync()
        assert rig.differences() == []
        archive.requests.reset()
        yield rig


def synced(rig: Rig) -> PartitionReport:
    """Sync, after which the mirror must be equal; return the draft's report."""
    report = rig.sync()[DRAFT]
    assert rig.differences() == []
    return report


def asked(rig: Rig) -> Mapping[str, int]:
    counts: Mapping[str, int] = rig.archive.requests.counts()["by_kind"]
    return counts


# What newest first shows


def test_an_edit_is_one_page_beside_what_changes_without_a_trace(rig: Rig, world: World) -> None:
    world.edit_asset(DRAFT, path(3), size=5)
    report = synced(rig)
    assert report.plan.startswith("newest first")
    assert report.tallies["asset"].updated == 1
    assert report.tallies["asset"].checked == ASSETS + 2
    kinds = asked(rig)
    assert (kinds["assets_full"], kinds["assets_bare"], kinds["asset_info"]) == (2, 0, 1)  # with the zarrs, the blob


@pytest.mark.parametrize("edited", [15, 45, 90, 140])
def test_pages_turn_until_they_reach_what_is_known(edited: int, rig: Rig, world: World) -> None:
    for number in range(edited):
        world.edit_asset(DRAFT, path(number), metadata={"keywords": ["edited"]})
    assert synced(rig).tallies["asset"].updated == edited


def test_assets_of_one_time_are_all_seen_though_pages_end_among_them(rig: Rig, world: World) -> None:
    """The server shows equals in no order, another one on each page; only an order with the path is total."""
    together = world.clock.now() + timedelta(seconds=5)
    for number in range(130):
        asset = world.edit_asset(DRAFT, path(number), metadata={"keywords": ["at once"]})
        world.rewrite_asset(asset.asset_id, modified=together)
    assert synced(rig).tallies["asset"].updated == 130


def test_new_assets_that_are_older_than_the_stored_draft_are_seen(rig: Rig, world: World) -> None:
    """As where a dandiset was copied from another archive; more of them than the first page shows."""
    before_the_overlap = world.clock.now() - 5 * OVERLAP
    for number in range(30):
        asset = world.edit_asset(DRAFT, path(number), metadata={"keywords": ["copied"]})
        world.rewrite_asset(asset.asset_id, modified=before_the_overlap)
    assert synced(rig).tallies["asset"].updated == 30


def test_additions_are_seen(rig: Rig, world: World) -> None:
    for number in range(30):
        world.add_asset(DRAFT, f"new/{number}.nwb")
    assert synced(rig).tallies["asset"].added == 30
    assert asked(rig)["assets_bare"] == 0


def test_what_came_long_before_the_draft_moved_last_is_seen(rig: Rig, world: World) -> None:
    world.edit_asset(DRAFT, path(150), size=5)
    for number in range(25):  # more than one page of the newest shows
        world.edit_asset(DRAFT, path(number), size=6)
    world.clock.advance(86_400)
    world.validate_version(DRAFT)
    assert synced(rig).tallies["asset"].updated == 26


def test_what_was_read_with_the_newest_is_not_listed_twice_where_all_must_be_listed(rig: Rig, world: World) -> None:
    for number in range(200):
        world.edit_asset(DRAFT, path(number), metadata={"keywords": ["edited"]})
    world.remove_asset(DRAFT, path(220))
    report = synced(rig)
    assert "bare pages" in report.plan
    assert (report.tallies["asset"].updated, report.tallies["asset"].deleted) == (200, 1)


# Changes that are committed later than their time


@pytest.mark.parametrize("late", [1.0, 0.95 * OVERLAP.total_seconds()])
@pytest.mark.parametrize("times", [1, 12])
def test_a_change_that_is_committed_after_a_reading_is_seen_by_the_next(
    late: float, times: int, rig: Rig, world: World
) -> None:
    """Each took its time before the reading, which could not see it, and becomes visible after later ones did."""
    world.validate_version(DRAFT)
    rig.sync()
    for number in range(times):
        with world.begun(late):
            world.edit_asset(DRAFT, path(10 * number), size=99)
        report = synced(rig)
        assert report.plan.startswith("newest first")
        assert report.tallies["asset"].updated == 1


def test_a_change_that_is_later_than_the_overlap_is_seen_by_its_draft_s_time_or_by_a_sweep(
    rig: Rig, world: World
) -> None:
    late = 1.5 * OVERLAP.total_seconds()
    world.validate_version(DRAFT)
    rig.sync()
    with world.begun(late):
        world.edit_asset(DRAFT, path(0), size=99)
    assert not synced(rig).plan.startswith("newest first")

    for number in range(25):  # more than one page of the newest shows
        world.edit_asset(DRAFT, path(number), size=98)
    world.clock.advance(late)
    world.validate_version(DRAFT)
    synced(rig)
    with world.begun(late + 1_000):
        world.edit_asset(DRAFT, path(150), size=99)
    world.validate_version(DRAFT)
    rig.sync()
    assert {line.split(":")[0] for line in rig.differences()} == {f"assets ('{DRAFT}', 'draft', '{path(150)}')"}
    rig.sync(full=True)
    assert rig.differences() == []


def test_a_draft_whose_time_was_in_the_future_is_listed_whole(rig: Rig, world: World) -> None:
    world.rewrite_version(DRAFT, modified=world.clock.now() + timedelta(days=30))
    rig.sync()
    world.edit_asset(DRAFT, path(0), size=99)
    world.clock.advance(86_400)
    world.validate_version(DRAFT)
    assert not synced(rig).plan.startswith("newest first")


# What has left


REMOVALS: Mapping[str, tuple[Callable[[World], object], int]] = {
    "one": (lambda world: world.remove_asset(DRAFT, path(100)), 1),
    "the first": (lambda world: world.remove_asset(DRAFT, "a.zarr"), 1),
    "the last": (lambda world: world.remove_asset(DRAFT, "z.zarr"), 1),
    "a move": (lambda world: world.move_asset(DRAFT, path(100), "moved.nwb"), 1),
    "one that another makes up for": (
        lambda world: (world.remove_asset(DRAFT, path(100)), world.add_asset(DRAFT, "another.nwb")),
        1,
    ),
    "a folder": (lambda world: [world.remove_asset(DRAFT, path(number)) for number in range(50, 60)], 10),
    "all": (lambda world: [world.remove_asset(DRAFT, path) for path in [*world.dandisets[DRAFT].draft.assets]], 242),
}


@pytest.mark.parametrize("name", REMOVALS)
def test_what_has_left_is_found_by_the_count(name: str, rig: Rig, world: World) -> None:
    happen, deleted = REMOVALS[name]
    happen(world)
    assert synced_allowing(rig).tallies["asset"].deleted == deleted


def synced_allowing(rig: Rig) -> PartitionReport:
    report = rig.sync(allow_mass_deletion=True)[DRAFT]
    assert rig.differences() == []
    return report


def test_one_that_left_a_large_draft_is_searched_for(sqlite_url: str, tmp_path: Path) -> None:
    """In a draft of 40 pages six tell. A count that is not the one of the draft's row is not gone by."""
    world = World()
    world.create_dandiset("Large")
    for number in range(800):
        world.add_asset(DRAFT, f"{number:03d}.nwb")
    world.clock.advance(86_400)
    world.validate_version(DRAFT)
    with SimulatedArchive(world) as archive:
        rig = Rig(archive, sqlite_url, tmp_path, page_size=20)
        rig.sync()
        world.remove_asset(DRAFT, "555.nwb")
        archive.requests.reset()
        assert "tell which 1 left" in synced(rig).plan
        assert asked(rig)["assets_bare"] <= 7

        archive.faults.add(effect="wrong_count", by=-1, kind="assets_full")
        world.validate_version(DRAFT)
        report = synced(rig)
        assert report.tallies["asset"].deleted == 0
        assert "bare pages" in report.plan


@pytest.mark.parametrize("effect", ["page_repeated", "page_skipped"])
def test_a_page_of_the_newest_that_is_another_is_not_believed(effect: str, rig: Rig, world: World) -> None:
    for number in range(60):  # a few more than the first page of each size shows
        world.edit_asset(DRAFT, path(number), metadata={"keywords": ["edited"]})
    rig.archive.faults.add(effect=effect, kind="assets_bare", path=r"[?&]page=2(&|$)")
    assert rig.sync()[DRAFT].outcome is not Outcome.SYNCED
    rig.archive.faults.clear()
    synced(rig)


# What changes without a trace


def test_a_zarr_that_is_opened_again_is_seen_when_its_draft_moves(rig: Rig, world: World) -> None:
    world.reopen_zarr(DRAFT, "a.zarr")
    world.validate_version(DRAFT)
    assert synced(rig).tallies["asset"].updated == 1


def test_a_sha256_that_comes_is_seen_when_its_draft_moves(rig: Rig, world: World) -> None:
    world.compute_sha256(DRAFT, path(7))
    world.validate_version(DRAFT)
    assert synced(rig).tallies["asset"].updated == 1
    world.validate_version(DRAFT)
    rig.archive.requests.reset()
    synced(rig)
    assert asked(rig)["asset_info"] == 0


def test_many_without_sha256_are_read_by_their_pages(rig: Rig, world: World) -> None:
    for number in range(60):
        world.edit_asset(DRAFT, path(number), size=3)
        world.rewrite_asset(
            world.dandisets[DRAFT].draft.assets[path(number)].asset_id,
            metadata={"path": path(number), "digest": {"dandi:dandi-etag": "x-1"}},
        )
    synced(rig)
    world.clock.advance(86_400)
    world.validate_version(DRAFT)
    synced(rig)
    for number in range(60):
        world.compute_sha256(DRAFT, path(number))
    world.validate_version(DRAFT)
    rig.archive.requests.reset()
    assert synced(rig).tallies["asset"].updated == 60
    assert asked(rig)["asset_info"] < 10


# Sweeps


def correct(world: World, number: int) -> None:
    """Correct an asset's metadata in place, as only an administrator can."""
    asset = world.dandisets[DRAFT].draft.assets[path(number)]
    world.rewrite_asset(asset.asset_id, metadata={**asset.metadata, "keywords": ["corrected"]})


def test_what_is_corrected_in_place_is_found_within_so_many_rounds_of_sweeps(rig: Rig, world: World) -> None:
    correct(world, 11)
    world.validate_version(DRAFT)
    rig.sync()
    assert rig.differences()
    found = []
    for turn in range(100, 100 + SHARES):
        rig.archive.requests.reset()
        found.append(rig.sync(full=True, round=turn)[DRAFT].tallies["asset"].updated)
        kinds = asked(rig)
        assert (kinds["assets_full"] == 0) == (found[-1] == 0)
    assert sum(found) == 1
    assert rig.differences() == []


def test_a_sweep_that_lists_finds_what_has_come_or_left_late_and_what_changed_without_a_trace(
    rig: Rig, world: World
) -> None:
    turn = next(turn for turn in range(SHARES) if not in_turn(DRAFT, turn))
    for number in range(25):
        world.edit_asset(DRAFT, path(number), size=98)
    world.clock.advance(86_400)
    world.validate_version(DRAFT)
    synced(rig)
    moved = world.dandisets[DRAFT].draft.modified
    with world.begun(90_000):
        world.edit_asset(DRAFT, path(150), size=99)
        world.remove_asset(DRAFT, path(160))
    world.reopen_zarr(DRAFT, "a.zarr")
    world.rewrite_version(DRAFT, modified=moved)
    rig.sync(full=True, round=turn)
    assert rig.differences() == []


# Edits while pages turn


@pytest.mark.parametrize("kind", ["assets_full", "version_info"])
@pytest.mark.parametrize("edit", ["edit", "remove", "add"])
def test_an_edit_during_the_reading_tears_it(kind: str, edit: str, rig: Rig, world: World) -> None:
    world.edit_asset(DRAFT, path(0), size=5)
    edits = {
        "edit": lambda: world.edit_asset(DRAFT, path(150), size=6),
        "remove": lambda: world.remove_asset(DRAFT, path(150)),
        "add": lambda: world.add_asset(DRAFT, "added.nwb"),
    }
    left = [edits[edit]]

    def edit_once(asked_for: str, params: Mapping[str, str]) -> None:
        if asked_for == kind and left:
            left.pop()()

    rig.archive.before_response = edit_once
    assert synced(rig).outcome is Outcome.SYNCED
    assert left == []
    assert rig.stale() == ()
