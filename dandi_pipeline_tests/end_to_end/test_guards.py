"""What would delete much is refused with a word on how to allow it; a key is nowhere to be found afterwards."""

import logging
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from threading import Event, Timer
from typing import Any

import pytest

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.errors import (
    ContractError,
    CredentialRejected,
    MassDeletionRefused,
    ResourceMissing,
    TornRead,
    WrongAddress,
)
from dandi_pipeline.platforms.dandi.plan import SHARES
from dandi_pipeline.platforms.dandi.reading import in_turn
from dandi_pipeline.settings import Tuning
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.planning import HIDDEN_LOOK_UPS
from dandi_pipeline.sync.report import Outcome
from dandi_pipeline_tests.end_to_end.equality import held_rows
from dandi_pipeline_tests.end_to_end.rig import IMPATIENT, Rig, dandi_at
from dandi_pipeline_tests.simulators.dandi import OWNER_TOKEN, SimulatedArchive, World, generated_world


def test_a_dandiset_that_would_lose_most_of_its_many_assets_is_left_alone_until_that_is_allowed(
    mirror_url: str, tmp_path: Path
) -> None:
    with SimulatedArchive(generated_world(dandisets=3, assets=3, large=1_100)) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        rig.sync()
        for path in sorted(archive.world.dandisets["000001"].draft.assets)[:1_050]:
            archive.world.remove_asset("000001", path)
        archive.world.add_asset("000002", "other.nwb")
        held = held_rows(mirror_url)["assets"]

        reports = rig.sync()
        assert isinstance(reports["000001"].error, MassDeletionRefused)
        assert "1,050 of 1,100 assets would be deleted" in str(reports["000001"].error)
        assert "--allow-mass-deletion" in str(reports["000001"].error)
        assert reports["000002"].outcome is Outcome.SYNCED
        assert held.items() <= held_rows(mirror_url)["assets"].items()
        assert rig.stale() == ("000001",)

        assert rig.sync(allow_mass_deletion=True)["000001"].tallies["asset"].deleted == 1_050
        assert rig.differences() == []


def test_an_archive_that_loses_many_dandisets_at_once_is_left_alone_until_that_is_allowed(
    mirror_url: str, tmp_path: Path
) -> None:
    world = World()
    for number in range(15):
        world.create_dandiset(f"Dandiset {number}")
    with SimulatedArchive(world) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        rig.sync()
        for number in range(1, 12):
            world.delete_dandiset(f"{number:06d}")
        held = held_rows(mirror_url)
        with pytest.raises(MassDeletionRefused, match=r"no longer lists 11 of 15 dandisets; .*--allow-mass-deletion"):
            rig.sync()
        assert held_rows(mirror_url) == held
        rig.sync(allow_mass_deletion=True)
        assert rig.differences() == []


def test_an_archive_that_suddenly_lists_nothing_is_an_error(mirror_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=3, assets=2)) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        rig.sync()
        held = held_rows(mirror_url)
        archive.faults.add("with_value", name="results", value=[], kind="dandisets")
        archive.faults.add("with_value", name="count", value=0, kind="dandisets")
        with pytest.raises(MassDeletionRefused, match="lists no dandiset at all, while the mirror holds 2"):
            rig.sync()
        assert held_rows(mirror_url) == held
        archive.faults.clear()
        assert rig.stale() == ()


@pytest.mark.parametrize("by", [1, -1, 1_000])
def test_a_list_that_does_not_match_its_count_deletes_nothing(by: int, mirror_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=2, assets=3)) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        rig.sync()
        archive.world.remove_asset("000001", min(archive.world.dandisets["000001"].draft.assets))
        archive.faults.add("wrong_count", by=by, kind="assets_full")
        assert rig.sync()["000001"].tallies["asset"].deleted == 0
        archive.faults.clear()
        rig.sync()
        assert rig.differences() == []


