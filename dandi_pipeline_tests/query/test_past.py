"""What the mirror held at a moment is read back from the change log, record for record."""

import json
import os
import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.errors import QueryRefused
from dandi_pipeline.query import Connection, connect
from dandi_pipeline.query.past import instant_of
from dandi_pipeline_tests.end_to_end.equality import held_rows, plain_engine
from dandi_pipeline_tests.end_to_end.rig import CORPUS, Rig
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, World, generated_world
from dandi_pipeline_tests.simulators.dandi.history import History
from dandi_pipeline_tests.soak.upstream import Upstream

NOT_KEPT = {"dandisets": "draft_modified", "versions": "modified"}
Step = tuple[datetime, Mapping[str, Mapping[Any, Mapping[str, Any]]]]


def now() -> datetime:
    return datetime.now(timezone.utc)


def recorded(rig: Rig) -> Step:
    """Return the present moment, and every row that the mirror holds."""
    held = held_rows(rig.url)
    for table, column in NOT_KEPT.items():
        for row in held[table].values():
            row[column] = None
    return now(), held


def lived(rig: Rig, *, seed: int, syncs: int) -> list[Step]:
    """Sync so often what changes at random in between; return what the mirror held after each."""
    upstream, steps = Upstream(rig.archive.world, random.Random(seed)), []
    for _ in range(syncs):
        rig.sync(full=True, allow_mass_deletion=True)
        steps.append(recorded(rig))
        for _ in range(6):
            upstream.happen()
    return steps


def past(mirror: Connection, moment: datetime, table: str) -> dict[tuple[str, ...], dict[str, Any]]:
    """Return the rows of a table as of a moment, as `held_rows` has them."""
    frame = mirror.as_of(moment, table)
    key = {"dandisets": ["dandiset_id"], "versions": ["dandiset_id", "version"]}.get(
        table, ["dandiset_id", "version", "path"]
    )
    rows = [
        {str(name): _plain(str(name), value) for name, value in row.items()}
        for row in frame.astype(object).where(frame.notna(), None).to_dict("records")
    ]
    return {tuple(row[name] for name in key): row for row in rows}


def _plain(name: str, value: Any) -> Any:
    if name == "metadata" and value is not None:
        return json.loads(value)
    if name == "visible":
        return bool(value)
    return instant_of(value.to_pydatetime()) if name in ("created", "modified") and value is not None else value


def assert_past(url: str, steps: Sequence[Step]) -> None:
    with connect(url) as mirror:
        for moment, held in steps:
            for table, rows in held.items():
                expected = {key: {**row, "content_hash": None} for key, row in rows.items()}
                found = {key: {**row, "content_hash": None} for key, row in past(mirror, moment, table).items()}
                assert found == expected


def test_every_step_of_a_random_history_is_read_back(mirror_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=4, assets=5)) as archive:
        rig = Rig(archive, mirror_url, tmp_path, versions="all")
        before = now()
        steps = lived(rig, seed=7, syncs=12)
    assert len(steps[0][1]["assets"]) > 10
    assert any(steps[0][1][table] != steps[-1][1][table] for table in NOT_KEPT)
    assert_past(mirror_url, steps)
    with connect(mirror_url) as mirror, pytest.raises(QueryRefused, match="first sync ended at"):
        mirror.as_of(before)


def test_a_pruned_past_is_refused_and_what_came_after_is_read_as_ever(mirror_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=4, assets=5)) as archive:
        rig = Rig(archive, mirror_url, tmp_path, versions="all")
        steps = lived(rig, seed=5, syncs=6)
        with open_mirror(mirror_url) as mirror:
            numbers = [change.sequence for change in mirror.changes(limit=10_000)]
            cut = instant_of(steps[2][0])
            planned = mirror.prune_changes(cut, dry_run=True)
            assert [change.sequence for change in mirror.changes(limit=10_000)] == numbers
            assert mirror.prune_changes(cut) == planned > 0
            assert mirror.prune_changes(cut) == 0
            assert [change.sequence for change in mirror.changes(limit=10_000)] == numbers[planned:]
        assert_past(mirror_url, steps[2:])
        with connect(mirror_url) as connection:
            for moment, _ in steps[:2]:
                with pytest.raises(QueryRefused, match=r"or the changes until then were pruned; nothing is known of"):
                    connection.as_of(moment)
                with pytest.raises(QueryRefused, match=r"000001 .* or its changes until then were pruned"):
                    connection.as_of(moment, dandiset_id=1)
        # A log that is pruned whole goes on with numbers that nothing had.
        with open_mirror(mirror_url) as mirror:
            mirror.prune_changes(instant_of(now()))
            assert mirror.changes() == []
            rig.sync(full=True, allow_mass_deletion=True)
            assert all(change.sequence > numbers[-1] for change in mirror.changes())
        assert_past(mirror_url, [recorded(rig)])


def test_the_past_is_asked_in_sql_with_every_view(mirror_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=3, assets=4)) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        rig.sync()
        moment, held = recorded(rig)
        archive.world.add_asset("000001", "sub-new/sub-new.nwb", size=5)
        archive.world.delete_dandiset("000002")
        rig.sync(allow_mass_deletion=True)
    count = "SELECT dandiset_id, count(*) AS files FROM draft_assets GROUP BY dandiset_id ORDER BY dandiset_id"
    with connect(mirror_url) as mirror:
        then: dict[str, int] = dict(mirror.as_of(moment, sql=count).itertuples(index=False))
        today: dict[str, int] = dict(mirror.sql(count).itertuples(index=False))
    drafts = [key[0] for key in held["assets"] if key[1] == "draft"]
    assert then == {identifier: drafts.count(identifier) for identifier in then}
    assert today["000001"] == then["000001"] + 1
    assert set(then) - set(today) == {"000002"}


