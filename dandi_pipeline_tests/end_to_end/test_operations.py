"""Every operation upstream, with exactly the timestamps it moves: one sync follows it, and writes nothing besides."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.errors import TornRead
from dandi_pipeline.platforms.dandi.plan import SHARES
from dandi_pipeline.platforms.dandi.reading import in_turn
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.planning import SyncPlan
from dandi_pipeline.sync.report import Outcome, PartitionReport
from dandi_pipeline_tests.end_to_end.equality import held_rows, plain_engine
from dandi_pipeline_tests.end_to_end.replay import all_changes, counted, replay_problems
from dandi_pipeline_tests.end_to_end.rig import Rig
from dandi_pipeline_tests.simulators.dandi import OWNER_TOKEN, SimulatedArchive, World, generated_world

NEW_ZARR = "new.ome.zarr"
"""A zarr that is in no published version."""

NEVER_PUBLISHED, PUBLISHED_ONCE, WITH_ZARRS, PUBLISHED_OFTEN, EMPTY, EMBARGOED = (f"{n:06d}" for n in range(1, 7))


@dataclass(frozen=True)
class Operation:
    """What happens upstream, and the changes that one sync then records, by record and kind."""

    name: str
    happen: Callable[[World], object]
    changes: Mapping[str, int]


def small_world() -> World:
    """Six small dandisets, each of a sort of its own; every blob but two of the first dandiset has its sha256."""
    world = generated_world(dandisets=6, assets=6, seed=5)
    for dandiset in world.dandisets.values():
        for path, asset in dandiset.draft.assets.items():
            if asset.blob and "dandi:sha2-256" not in asset.metadata["digest"]:
                world.compute_sha256(dandiset.identifier, path)
    for number in range(2):
        world.add_asset(NEVER_PUBLISHED, f"new/{number}.nwb", sha256=False)
    world.validate_version(NEVER_PUBLISHED)
    world.add_asset(EMBARGOED, NEW_ZARR, size=1234, zarr=True)
    world.validate_version(EMBARGOED)
    return world


def path_in(world: World, dandiset: str, *, zarr: bool = False, number: int = 0) -> str:
    """Return one of a draft's paths."""
    assets = world.dandisets[dandiset].draft.assets
    return sorted(path for path, asset in assets.items() if bool(asset.zarr) == zarr)[number]


def published_of(world: World, dandiset: str, number: int) -> str:
    return [version for version in world.dandisets[dandiset].versions if version != "draft"][number]


def first_path(operation: str, dandiset: str = PUBLISHED_ONCE, **arguments: object) -> Callable[[World], object]:
    """Return what does one of the world's operations to the first path of a dandiset."""
    return lambda world: getattr(world, operation)(dandiset, path_in(world, dandiset), **arguments)


def reuse_path(world: World) -> None:
    path = path_in(world, PUBLISHED_ONCE)
    world.remove_asset(PUBLISHED_ONCE, path)
    world.add_asset(PUBLISHED_ONCE, path, size=77)


def go_back_in_time(world: World) -> None:
    world.edit_asset(PUBLISHED_ONCE, path_in(world, PUBLISHED_ONCE), metadata={"keywords": ["late"]})
    world.rewrite_version(PUBLISHED_ONCE, modified="2019-01-01T00:00:00Z")


def commit_out_of_order(world: World) -> None:
    """Let the edit that took its timestamp last become visible first: the other dandiset's is the older one."""
    early = world.clock.now()
    world.edit_dandiset(PUBLISHED_OFTEN, {"description": "took its timestamp last"})
    world.edit_dandiset(PUBLISHED_ONCE, {"description": "took its timestamp first"})
    world.rewrite_version(PUBLISHED_ONCE, modified=early)


def fill_in_sha256(world: World) -> None:
    """Compute a digest, which moves nothing, and validate as the archive does after it, which moves the draft."""
    world.compute_sha256(NEVER_PUBLISHED, "new/0.nwb")
    world.validate_assets(NEVER_PUBLISHED)


def correct_an_old_version(world: World) -> None:
    world.fix_published_version(PUBLISHED_OFTEN, published_of(world, PUBLISHED_OFTEN, 0), {"description": "corrected"})
    world.validate_version(PUBLISHED_OFTEN)