@pytest.mark.parametrize("fault", ["status 401", "status 403", "status 503", "html"])
def test_a_key_is_in_no_database_no_log_and_no_error(
    fault: str, mirror_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    details: dict[str, Any] = {"effect": "html"}
    if fault.startswith("status"):
        details = {"effect": "status", "status": int(fault.split()[1])}
    with SimulatedArchive(generated_world(dandisets=3, assets=3)) as archive:
        rig = Rig(archive, mirror_url, tmp_path, key=OWNER_TOKEN, limits=IMPATIENT)
        rig.sync()
        archive.world.edit_dandiset("000001", {"description": "edited"})
        archive.world.edit_dandiset("000003", {"description": "edited"})
        said: list[str] = []
        archive.faults.add(**details, kind="version_info")
        try:
            said += [f"{report!r} {report.error}" for report in rig.sync().values()]
        except CredentialRejected as error:
            said.append(f"{error!r} {error}")
        assert OWNER_TOKEN not in " ".join([*said, caplog.text])
    assert OWNER_TOKEN not in everything_in(rig)


def everything_in(rig: Rig) -> str:
    """Return all that the database holds, as text: every byte of its files, or every row of its tables."""
    if rig.url.startswith("sqlite"):
        path = Path(rig.url.removeprefix("sqlite:///"))
        return "".join(file.read_bytes().decode("latin-1") for file in path.parent.glob(f"{path.name}*"))
    tables = rig.select("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
    return "".join(str(rig.select(f'SELECT * FROM "{name}"')) for (name,) in tables)


def test_the_mirror_s_files_are_their_owner_s_alone(sqlite_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=2, assets=2)) as archive:
        rig = Rig(archive, sqlite_url.replace("mirror.sqlite", "new/folder/mirror.sqlite"), tmp_path)
        modes = {}

        def look(kind: str, params: object) -> None:
            files = (tmp_path / "new" / "folder").glob("*")
            modes.update({file.name: stat.S_IMODE(file.stat().st_mode) for file in files})

        archive.before_response = look
        rig.sync()
    assert modes["mirror.sqlite"] == 0o600
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "new" / "folder").stat().st_mode) == 0o700


# Nothing is deleted on one answer's word


@pytest.mark.parametrize("named", [(), ("000001", "000002")], ids=["all", "named"])
@pytest.mark.parametrize("path", ["", "/api/dandisets", "/bucket"])
def test_an_address_that_is_no_dandi_api_is_a_mistake_in_the_settings(
    path: str, named: tuple[str, ...], sqlite_url: str, tmp_path: Path
) -> None:
    with SimulatedArchive(generated_world(dandisets=3, assets=2)) as archive:
        rig = Rig(archive, sqlite_url, tmp_path)
        rig.sync()
        held = held_rows(sqlite_url)
        with (
            closing(dandi_at(f"{archive.url}{path}", IMPATIENT)) as platform,
            open_mirror(sqlite_url) as mirror,
            pytest.raises(WrongAddress, match="check") as refused,
        ):
            Sync("dandi", platform, mirror, SyncOptions(partitions=named)).plan()
        assert refused.value.exit_code == 2
        assert held_rows(sqlite_url) == held
        assert rig.stale() == ()


@pytest.mark.parametrize("named", [(), ("000001", "000002")], ids=["all", "named"])
@pytest.mark.parametrize(
    "fault",
    [
        {"effect": "html"},
        {"effect": "html", "status": 404},
        {"effect": "status", "status": 404},
        {"effect": "foreign"},
    ],
    ids=str,
)
def test_a_server_that_is_no_archive_deletes_nothing(
    fault: dict[str, Any], named: tuple[str, ...], sqlite_url: str, tmp_path: Path
) -> None:
    """Whether it answers pages, or says in JSON that there is nothing, as any other API does for an unknown path."""
    with SimulatedArchive(generated_world(dandisets=3, assets=2)) as archive:
        rig = Rig(archive, sqlite_url, tmp_path, limits=IMPATIENT)
        rig.sync()
        held = held_rows(sqlite_url)
        if fault["effect"] == "foreign":
            archive.faults.add("status", status=404, path=r"/dandisets/\d{6}/")
            archive.faults.add("without_field", name="count", kind="dandisets")
            archive.faults.add("without_field", name="results", kind="dandisets")
        else:
            archive.faults.add(**fault)
        with pytest.raises(WrongAddress, match=r"no DANDI API answers|not this API's way"):
            rig.sync(partitions=named)
        assert held_rows(sqlite_url) == held


