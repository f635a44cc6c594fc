"""What would delete much is refused with a word on how to allow it; a key is nowhere to be found afterwards."""

import logging
import stat
from pathlib import Path
from typing import Any

import pytest

from dandi_pipeline.errors import CredentialRejected, MassDeletionRefused
from dandi_pipeline.sync.report import Outcome
from dandi_pipeline_tests.end_to_end.equality import held_rows
from dandi_pipeline_tests.end_to_end.rig import IMPATIENT, Rig
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
