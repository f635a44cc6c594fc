"""Bulk copies hold every asset's metadata, lag behind, and fail the ways object stores fail."""

from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import orjson
import pytest

from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world
from dandi_pipeline_tests.simulators.dandi.manifests import BEAT
from dandi_pipeline_tests.test_simulators.asking import ask

DRAFT = "/bucket/dandisets/000001/draft/assets.jsonld"


@pytest.fixture
def archive() -> Iterator[SimulatedArchive]:
    with SimulatedArchive(generated_world(dandisets=4, assets=6)) as archive:
        yield archive


def test_a_manifest_is_every_assets_metadata_in_default_order(archive: SimulatedArchive) -> None:
    listed = ask(archive, "/api/dandisets/000001/versions/draft/assets/?metadata=true").json["results"]
    rows = {row["path"]: row for row in listed}
    written = ask(archive, DRAFT).json
    assert len(written) == len(rows)
    assert written == [rows[metadata["path"]]["metadata"] for metadata in written]
    # That order is by creation; which of several created at once comes first is anybody's guess.
    created = [rows[metadata["path"]]["created"] for metadata in written]
    assert created == sorted(created)


def test_a_published_version_has_one_of_its_own(archive: SimulatedArchive) -> None:
    version = archive.world.publish("000001").version
    path = next(iter(archive.world.dandisets["000001"].draft.assets))
    assert ask(archive, DRAFT.replace("draft", version)).status == 404
    archive.world.clock.advance(61)
    archive.world.remove_asset("000001", path)
    archive.world.clock.advance(61)
    published = ask(archive, DRAFT.replace("draft", version)).json
    assert path in {metadata["path"] for metadata in published}
    assert path not in {metadata["path"] for metadata in ask(archive, DRAFT).json}


def test_a_file_is_written_anew_some_time_after_a_change(archive: SimulatedArchive) -> None:
    before = ask(archive, DRAFT)
    moved = archive.world.add_asset("000001", "new.nwb").created
    behind = ask(archive, DRAFT)
    assert (behind.json, behind.headers["Last-Modified"]) == (before.json, before.headers["Last-Modified"])
    archive.world.clock.advance(61)
    after = ask(archive, DRAFT)
    assert len(after.json) == len(before.json) + 1
    assert after.headers["ETag"] != before.headers["ETag"]
    assert parsedate_to_datetime(after.headers["Last-Modified"]) > moved + BEAT


def test_what_changes_silently_is_not_in_the_file(archive: SimulatedArchive) -> None:
    before = ask(archive, DRAFT).raw
    path = next(iter(archive.world.dandisets["000001"].draft.assets))
    archive.world.compute_sha256("000001", path)
    archive.world.clock.advance(3_600)
    assert ask(archive, DRAFT).raw == before
    archive.world.edit_dandiset("000001", {"description": "Edited."})
    archive.world.clock.advance(61)
    assert ask(archive, DRAFT).raw != before


def test_a_stale_file_is_never_written_anew(archive: SimulatedArchive) -> None:
    before = ask(archive, DRAFT).raw
    archive.manifests.set_mode("stale")
    archive.world.add_asset("000001", "new.nwb")
    archive.world.clock.advance(3_600)
    assert ask(archive, DRAFT).raw == before


def test_conditions_and_ranges_are_honoured_and_nothing_is_compressed(archive: SimulatedArchive) -> None:
    whole = ask(archive, DRAFT, Accept_Encoding="gzip")
    assert "Content-Encoding" not in whole.headers
    assert ask(archive, DRAFT, If_None_Match=whole.headers["ETag"]).status == 304
    assert ask(archive, DRAFT, If_Modified_Since=whole.headers["Last-Modified"]).status == 304
    assert ask(archive, DRAFT, If_None_Match='"other"').status == 200
    part = ask(archive, DRAFT, Range="bytes=10-19")
    assert (part.status, part.raw) == (206, whole.raw[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole.raw)}"
    assert ask(archive, DRAFT, Range=f"bytes={len(whole.raw)}-").status == 416


@pytest.mark.parametrize(("mode", "status"), [("missing", 404), ("forbidden", 403)])
def test_a_manifest_can_be_out_of_reach(archive: SimulatedArchive, mode: str, status: int) -> None:
    archive.manifests.set_mode(mode, "000001")
    answer = ask(archive, DRAFT)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/xml")
    assert ask(archive, DRAFT.replace("000001", "000002")).status == 200


def test_a_manifest_can_be_damaged(archive: SimulatedArchive) -> None:
    archive.manifests.set_mode("truncated")
    with pytest.raises(orjson.JSONDecodeError):
        _ = ask(archive, DRAFT).json
    archive.manifests.set_mode("malformed")
    assert not isinstance(ask(archive, DRAFT).json, list)
    archive.manifests.set_mode("written")
    assert isinstance(ask(archive, DRAFT).json, list)


def test_an_embargoed_dandisets_manifest_is_forbidden(archive: SimulatedArchive) -> None:
    assert ask(archive, DRAFT.replace("000001", "000004")).status == 403
    assert ask(archive, DRAFT.replace("000001", "999999")).status == 404