def delete_an_old_version(world: World) -> None:
    world.delete_version(PUBLISHED_OFTEN, published_of(world, PUBLISHED_OFTEN, 0))
    world.validate_version(PUBLISHED_OFTEN)


def upload_a_zarr_again(world: World) -> None:
    world.reopen_zarr(EMBARGOED, NEW_ZARR)
    world.ingest_zarr(EMBARGOED, NEW_ZARR, size=4321)


def upload_a_published_zarr_again(world: World) -> None:
    """Its own `modified` stands still, as do the sizes of all versions."""
    path = path_in(world, WITH_ZARRS, zarr=True)
    world.reopen_zarr(WITH_ZARRS, path)
    world.ingest_zarr(WITH_ZARRS, path, size=4321)


def newest(world: World, dandiset: str) -> str:
    return published_of(world, dandiset, -1)


ASSETS_OF_FIRST = len(small_world().dandisets[NEVER_PUBLISHED].draft.assets)
ASSETS_OF_EMBARGOED = len(small_world().dandisets[EMBARGOED].draft.assets)

OPERATIONS = [
    Operation(
        "add an asset",
        lambda world: world.add_asset(PUBLISHED_ONCE, "sub-9/new.nwb"),
        {"asset insert": 1, "version update": 1, "dandiset update": 1},
    ),
    Operation(
        "edit an asset's metadata",
        first_path("edit_asset", metadata={"keywords": ["x"]}),
        {"asset update": 1, "version update": 1},
    ),
    Operation("put the same metadata", first_path("edit_asset", metadata={}), {}),
    Operation(
        "replace an asset's content",
        first_path("edit_asset", size=99),
        {"asset update": 1, "version update": 1, "dandiset update": 1},
    ),
    Operation(
        "move an asset",
        first_path("move_asset", new_path="elsewhere/moved.nwb"),
        {"asset insert": 1, "asset delete": 1, "version update": 1},
    ),
    Operation(
        "remove an asset",
        first_path("remove_asset"),
        {"asset delete": 1, "version update": 1, "dandiset update": 1},
    ),
    Operation("reuse a path at once", reuse_path, {"asset update": 1, "version update": 1, "dandiset update": 1}),
    Operation(
        "swap two paths",
        lambda world: world.swap_paths(
            PUBLISHED_ONCE, path_in(world, PUBLISHED_ONCE), path_in(world, PUBLISHED_ONCE, number=1)
        ),
        {"asset update": 2, "version update": 1},
    ),
    Operation(
        "edit a dandiset",
        lambda world: world.edit_dandiset(PUBLISHED_ONCE, {"description": "new"}),
        {"version update": 1},
    ),
    Operation(
        "rename a dandiset",
        lambda world: world.rename_dandiset(PUBLISHED_ONCE, "Another \x1b[31mname | with *marks*"),
        {"version update": 1, "dandiset update": 1},
    ),
    Operation(
        "publish",
        lambda world: world.publish(NEVER_PUBLISHED),
        {"asset update": ASSETS_OF_FIRST, "version insert": 1, "version update": 1},
    ),
    Operation(
        "store the newest version's DOI",
        lambda world: world.store_doi(PUBLISHED_ONCE, newest(world, PUBLISHED_ONCE), doi="10.80507/new"),
        {"version update": 1},
    ),
    Operation(
        "delete the newest published version",
        lambda world: world.delete_version(PUBLISHED_OFTEN, newest(world, PUBLISHED_OFTEN)),
        {"version delete": 1},
    ),
    Operation(
        "create a dandiset",
        lambda world: world.create_dandiset("Brand new"),
        {"dandiset insert": 1, "version insert": 1},
    ),
    Operation(
        "delete a dandiset",
        lambda world: world.delete_dandiset(NEVER_PUBLISHED),
        {"asset delete": ASSETS_OF_FIRST, "version delete": 1, "dandiset delete": 1},
    ),
    Operation("validate the assets", lambda world: world.validate_assets(PUBLISHED_ONCE), {}),
    Operation("validate the version", lambda world: world.validate_version(PUBLISHED_ONCE), {}),
    Operation(
        "find the version invalid",
        lambda world: world.validate_version(PUBLISHED_ONCE, valid=False),
        {"version update": 1},
    ),
    Operation("summarize the assets", lambda world: world.summarize_assets(PUBLISHED_ONCE), {}),
    Operation("compute a sha256", fill_in_sha256, {"asset update": 1}),
    Operation(
        "upload a zarr again",
        upload_a_zarr_again,
        {"asset update": 1, "version update": 1, "dandiset update": 1},
    ),
    Operation(
        "upload a published zarr again",
        upload_a_published_zarr_again,
        {"asset update": 1, "version update": 1},
    ),
    Operation(
        "start to unembargo",
        lambda world: world.start_unembargo(EMBARGOED),
        {"dandiset update": 1},
    ),
    Operation(
        "unembargo",
        lambda world: world.finish_unembargo(EMBARGOED),
        {"asset update": ASSETS_OF_EMBARGOED, "version update": 1, "dandiset update": 1},
    ),
    Operation("let a timestamp go back", go_back_in_time, {"asset update": 1, "version update": 1}),
    Operation("commit out of order", commit_out_of_order, {"version update": 2}),
]


