"""Recorded metadata is served value by value, and recorded histories are replayed state by state."""

import gzip
import itertools
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import orjson
import pytest

from dandi_pipeline_tests.simulators.clock import Clock
from dandi_pipeline_tests.simulators.dandi import History, World, corpus_world
from dandi_pipeline_tests.simulators.dandi.records import as_instant

CORPUS = Path(__file__).parents[4] / "shared" / "corpus"
SOME_HISTORIES = [CORPUS / "history" / f"{name}.jsonl.gz" for name in ("000059", "000363", "000563", "001075")]
HISTORIES = [path for path in SOME_HISTORIES if path.exists()]

FIRST, SECOND, THIRD = (f"{digit * 8}-0000-4000-8000-{digit * 12}" for digit in "abc")
BLOB = "12345678-0000-4000-8000-000000000000"


def _asset(asset_id: str, path: str, **changes: Any) -> dict[str, Any]:
    metadata = {"id": f"dandiasset:{asset_id}", "identifier": asset_id, "path": path, "contentSize": 9, "xxxx": None}
    row = {"asset_id": asset_id, "path": path, "size": 9, "modified": "2023-01-02T03:04:05+00:00"}
    recorded = {"created": "2023-01-02T03:04:04.000001+00:00", "blob": BLOB, "metadata": metadata}
    return {**row, **recorded, **changes}