def test_a_dandiset_whose_page_is_missing_while_it_is_listed_is_kept(mirror_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=3, assets=2)) as archive:
        rig = Rig(archive, mirror_url, tmp_path, limits=IMPATIENT)
        rig.sync()
        held = held_rows(mirror_url)
        archive.world.edit_dandiset("000001", {"description": "edited"})
        archive.faults.add("status", status=404, path="/000001/")
        assert isinstance(rig.sync(partitions=("000001",))["000001"].error, ResourceMissing)
        assert held_rows(mirror_url) == held


def test_named_dandisets_that_are_gone_pass_the_guard_like_all_others(mirror_url: str, tmp_path: Path) -> None:
    """Each alone as well, as partitions that Dagster materializes are: what the listing shows of all decides."""
    world = World()
    for number in range(15):
        world.create_dandiset(f"Dandiset {number}")
    with SimulatedArchive(world) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        rig.sync()
        gone = [f"{number:06d}" for number in range(1, 12)]
        for key in gone:
            world.delete_dandiset(key)
        held = held_rows(mirror_url)
        for named in (gone, gone[:1]):
            with pytest.raises(MassDeletionRefused, match=r"no longer lists 11 of 15 dandisets; .*allow-mass-deletion"):
                rig.sync(partitions=tuple(named))
            assert held_rows(mirror_url) == held
        rig.sync(partitions=tuple(gone), allow_mass_deletion=True)
        assert rig.differences() == []


def test_dandisets_that_go_while_they_are_read_pass_the_guard_too(sqlite_url: str, tmp_path: Path) -> None:
    world = World()
    for number in range(15):
        world.create_dandiset(f"Dandiset {number}")
    with SimulatedArchive(world) as archive:
        rig = Rig(archive, sqlite_url, tmp_path)
        rig.sync()
        for identifier in world.dandisets:
            world.edit_dandiset(identifier, {"description": "edited"})
        held = held_rows(sqlite_url)

        def delete_most(kind: str, params: object) -> None:
            if kind.startswith("assets") and len(world.dandisets) == 15:
                for number in range(1, 15):
                    world.delete_dandiset(f"{number:06d}")

        archive.before_response = delete_most
        reports = rig.sync()
        assert {type(report.error) for report in reports.values() if report.error} == {MassDeletionRefused}
        assert held_rows(sqlite_url)["dandisets"].keys() == held["dandisets"].keys()


def test_hidden_dandisets_are_looked_up_a_few_at_a_time_and_are_no_losses(sqlite_url: str, tmp_path: Path) -> None:
    world = World()
    for number in range(31):
        world.create_dandiset(f"Dandiset {number}", embargoed=number < 11)
    with SimulatedArchive(world) as archive:
        rig = Rig(archive, sqlite_url, tmp_path, key=OWNER_TOKEN)
        rig.sync()
        rig.key = None
        rig.sync(allow_mass_deletion=True)
        rig.requests()
        assert {report.outcome for report in rig.sync().values()} == {Outcome.FRESH}
        assert rig.requests() == 1 + HIDDEN_LOOK_UPS
        world.delete_dandiset("000001")
        while rig.select("SELECT * FROM dandisets WHERE dandiset_id = '000001'"):
            rig.sync()
        assert len(rig.select("SELECT * FROM dandisets")) == 30


def test_a_reading_that_is_torn_to_the_last_deletes_nothing(sqlite_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=2, assets=4)) as archive:
        rig = Rig(archive, sqlite_url, tmp_path)
        rig.sync()
        held = held_rows(sqlite_url)["assets"]
        archive.world.remove_asset("000001", min(archive.world.dandisets["000001"].draft.assets))

        def move(kind: str, params: object) -> None:
            if kind == "version_info":
                archive.world.validate_version("000001")

        archive.before_response = move
        assert rig.sync()["000001"].outcome is Outcome.INCOMPLETE
        assert held_rows(sqlite_url)["assets"].keys() == held.keys()
        archive.before_response = None
        rig.sync()
        assert rig.differences() == []