@contextmanager
def mirrored(world: World, url: str, folder: Path, **settings: object) -> Iterator[Rig]:
    """Serve a world and mirror it once."""
    with SimulatedArchive(world) as archive:
        rig = Rig(archive, url, folder, **settings)  # type: ignore[arg-type]
        rig.sync()
        assert rig.differences() == []
        yield rig


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name.replace(" ", "-"))
def test_one_sync_follows_an_operation_and_writes_nothing_else(
    operation: Operation, mirror_url: str, tmp_path: Path
) -> None:
    with mirrored(small_world(), mirror_url, tmp_path, key=OWNER_TOKEN) as rig:
        before, written = held_rows(mirror_url), asset_row_versions(rig)
        sequence = rig.last_change()
        operation.happen(rig.archive.world)
        reports = rig.sync()
        assert [str(report.error) for report in reports.values() if report.error] == []
        assert rig.differences() == []

        with open_mirror(mirror_url) as mirror:
            changes = all_changes(mirror, after=sequence)
        assert counted(changes) == operation.changes
        assert sum_of_tallies(reports) == operation.changes
        assert replay_problems(before, changes, held_rows(mirror_url)) == []
        if not any(change.record == "asset" for change in changes):
            assert asset_row_versions(rig) == written
        assert rig.stale() == ()


def asset_row_versions(rig: Rig) -> list[tuple[object, ...]]:
    """Return which transaction wrote each asset's row, where the database tells."""
    if not rig.url.startswith("postgresql"):
        return []
    return rig.select("SELECT dandiset_id, version, path, xmin::text FROM assets ORDER BY 1, 2, 3")


def sum_of_tallies(reports: Mapping[str, PartitionReport]) -> dict[str, int]:
    """Return the reports' counts in the feed's words."""
    sums: dict[str, int] = {}
    for report in reports.values():
        for record, tally in report.tallies.items():
            for kind, count in (("insert", tally.added), ("update", tally.updated), ("delete", tally.deleted)):
                if count:
                    sums[f"{record} {kind}"] = sums.get(f"{record} {kind}", 0) + count
    return sums


def test_a_change_that_moves_nothing_at_all_waits_for_the_dandiset_to_move(mirror_url: str, tmp_path: Path) -> None:
    with mirrored(small_world(), mirror_url, tmp_path) as rig:
        rig.archive.world.compute_sha256(NEVER_PUBLISHED, "new/0.nwb")
        assert rig.stale() == ()
        rig.archive.world.validate_version(NEVER_PUBLISHED)
        rig.sync()
        assert rig.differences() == []


def test_a_dandiset_hidden_from_us_keeps_its_rows_and_is_followed_again_when_shown(
    mirror_url: str, tmp_path: Path
) -> None:
    with mirrored(small_world(), mirror_url, tmp_path, key=OWNER_TOKEN) as rig:
        assets = f"SELECT path, metadata FROM assets WHERE dandiset_id = '{EMBARGOED}' ORDER BY path"
        kept = rig.select(assets)
        rig.key = None
        assert rig.sync()[EMBARGOED].outcome is Outcome.HIDDEN
        assert rig.select(assets) == kept
        assert rig.select(f"SELECT visible FROM dandisets WHERE dandiset_id = '{EMBARGOED}'") in ([(False,)], [(0,)])
        sequence = rig.last_change()
        assert {report.outcome for report in rig.sync().values()} == {Outcome.FRESH}
        assert rig.last_change() == sequence

        rig.archive.world.edit_asset(EMBARGOED, path_in(rig.archive.world, EMBARGOED), size=5)
        rig.key = OWNER_TOKEN
        assert rig.sync()[EMBARGOED].outcome is Outcome.SYNCED
        assert rig.differences() == []


