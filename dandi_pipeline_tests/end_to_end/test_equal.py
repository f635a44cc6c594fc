"""One quiet sync leaves the mirror equal to the archive, value by value, and the next one costs nothing."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import sqlalchemy as sa

from dandi_pipeline.sync.report import Outcome, PartitionReport
from dandi_pipeline_tests.end_to_end.equality import Rows, expected_rows, plain_engine, same
from dandi_pipeline_tests.end_to_end.rig import CORPUS, Rig
from dandi_pipeline_tests.simulators.dandi import (
    OWNER_TOKEN,
    STRANGER_TOKEN,
    History,
    SimulatedArchive,
    World,
    corpus_world,
    generated_world,
)

WORLDS = ["generated", *(["corpus"] if CORPUS.is_dir() else [])]
HISTORIES = sorted((CORPUS / "history").glob("*.jsonl.gz"))


@pytest.fixture(params=WORLDS)
def archive(request: pytest.FixtureRequest) -> Iterator[SimulatedArchive]:
    with SimulatedArchive(corpus_world(CORPUS) if request.param == "corpus" else generated_world()) as archive:
        yield archive


def test_a_first_sync_copies_everything_and_the_next_one_costs_one_request_and_no_write(
    archive: SimulatedArchive, mirror_url: str, tmp_path: Path
) -> None:
    rig = Rig(archive, mirror_url, tmp_path)
    reports = rig.sync()
    assert {report.outcome for report in reports.values()} == {Outcome.SYNCED}
    assert rig.differences() == []
    assert rig.requests() <= rig.request_bound()

    before = rig.last_change(), rig.select("SELECT * FROM partitions ORDER BY partition, part")
    assert rig.sync() == {}
    assert rig.requests() == 1
    assert (rig.last_change(), rig.select("SELECT * FROM partitions ORDER BY partition, part")) == before

    reports = rig.sync(full=True)
    assert not any(report.changed for report in reports.values())
    assert rig.last_change() == before[0]


def test_a_first_sync_leaves_the_indexes_for_peoples_queries(mirror_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=1)) as archive:
        Rig(archive, mirror_url, tmp_path).sync()
    with plain_engine(mirror_url).connect() as connection:
        names = {index["name"] for index in sa.inspect(connection).get_indexes("assets")}
    assert names == {"assets_by_dandiset_id", "assets_by_asset_id", "assets_by_sha256", "assets_by_blob"}


def test_published_versions_assets_are_mirrored_where_the_source_says_so(mirror_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=6)) as archive:
        rig = Rig(archive, mirror_url, tmp_path, versions="all")
        rig.sync()
        assert rig.differences() == []
        assert rig.select("SELECT count(*) FROM version_assets WHERE version <> 'draft'") > [(0,)]
        archive.world.publish("000002")
        rig.sync()
        assert rig.differences() == []


@pytest.mark.parametrize("key", [None, OWNER_TOKEN, STRANGER_TOKEN])
def test_each_key_mirrors_what_it_may_see(key: str | None, mirror_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=4)) as archive:
        rig = Rig(archive, mirror_url, tmp_path, key=key)
        rig.sync()
        assert rig.differences() == []
        embargoed = rig.select("SELECT dandiset_id FROM dandisets WHERE embargo_status = 'EMBARGOED'")
        assert embargoed == ([("000004",)] if key == OWNER_TOKEN else [])


def test_a_large_dandiset_is_read_in_many_pages(mirror_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=2, assets=3, large=4_200)) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        assert rig.sync()["000001"].tallies["asset"].added == 4_200
        assert rig.differences() == []
        assert rig.requests() <= rig.request_bound()


def test_few_changes_of_a_large_dandiset_are_fetched_alone(mirror_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=1, large=4_200)) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        for path, held in archive.world.dandisets["000001"].draft.assets.items():
            if "dandi:sha2-256" not in held.metadata["digest"]:
                archive.world.compute_sha256("000001", path)
        rig.sync()
        rig.requests()
        paths = sorted(archive.world.dandisets["000001"].draft.assets)
        for path in paths[10:4_000:1_000]:
            archive.world.edit_asset("000001", path, metadata={"keywords": ["edited"]})
        archive.world.remove_asset("000001", paths[-1])
        asset = rig.sync()["000001"].tallies["asset"]
        assert (asset.updated, asset.deleted, asset.unchanged) == (4, 1, 4_195)
        assert rig.archive.requests.counts()["by_kind"]["asset_info"] == 4
        assert rig.differences() == []


@pytest.mark.parametrize("history", HISTORIES, ids=lambda path: path.name[:6])
def test_every_step_of_a_true_history_is_followed(history: Path, sqlite_url: str, tmp_path: Path) -> None:
    identifier = history.name[:6]
    with SimulatedArchive(World()) as archive:
        rig = Rig(archive, sqlite_url, tmp_path)
        former: Rows = {}
        for number, step in enumerate(History(history)):
            archive.world.apply_history_step(identifier, step)
            assert errors(rig.sync()) == []
            expected = expected_rows(archive.world.snapshot())["assets"]
            silent = unseen(former, expected)
            assert {(each.table, each.key) for each in rig.compared()} <= silent, f"step {number}"
            if silent:
                assert errors(rig.sync(full=True)) == []
                assert rig.differences() == [], f"step {number}"
            former = expected


def errors(reports: Mapping[str, PartitionReport]) -> list[str]:
    return [str(report.error) for report in reports.values() if report.error]


def unseen(former: Rows, now: Rows) -> set[tuple[str, tuple[str, ...]]]:
    """Return the assets that changed although none of their times says so: the sweep finds those.

    They were corrected in place, or the recording has them later than assets that are newer.
    """
    newest = max((row["modified"] for row in former.values()), default="")
    return {
        ("assets", key)
        for key in former.keys() & now.keys()
        if not same(former[key], now[key]) and now[key]["modified"] <= newest
    }


def test_the_oracle_compares_every_column_with_its_type(sqlite_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=3, assets=3)) as archive:
        rig = Rig(archive, sqlite_url, tmp_path)
        rig.sync()
        assert rig.differences() == []
        spoilt = {
            "UPDATE versions SET license = NULL": "license is None instead of 'spdx",
            "UPDATE assets SET metadata = json_set(metadata, '$.contentSize', size * 1.0)": "metadata is",
            "UPDATE dandisets SET contact_person = NULL": "contact_person is None",
            "UPDATE versions SET content_hash = ''": "content_hash is no hash",
            "ALTER TABLE assets ADD COLUMN added TEXT": "nobody said what added is to be",
        }
        for statement, said in spoilt.items():
            with plain_engine(sqlite_url).begin() as connection:
                connection.execute(sa.text(statement))
            assert any(said in line for line in rig.differences()), statement


def test_one_is_not_true_nor_a_fraction_at_any_depth() -> None:
    assert same({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]})
    for other in (True, 1.0, "1", None):
        assert not same({"a": [1]}, {"a": [other]})
