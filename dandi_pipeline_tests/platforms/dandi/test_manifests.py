"""The archive's bulk copies: read in pieces, trusted only as far as they can be, never missed when they fail."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dandi_pipeline.canonical import canonical
from dandi_pipeline.errors import UnexpectedPayload
from dandi_pipeline.platforms.dandi.manifests import MARGIN, ManifestEntry, array_items
from dandi_pipeline_tests.end_to_end.rig import Rig
from dandi_pipeline_tests.simulators.dandi import OWNER_TOKEN, SimulatedArchive, generated_world
from dandi_pipeline_tests.simulators.dandi.records import OPEN

WRITTEN = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
OLD = "2026-11-01T00:00:00Z"

JSON_OBJECTS = st.lists(
    st.dictionaries(
        st.text(max_size=5), st.recursive(st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3))
    ),
    max_size=8,
)


@given(objects=JSON_OBJECTS, size=st.integers(1, 40), indent=st.sampled_from([None, 2]), plain=st.booleans())
def test_an_array_is_read_the_same_however_it_is_cut_into_pieces(
    objects: list[dict[str, Any]], size: int, indent: int | None, plain: bool
) -> None:
    text = json.dumps(objects, indent=indent, ensure_ascii=plain).encode("utf-8", "surrogatepass")
    try:
        text.decode()
    except UnicodeDecodeError:
        return
    pieces = (text[start : start + size] for start in range(0, len(text), size))
    assert list(array_items(pieces, where="x")) == objects


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[",
        b'[{"a": 1}',
        b'[{"a": 1},',
        b'[{"a": ',
        b'{"a": []}',
        b"[1]",
        b"<html>",
        b'[{"a": 1} {"b": 2}]',
        b"[]x",
    ],
)
def test_anything_but_a_complete_array_of_objects_is_refused(text: bytes) -> None:
    with pytest.raises(UnexpectedPayload):
        list(array_items([text], where="x"))


def test_what_came_before_the_damage_is_still_given() -> None:
    items: Iterator[dict[str, Any]] = array_items([b'[{"a": 1}, {"b"'], where="x")
    assert next(items) == {"a": 1}
    with pytest.raises(UnexpectedPayload, match="not a complete JSON array"):
        next(items)


def row(**changes: Any) -> dict[str, Any]:
    return {"asset_id": "i", "path": "p", "size": 5, "zarr": None, "modified": OLD, **changes}


def metadata(**changes: Any) -> dict[str, Any]:
    usual = {
        "identifier": "i",
        "path": "p",
        "contentSize": 5,
        "digest": {"dandi:sha2-256": "x"},
        "access": [{"status": "dandi:OpenAccess"}],
    }
    return {**usual, **changes}


def test_an_old_asset_s_entry_is_trusted() -> None:
    assert ManifestEntry(metadata(), WRITTEN).describes(row(), access="dandi:OpenAccess")


@pytest.mark.parametrize(
    ("entry", "listed"),
    [
        pytest.param(metadata(), row(modified=(WRITTEN - MARGIN).isoformat()), id="modified too close to the writing"),
        pytest.param(metadata(path="q"), row(), id="another path"),
        pytest.param(metadata(contentSize=6), row(), id="another size"),
        pytest.param(metadata(contentSize=0), row(size=0), id="a zarr being uploaded"),
        pytest.param(metadata(digest={"dandi:dandi-etag": "x"}), row(), id="sha256 not there yet"),
        pytest.param(metadata(), row(zarr="z"), id="a zarr without checksum"),
        pytest.param(metadata(digest=None), row(), id="no digest"),
        pytest.param(metadata(access=[{"status": "dandi:EmbargoedAccess"}]), row(), id="from before the unembargo"),
        pytest.param(metadata(access=None), row(), id="no access"),
    ],
)
def test_an_entry_that_a_change_may_have_passed_by_is_not_trusted(entry: Any, listed: Any) -> None:
    assert not ManifestEntry(entry, WRITTEN).describes(listed, access="dandi:OpenAccess")


JUST_NOW = WRITTEN.isoformat()


@pytest.mark.parametrize(
    ("changes", "listed", "trusted"),
    [
        pytest.param({"datePublished": JUST_NOW}, {}, True, id="published"),
        pytest.param({}, {}, False, id="not published"),
        pytest.param({"datePublished": OLD}, {}, False, id="moved since it was published"),
        pytest.param({"datePublished": "2026-11-20T12:00:00"}, {}, False, id="published at no instant"),
        pytest.param({"datePublished": 2026}, {}, False, id="published, but no text says when"),
        pytest.param(
            {"datePublished": JUST_NOW, "digest": {"dandi:dandi-zarr-checksum": "x"}},
            {"zarr": "z"},
            False,
            id="a zarr, which may be ingested again",
        ),
    ],
)
def test_a_published_file_is_final_however_soon_it_was_written_down(
    changes: dict[str, Any], listed: dict[str, Any], trusted: bool
) -> None:
    entry = ManifestEntry(metadata(**changes), WRITTEN)
    assert entry.describes(row(modified=JUST_NOW, **listed), access="dandi:OpenAccess") is trusted


@pytest.fixture
def archive() -> Iterator[SimulatedArchive]:
    """An archive whose files were written well after its assets, as in years of quiet, when every digest is there."""
    world = generated_world(dandisets=7, assets=60, digested=True)
    for dandiset in world.dandisets.values():
        for version in dandiset.versions.values():
            version.modified += timedelta(days=1)
    with SimulatedArchive(world) as archive:
        yield archive


def requests_by_kind(archive: SimulatedArchive) -> dict[str, int]:
    counts: dict[str, int] = archive.requests.counts()["by_kind"]
    return counts


def test_a_first_copy_takes_metadata_from_the_manifests(
    archive: SimulatedArchive, sqlite_url: str, tmp_path: Path
) -> None:
    rig = Rig(archive, sqlite_url, tmp_path, manifest_url=archive.bucket_url)
    rig.sync()
    assert rig.differences() == []
    drafts = [dandiset.draft.assets for dandiset in archive.world.dandisets.values() if dandiset.embargo_status == OPEN]
    counts = requests_by_kind(archive)
    assert counts["manifest"] == sum(len(assets) > 0 for assets in drafts)
    assert counts["assets_bare"] == counts["manifest"]
    assert counts["asset_info"] == 0


def test_a_first_copy_with_manifests_keeps_within_its_bound_of_requests(
    archive: SimulatedArchive, sqlite_url: str, tmp_path: Path
) -> None:
    rig = Rig(archive, sqlite_url, tmp_path, manifest_url=archive.bucket_url)
    rig.sync()
    snapshot = archive.world.snapshot()
    assert rig.requests() <= rig.request_bound() + len(snapshot)


def test_published_versions_are_one_file_each_as_soon_as_it_is_written(
    archive: SimulatedArchive, sqlite_url: str, tmp_path: Path
) -> None:
    archive.world.publish("000001")
    archive.world.clock.advance(61)
    rig = Rig(archive, sqlite_url, tmp_path, manifest_url=archive.bucket_url, versions="all")
    rig.sync()
    assert rig.differences() == []
    held = [
        version
        for dandiset in archive.world.dandisets.values()
        if dandiset.embargo_status == OPEN
        for version in dandiset.versions.values()
        if version.assets
    ]
    assert len(held) > 7
    counts = requests_by_kind(archive)
    assert (counts["manifest"], counts["asset_info"]) == (len(held), 0)


def test_a_file_from_before_everything_that_differs_is_not_even_sent(
    archive: SimulatedArchive, sqlite_url: str, tmp_path: Path
) -> None:
    rig = Rig(archive, sqlite_url, tmp_path, manifest_url=archive.bucket_url)
    archive.manifests.set_mode("stale")
    for number in range(200):
        archive.world.add_asset("000006", f"new/{number}.nwb")
    for path in [path for path in archive.world.dandisets["000006"].draft.assets if not path.startswith("new/")]:
        archive.world.remove_asset("000006", path)
    rig.sync()
    assert rig.differences() == []
    assert archive.requests.counts()["by_status"].get("304") == 1


@pytest.mark.parametrize("mode", ["missing", "forbidden", "truncated", "malformed"])
def test_a_manifest_that_fails_is_made_up_for_by_the_api(
    mode: str, archive: SimulatedArchive, sqlite_url: str, tmp_path: Path
) -> None:
    archive.manifests.set_mode(mode)
    rig = Rig(archive, sqlite_url, tmp_path, manifest_url=archive.bucket_url)
    reports = rig.sync()
    assert [report.error for report in reports.values() if report.error] == []
    assert rig.differences() == []
    assert requests_by_kind(archive)["manifest"] > 0


def test_a_stale_manifest_is_used_for_what_it_can_vouch_for_alone(
    archive: SimulatedArchive, sqlite_url: str, tmp_path: Path
) -> None:
    paths = sorted(archive.world.dandisets["000002"].draft.assets)
    archive.world.edit_asset("000002", paths[0], metadata={"keywords": ["edited"]})
    archive.world.remove_asset("000002", paths[1])
    archive.world.add_asset("000002", "sub-new/new.nwb")
    rig = Rig(archive, sqlite_url, tmp_path, manifest_url=archive.bucket_url)
    rig.sync()
    assert rig.differences() == []


class Eavesdropper(BaseHTTPRequestHandler):
    """A bucket that has nothing, and remembers who asked with what."""

    authorizations: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        self.authorizations.append(self.headers.get("Authorization"))
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


def test_the_key_is_never_sent_to_the_bucket(archive: SimulatedArchive, sqlite_url: str, tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), Eavesdropper) as bucket:
        thread = Thread(target=bucket.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{bucket.server_port}"
        Rig(archive, sqlite_url, tmp_path, key=OWNER_TOKEN, manifest_url=url).sync()
        bucket.shutdown()
        thread.join()
    assert Eavesdropper.authorizations
    assert set(Eavesdropper.authorizations) == {None}


@pytest.mark.parametrize("text", ["9" * 5_000, "1e400", "-0", "1.10", r'"\ud83d"', "[" * 300 + "]" * 300])
def test_a_bulk_file_is_read_to_the_letter(text: str) -> None:
    entry = f'{{"note":{text}}}'
    pieces = [piece.encode() for piece in ("[", entry[:7], entry[7:], ",{}", "]")]
    assert [canonical(item).decode() for item in array_items(pieces, where="x")] == [entry, "{}"]


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "[" * 100_000])
def test_a_bulk_file_that_is_no_json_or_too_deep_is_left_for_the_api(text: str) -> None:
    with pytest.raises(UnexpectedPayload, match=r"^x: "):
        list(array_items([f'[{{"note":{text}'.encode()], where="x"))