def _write(path: Path, lines: Iterable[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(b"".join(orjson.dumps(line) + b"\n" for line in lines)))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One dandiset with three published versions recorded, one of them not known well enough."""
    dandiset = {
        "name": "Größe",
        "dateCreated": "2020-03-15T22:56:55.655000+00:00",
        "contributor": [{"name": "Nobody"}, {"name": "Svoboda, Karel", "roleName": ["dcite:ContactPerson"]}],
    }
    header = {
        "identifier": "000041",
        "state": {"at": "2023-06-20T01:02:11Z"},
        "dandiset": dandiset,
        "versions": [
            {"version": "0.210712.1903", "tagged_at": "2021-07-12T19:03:54Z", "asset_count": 1, "dandiset": dandiset},
            {
                "version": "0.220712.1903",
                "tagged_at": "2022-07-12T19:03:54Z",
                "asset_count": 9,
                "dandiset": {**dandiset, "datePublished": "2022-07-12T19:03:53.460512"},
            },
            {"version": "0.230101.0000", "tagged_at": "2023-01-01T00:00:00Z", "asset_count": None, "dandiset": {}},
            {"version": "0.230101.0000+tag", "tagged_at": "2023-01-01T00:00:00Z", "asset_count": 1, "dandiset": {}},
        ],
    }
    published = _asset(SECOND, "b.nwb")
    published["metadata"] |= {"datePublished": "2021-07-12T19:03:53"}
    zarr = _asset(THIRD, "c.zarr", blob=None, zarr=BLOB)
    _write(tmp_path / "latest" / "000041.jsonl.gz", [header, _asset(FIRST, "a.nwb"), published, zarr])
    return tmp_path


def test_a_recorded_dandiset_has_the_timestamps_that_its_recording_determines(folder: Path) -> None:
    row = corpus_world(folder).snapshot()["000041"]
    assert row["created"] == row["modified"] == "2020-03-15T22:56:55.655000Z"
    assert row["draft_version"]["modified"] == "2023-06-20T01:02:11Z"
    assert row["contact_person"] == "Svoboda, Karel"
    versions = row["versions"]
    assert list(versions) == ["draft", "0.210712.1903", "0.220712.1903"]
    assert versions["0.210712.1903"]["modified"] == "2021-07-12T19:03:54Z"
    assert versions["0.220712.1903"]["created"] == "2022-07-12T19:03:53.460512Z"


def test_a_recorded_version_holds_as_many_assets_as_recorded_published_ones_first(folder: Path) -> None:
    versions = corpus_world(folder).snapshot()["000041"]["versions"]
    assert list(versions["0.210712.1903"]["assets"]) == ["b.nwb"]
    assert versions["0.210712.1903"]["asset_count"] == 1
    assert versions["0.220712.1903"]["asset_count"] == len(versions["0.220712.1903"]["assets"]) == 3


def test_recorded_assets_are_served_value_by_value(folder: Path) -> None:
    assets = corpus_world(folder).snapshot()["000041"]["versions"]["draft"]["assets"]
    assert assets["a.nwb"]["metadata"] == _asset(FIRST, "a.nwb")["metadata"]
    assert assets["a.nwb"]["modified"] == "2023-01-02T03:04:05Z"
    assert (assets["c.zarr"]["blob"], assets["c.zarr"]["zarr"]) == (None, BLOB)


def test_what_old_recordings_lack_is_filled_in_the_same_way_each_time(tmp_path: Path) -> None:
    old = _asset(FIRST, "a.nwb")
    del old["created"], old["blob"]
    unnamed = {**old, "asset_id": SECOND, "path": "b.nwb"}
    old["metadata"]["contentUrl"] = [f"https://dandiarchive.s3.amazonaws.com/blobs/123/456/{BLOB}?X-Amz=1"]
    unnamed["metadata"] = {}
    step = {"at": "2021-04-22T17:45:06Z", "upsert": [old, unnamed]}
    history = History(_write(tmp_path / "000077.jsonl.gz", [step]))
    worlds = [World(), World()]
    for world in worlds:
        for step_read in history:
            world.apply_history_step(history.dandiset_id, step_read)
    first, second = (world.snapshot()["000077"]["versions"]["draft"]["assets"] for world in worlds)
    assert first == second
    assert first["a.nwb"]["created"] == first["a.nwb"]["modified"]
    assert first["a.nwb"]["blob"] == BLOB
    assert len(first["b.nwb"]["blob"]) == 36


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no latest/\*\.jsonl\.gz"):
        corpus_world(tmp_path)


def test_every_step_that_changes_something_moves_the_draft(tmp_path: Path) -> None:
    at = {"at": "2021-04-22T17:45:06Z"}
    respelled = _asset(FIRST, "a.nwb", size=10)
    steps = [
        {**at, "upsert": [_asset(FIRST, "a.nwb"), _asset(SECOND, "b.nwb")]},
        {**at, "upsert": [respelled]},
        {**at, "delete": [{"asset_id": SECOND, "path": "b.nwb"}], "upsert": [_asset(THIRD, "b.nwb")]},
        {**at, "dandiset": {"name": "Renamed"}},
        at,
    ]
    history = History(_write(tmp_path / "000077.jsonl.gz", steps))
    world = World(clock=Clock(datetime(2025, 1, 1, tzinfo=timezone.utc)))
    seen = []
    for step in history:
        world.apply_history_step(history.dandiset_id, step)
        draft = world.dandisets["000077"].draft
        ids = {path: asset.asset_id for path, asset in draft.assets.items()}
        seen.append((draft.modified, ids, draft.assets["a.nwb"].size, draft.name))
    moved = [later[0] > earlier[0] for earlier, later in itertools.pairwise(seen)]
    assert moved == [True, True, True, False]
    assert [state[1:] for state in seen] == [
        ({"a.nwb": FIRST, "b.nwb": SECOND}, 9, "Dandiset 000077"),
        ({"a.nwb": FIRST, "b.nwb": SECOND}, 10, "Dandiset 000077"),
        ({"a.nwb": FIRST, "b.nwb": THIRD}, 10, "Dandiset 000077"),
        ({"a.nwb": FIRST, "b.nwb": THIRD}, 10, "Renamed"),
        ({"a.nwb": FIRST, "b.nwb": THIRD}, 10, "Renamed"),
    ]


def test_an_asset_changed_in_place_changes_in_published_versions_too(tmp_path: Path) -> None:
    steps = [{"at": "2021-04-22T17:45:06Z", "upsert": [_asset(FIRST, "a.nwb", size=size)]} for size in (9, 10)]
    first, second = History(_write(tmp_path / "000077.jsonl.gz", steps))
    world = World()
    world.apply_history_step("000077", first)
    version = world.publish("000077")
    world.apply_history_step("000077", second)
    assert version.assets["a.nwb"].size == 10


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.name[:6])
def test_a_recorded_history_ends_in_the_state_that_its_deltas_add_up_to(path: Path) -> None:
    world, history = World(), History(path)
    expected: dict[str, dict[str, Any]] = {}
    for step in history:
        world.apply_history_step(history.dandiset_id, step)
        for asset_id in step.deleted:
            del expected[asset_id]
        expected.update((row["asset_id"], dict(row)) for row in step.upserted)
        draft = world.dandisets[history.dandiset_id].draft
        assert {asset.asset_id for asset in draft.assets.values()} == set(expected)
    shown = world.snapshot()[history.dandiset_id]["versions"]["draft"]["assets"].values()
    for asset in shown:
        recorded = expected[asset["asset_id"]]
        assert asset["metadata"] == recorded["metadata"]
        assert as_instant(asset["modified"]) == as_instant(recorded["modified"])
        assert (asset["path"], asset["size"]) == (recorded["path"], recorded["size"])