def test_what_was_not_complete_yet_is_refused_by_name_and_left_out_of_all(mirror_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=3, assets=4)) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        rig.sync(partitions=("000001",))
        rig.sync(partitions=("000002",), max_records=2)
        early = now()
        rig.sync()
    with connect(mirror_url) as mirror:
        assert set(mirror.as_of(early)["dandiset_id"]) == {"000001"}
        assert set(mirror.as_of(early, "draft_assets", dandiset_id="DANDI:000001")["dandiset_id"]) == {"000001"}
        with pytest.raises(QueryRefused, match="000002 was first held completely at"):
            mirror.as_of(early, dandiset_id=2)
        with pytest.raises(QueryRefused, match="has never held dandiset 000999"):
            mirror.as_of(early, dandiset_id=999)
        with pytest.raises(QueryRefused, match="'subjects' is not kept by itself"):
            mirror.as_of(early, "subjects")
        with pytest.raises(QueryRefused, match="'last week' is no moment"):
            mirror.as_of("last week")


def test_what_was_removed_is_still_there_in_the_past_and_metadata_is_kept_to_the_letter(
    mirror_url: str, tmp_path: Path
) -> None:
    odd = {"text": 'a, "metadata": {"b"}, "content_hash": "0"', "deep": [[[{"x": 1.50}]]], "nul": "a\0b"}
    with SimulatedArchive(generated_world(dandisets=2, assets=3)) as archive:
        asset = archive.world.add_asset("000001", 'sub-1/,"metadata" : 1.nwb', size=7, metadata=odd)
        rig = Rig(archive, mirror_url, tmp_path)
        rig.sync()
        moment = now()
        kept = rig.select("SELECT CAST(metadata AS TEXT) FROM draft_assets WHERE path = :path", path=asset.path)
        archive.world.remove_asset("000001", asset.path)
        rig.sync()
    with connect(mirror_url) as mirror:
        frame = mirror.as_of(moment, dandiset_id=1)
        (found,) = frame.loc[frame["path"] == asset.path, "metadata"]
        assert found == kept[0][0]
        assert asset.path not in set(mirror.as_of(now(), dandiset_id=1)["path"])


def test_of_commits_whose_clock_went_back_the_last_one_counts(mirror_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=1, assets=2)) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        rig.sync()
        archive.world.add_asset("000001", "sub-new/sub-new.nwb", size=5)
        rig.sync()
    earlier = now() - timedelta(days=1)
    with plain_engine(mirror_url).begin() as connection:
        connection.execute(sa.text("UPDATE first_syncs SET at = :at"), {"at": instant_of(earlier - timedelta(days=1))})
        connection.execute(
            sa.text("UPDATE change_log SET at = :at WHERE name = 'sub-new/sub-new.nwb'"), {"at": instant_of(earlier)}
        )
    with connect(mirror_url) as mirror:
        assert "sub-new/sub-new.nwb" in set(mirror.as_of(earlier)["path"])


@pytest.mark.parametrize(
    ("moment", "instant"),
    [
        ("2026-01-31", "2026-01-31T00:00:00.000000Z"),
        ("2026-01-31 12:30", "2026-01-31T12:30:00.000000Z"),
        ("2026-01-31T12:30:15.5+02:00", "2026-01-31T10:30:15.500000Z"),
        (datetime(2026, 1, 31), "2026-01-31T00:00:00.000000Z"),
        (datetime(2026, 1, 31).date(), "2026-01-31T00:00:00.000000Z"),
    ],
)
def test_moments_are_spelled_in_several_ways(moment: Any, instant: str) -> None:
    assert instant_of(moment) == instant


REAL = sorted((CORPUS / "history").glob("*.jsonl.gz"))
MOST_STEPS = int(os.environ.get("DANDI_PIPELINE_HISTORY_STEPS", "25"))
"""Of each real history in the ordinary run: all of the fifteen have 989."""


@pytest.mark.skipif(not REAL, reason="the real histories do not lie beside this checkout")
@pytest.mark.parametrize("path", REAL[: 15 if MOST_STEPS > 100 else 2], ids=lambda path: path.name[:6])
def test_a_real_history_is_read_back_step_by_step(mirror_url: str, tmp_path: Path, path: Path) -> None:
    world = World()
    history = History(path)
    archive_of = history.dandiset_id
    steps: list[tuple[datetime, dict[str, tuple[Any, ...]]]] = []
    with SimulatedArchive(world) as archive:
        world.create_dandiset("a real one", identifier=archive_of)
        rig = Rig(archive, mirror_url, tmp_path)
        for step in islice((step for step in history if step.changes_anything), MOST_STEPS):
            world.apply_history_step(archive_of, step)
            rig.sync(full=True, allow_mass_deletion=True)
            draft = world.dandisets[archive_of].versions["draft"]
            truth = {asset.path: (asset.asset_id, asset.size, asset.metadata) for asset in draft.assets.values()}
            steps.append((now(), dict(truth)))
    with connect(mirror_url) as mirror:
        for moment, truth in steps:
            frame = mirror.as_of(moment, dandiset_id=archive_of)
            rows = zip(frame["path"], frame["asset_id"], frame["size"], frame["metadata"], strict=True)
            assert {path: (asset_id, size, json.loads(text)) for path, asset_id, size, text in rows} == truth