@pytest.fixture
def large(sqlite_url: str, tmp_path: Path) -> Iterator[Rig]:
    """A dandiset of too many pages to be read with metadata when it has changed."""
    world = generated_world(dandisets=1, large=200, digested=True)
    zarr = world.add_asset("000001", "zarrs/a.zarr", zarr=True)
    world.reopen_zarr("000001", zarr.path)
    with SimulatedArchive(world) as archive:
        rig = Rig(archive, sqlite_url, tmp_path, page_size=50)
        rig.sync()
        assert rig.differences() == []
        yield rig


LISTING = next(turn for turn in range(SHARES) if not in_turn("000001", turn))
"""A round of sweeps in which the large dandiset is listed by bare pages."""


def test_an_asset_that_its_page_with_metadata_lacks_is_not_deleted(large: Rig) -> None:
    world = large.archive.world
    edited = sorted(world.dandisets["000001"].draft.assets)[50:60]
    for path in edited:
        world.edit_asset("000001", path, metadata={"keywords": ["edited"]})
    held = held_rows(large.url)["assets"]
    large.archive.faults.add("with_value", name="results", value=[], kind="assets_full", path="page=2")
    assert isinstance(large.sync(full=True, round=LISTING)["000001"].error, TornRead)
    assert large.archive.faults.struck()
    assert held_rows(large.url)["assets"].keys() == held.keys()
    large.archive.faults.clear()
    large.sync()
    assert large.differences() == []


def test_an_empty_zarr_is_never_taken_for_unchanged(large: Rig) -> None:
    world = large.archive.world
    zarr = world.dandisets["000001"].draft.assets["zarrs/a.zarr"]
    world.rewrite_asset(zarr.asset_id, metadata={**zarr.metadata, "encodingFormat": "application/x-other-zarr"})
    world.validate_version("000001")
    large.sync(full=True, round=LISTING)
    assert large.differences() == []


def test_a_list_whose_last_page_names_another_is_not_believed(sqlite_url: str, tmp_path: Path) -> None:
    world = World()
    for number in range(1_003):
        world.create_dandiset(f"Dandiset {number}")
    with SimulatedArchive(world) as archive:
        archive.faults.add("wrong_count", by=-3, kind="dandisets")
        with (
            closing(dandi_at(archive.api_url, IMPATIENT)) as platform,
            pytest.raises(ContractError, match="more pages"),
        ):
            platform.list_partitions()


def six_dandisets() -> World:
    world = World()
    for number in range(6):
        world.create_dandiset(f"Dandiset {number}")
    return world


def test_dandisets_that_cannot_be_reached_here_and_there_stop_nothing(sqlite_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(six_dandisets()) as archive:
        rig = Rig(archive, sqlite_url, tmp_path, limits=IMPATIENT)
        archive.faults.add("reset", path="/00000[135]/")
        outcomes = {key: report.outcome for key, report in rig.sync(tuning=Tuning(max_concurrent=1)).items()}
        assert list(outcomes.values()).count(Outcome.FAILED) == 3
        assert list(outcomes.values()).count(Outcome.SYNCED) == 3


def test_a_sync_that_is_left_commits_nothing_more(sqlite_url: str, tmp_path: Path) -> None:
    reached, released = Event(), Event()

    def hold_back(kind: str, params: Mapping[str, str]) -> None:
        if kind == "version_info" and params["dandiset"] == "000002":
            reached.set()
            released.wait(20)

    with SimulatedArchive(six_dandisets()) as archive:
        rig = Rig(archive, sqlite_url, tmp_path)
        archive.before_response = hold_back
        with closing(rig.open_platform()) as platform, open_mirror(sqlite_url) as mirror:
            sync = Sync("dandi", platform, mirror, SyncOptions())
            reports = sync.run(sync.plan(), "run")
            first = next(reports)
            assert reached.wait(20)
            Timer(1, released.set).start()
            reports.close()
        assert first.partition != "000002"
        assert "000002" in rig.stale()