def test_a_dandiset_hidden_and_then_deleted_goes(mirror_url: str, tmp_path: Path) -> None:
    with mirrored(small_world(), mirror_url, tmp_path, key=OWNER_TOKEN) as rig:
        rig.key = None
        rig.sync()
        rig.archive.world.delete_dandiset(EMBARGOED)
        assert rig.sync()[EMBARGOED].outcome is Outcome.REMOVED
        assert rig.differences() == []


def test_a_dandiset_becomes_visible_to_everybody_when_it_is_unembargoed(mirror_url: str, tmp_path: Path) -> None:
    with mirrored(small_world(), mirror_url, tmp_path) as rig:
        rig.archive.world.start_unembargo(EMBARGOED)
        assert rig.stale() == ()
        rig.archive.world.finish_unembargo(EMBARGOED)
        assert rig.sync()[EMBARGOED].new
        assert rig.differences() == []


def test_a_version_s_doi_that_comes_after_the_version_was_seen_is_followed(mirror_url: str, tmp_path: Path) -> None:
    with mirrored(small_world(), mirror_url, tmp_path, versions="all") as rig:
        version = rig.archive.world.publish(NEVER_PUBLISHED).version
        rig.sync()
        assert rig.differences() == []
        rig.archive.world.store_doi(NEVER_PUBLISHED, version)
        assert rig.stale() == (NEVER_PUBLISHED,)
        rig.sync()
        assert rig.differences() == []


def test_the_zarrs_of_published_versions_are_followed(mirror_url: str, tmp_path: Path) -> None:
    """A zarr is one row that draft and published versions share, so its upload changes both; no version's row tells."""
    with mirrored(small_world(), mirror_url, tmp_path, versions="all") as rig:
        upload_a_published_zarr_again(rig.archive.world)
        rig.sync()
        assert rig.differences() == []


def test_a_zarr_opened_again_moves_nothing_and_is_seen_with_the_next_change_or_a_sweep(
    mirror_url: str, tmp_path: Path
) -> None:
    with mirrored(small_world(), mirror_url, tmp_path, versions="all") as rig:
        world, path = rig.archive.world, path_in(small_world(), WITH_ZARRS, zarr=True)
        for full in (False, True):
            before = world.dandisets[WITH_ZARRS].draft.size
            world.reopen_zarr(WITH_ZARRS, path)
            assert world.dandisets[WITH_ZARRS].draft.size == before
            assert rig.stale() == ()
            assert len(rig.differences()) >= 2, "the draft's row and the published versions'"
            if not full:
                world.validate_version(WITH_ZARRS)
            rig.sync(full=full)
            assert rig.differences() == []
            world.ingest_zarr(WITH_ZARRS, path, size=777)
            rig.sync()
            assert rig.differences() == []


def test_a_list_and_a_look_up_agree_after_an_older_version_was_corrected(mirror_url: str, tmp_path: Path) -> None:
    """The server's list shows the newest published version, a dandiset's own page the one saved last."""
    with mirrored(small_world(), mirror_url, tmp_path) as rig:
        correct_an_old_version(rig.archive.world)
        for _ in range(2):
            rig.sync(partitions=(PUBLISHED_OFTEN,))
            assert rig.stale() == ()
            sequence = rig.last_change()
            assert rig.sync(partitions=(PUBLISHED_OFTEN,)) == {}
            assert rig.last_change() == sequence
        rig.sync(full=True)
        assert rig.differences() == []


@pytest.mark.parametrize("happen", [correct_an_old_version, delete_an_old_version])
@pytest.mark.parametrize("then", ["a sweep", "a publication"])
def test_what_happens_to_an_older_version_is_seen_with_the_next_publication_or_sweep(
    happen: Callable[[World], None], then: str, mirror_url: str, tmp_path: Path
) -> None:
    """No row of the list shows it, and a dandiset whose newest version is known is not asked for the others."""
    with mirrored(small_world(), mirror_url, tmp_path) as rig:
        happen(rig.archive.world)
        rig.archive.requests.reset()
        rig.sync()
        assert rig.archive.requests.counts()["by_kind"]["versions"] == 0
        assert rig.differences()
        if then == "a publication":
            rig.archive.world.publish(PUBLISHED_OFTEN)
            rig.sync()
        else:
            turn = next(turn for turn in range(SHARES) if not in_turn(PUBLISHED_OFTEN, turn))
            rig.sync(full=True, round=turn)
        assert rig.differences() == []


def test_versions_of_a_torn_reading_are_asked_for_again(mirror_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(small_world()) as archive:
        rig = Rig(archive, mirror_url, tmp_path)

        def validate(kind: str, params: Mapping[str, str]) -> None:
            archive.world.validate_version(PUBLISHED_OFTEN)

        archive.before_response = validate
        assert rig.sync()[PUBLISHED_OFTEN].outcome is Outcome.INCOMPLETE
        archive.before_response = None
        archive.requests.reset()
        rig.sync()
        assert archive.requests.counts()["by_kind"]["versions"] >= 1
        assert rig.differences() == []


# A large dandiset, which is listed without metadata

LARGE = "000001"


@pytest.fixture
def large(mirror_url: str, tmp_path: Path) -> Iterator[Rig]:
    world = generated_world(dandisets=1, large=3_005)
    zarr = world.add_asset(LARGE, "zarrs/a.zarr", zarr=True, size=5)
    world.rewrite_asset(zarr.asset_id, modified="2024-01-01T00:00:00Z")
    for path, asset in world.dandisets[LARGE].draft.assets.items():
        if asset.blob and "dandi:sha2-256" not in asset.metadata["digest"] and path != path_in(world, LARGE):
            world.compute_sha256(LARGE, path)
    world.edit_asset(LARGE, path_in(world, LARGE, number=1), size=7)
    path = path_in(world, LARGE)
    world.remove_asset(LARGE, path)
    undigested = world.add_asset(LARGE, path, sha256=False)
    world.rewrite_asset(undigested.asset_id, modified="2024-01-01T00:00:00Z")
    with mirrored(world, mirror_url, tmp_path, key=OWNER_TOKEN) as rig:
        yield rig


def test_what_may_change_silently_in_a_large_dandiset_is_fetched_when_it_is_stale(large: Rig) -> None:
    world = large.archive.world
    path, zarr = path_in(world, LARGE), path_in(world, LARGE, zarr=True)

    world.compute_sha256(LARGE, path)
    world.validate_version(LARGE)
    large.archive.requests.reset()
    assert large.sync()[LARGE].tallies["asset"].updated == 1
    assert large.differences() == []
    asked = large.archive.requests.counts()["by_kind"]
    assert (asked["assets_full"], asked["assets_bare"], asked["asset_info"]) == (2, 0, 1)  # newest, zarrs, and itself

    world.reopen_zarr(LARGE, zarr)
    world.validate_version(LARGE)
    assert large.sync()[LARGE].tallies["asset"].updated == 1
    assert large.differences() == []
    world.ingest_zarr(LARGE, zarr, size=9_999)
    world.swap_paths(LARGE, path, path_in(world, LARGE, number=2_000))
    assert large.sync()[LARGE].tallies["asset"].updated == 3
    assert large.differences() == []


def test_everything_of_a_large_dandiset_is_read_again_when_it_is_unembargoed(mirror_url: str, tmp_path: Path) -> None:
    """Also where the last reading was torn, so that no token tells under which embargo status its rows were read."""
    world = World()
    world.create_dandiset("Large and embargoed", embargoed=True)
    for number in range(3_005):
        world.add_asset(LARGE, f"{number:05d}.nwb")
    with mirrored(world, mirror_url, tmp_path, key=OWNER_TOKEN) as rig:
        changing_at_every_walk(rig, "zzz.nwb")
        world.validate_version(LARGE)
        assert rig.sync()[LARGE].outcome is Outcome.INCOMPLETE
        rig.archive.before_response = None
        world.finish_unembargo(LARGE)
        rig.sync()
        assert rig.differences() == []


# Edits while pages turn


def changing_at_every_walk(rig: Rig, path: str) -> None:
    """Edit the large dandiset whenever a second page of its assets is asked for."""
    world = rig.archive.world

    def change(kind: str, params: Mapping[str, str]) -> None:
        if kind.startswith("assets") and params["page"] == "2":
            if path in world.dandisets[LARGE].draft.assets:
                world.remove_asset(LARGE, path)
            else:
                world.add_asset(LARGE, path)

    rig.archive.before_response = change


@pytest.mark.parametrize("known", [False, True], ids=["first-copy", "known"])
@pytest.mark.parametrize("path", ["000-first.nwb", "zzz-last.nwb"])
def test_an_edit_between_two_pages_is_noticed_and_the_walk_repeated(
    known: bool, path: str, mirror_url: str, tmp_path: Path
) -> None:
    with SimulatedArchive(generated_world(dandisets=1, large=1_100)) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        if known:
            rig.sync()
            archive.world.validate_version(LARGE)
        edited: list[str] = []

        def edit_once(kind: str, params: Mapping[str, str]) -> None:
            if kind.startswith("assets") and params["page"] == "2" and not edited:
                edited.append(path)
                archive.world.add_asset(LARGE, path)
                archive.world.remove_asset(LARGE, path_in(archive.world, LARGE, number=3))

        archive.before_response = edit_once
        archive.requests.reset()
        assert rig.sync()[LARGE].outcome is Outcome.SYNCED
        assert edited == [path]
        assert archive.requests.counts()["by_kind"]["assets_full"] == 4
        assert rig.differences() == []
        assert rig.stale() == ()


def test_a_dandiset_that_never_holds_still_is_kept_stale_until_it_does(mirror_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=2, assets=3, large=1_100)) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        changing_at_every_walk(rig, "000-first.nwb")
        open_mirror(mirror_url).close()
        for days in (0, 0, 2):
            with plain_engine(mirror_url).begin() as connection:
                # As if it had been uploaded to for so long.
                begun = (datetime.now(timezone.utc) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
                statement = "UPDATE partitions SET changing_since = :begun WHERE changing_since IS NOT NULL"
                connection.execute(sa.text(statement), {"begun": begun})
            report = rig.sync()[LARGE]
            assert report.outcome is Outcome.INCOMPLETE
            assert isinstance(report.error, TornRead) == (days > 0)
            assert report.warning.startswith("still changing") == (days == 0)
            assert report.token is None
            tokens = {token for (token,) in rig.select(f"SELECT token FROM partitions WHERE partition = '{LARGE}'")}
            assert tokens == {None}
        archive.before_response = None
        assert rig.sync()[LARGE].outcome is Outcome.SYNCED
        assert rig.select("SELECT count(*) FROM partitions WHERE changing_since IS NOT NULL") == [(0,)]
        assert rig.differences() == []


def test_edits_between_the_pages_of_the_archive_s_list_remove_no_dandiset(sqlite_url: str, tmp_path: Path) -> None:
    """One that moves to a page already read is missing from the list, but is asked for before it is thought gone."""
    world = World()
    for number in range(1_003):
        world.create_dandiset(f"Dandiset {number}")
    edits: list[str] = []

    def edit_once(kind: str, params: Mapping[str, str]) -> None:
        if kind == "dandisets" and params["page"] == "2" and not edits:
            edits.append("done")
            world.delete_dandiset("000001")
            world.create_dandiset("Created while the list was read")

    with SimulatedArchive(world, keep_alive=True) as archive, open_mirror(sqlite_url) as mirror:
        rig = Rig(archive, sqlite_url, tmp_path)
        held = ("000001", "000002", "001001")
        rig.sync(partitions=held)
        archive.before_response = edit_once
        with closing(rig.open_platform()) as platform:
            sync = Sync("dandi", platform, mirror, SyncOptions())
            plan = sync.plan()
            assert edits
            assert "001001" in plan.keys
            ours = SyncPlan(plan.checked, tuple(item for item in plan.stale if item.key in held))
            outcomes = {report.partition: report.outcome for report in sync.run(ours, "run")}
        assert outcomes == {"001001": Outcome.FRESH}
        assert rig.select("SELECT dandiset_id FROM dandisets ORDER BY 1") == [("000001",), ("000002",), ("001001",)]
        assert "000001" in rig.stale()
