"""Facets are in step with the records whatever happens to these, and can be made again from what is stored."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as some

from dandi_pipeline.catalogue import FACET_SCHEMA, PUBLIC, open_mirror
from dandi_pipeline.mirror.dictionary import INTERNAL
from dandi_pipeline.mirror.schema import METADATA
from dandi_pipeline.platforms.dandi import facets
from dandi_pipeline.platforms.dandi.facet_tables import FACETS
from dandi_pipeline.platforms.dandi.facets import age_in_days, asset_facets, awards, doi, plain, term, version_facets
from dandi_pipeline_tests.documentation.generated_pages import pages
from dandi_pipeline_tests.end_to_end.rig import Rig
from dandi_pipeline_tests.mirror.records import ASSET, query
from dandi_pipeline_tests.mirror.test_upgrading import mirror_at
from dandi_pipeline_tests.questions.odd_world import odd_world
from dandi_pipeline_tests.questions.test_questions import expect
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world
from dandi_pipeline_tests.simulators.dandi.world import World

VIEWS = (
    *("draft_files", "published_files", "asset_subjects", "subjects", "variables", "approaches", "techniques"),
    *("samples", "sessions", "species", "dandiset_summary", "curation", "problems", "contributors", "about"),
)
KEYS = {"asset_key", "participant_key", "subject_key", "profile_key"}


def told(url: str) -> dict[str, list[tuple[str, ...]]]:
    """Return what the views say, without the keys, which are each mirror's own."""
    return {
        view: sorted(
            tuple(str(value) for name, value in row.items() if name not in KEYS)
            for row in query(url, f"SELECT * FROM {view}")
        )
        for view in VIEWS
    }


def rows_left(url: str) -> dict[str, int]:
    counts = {
        table.name: query(url, f"SELECT COUNT(*) AS n FROM {table.name}")[0]["n"] for table in FACET_SCHEMA.tables
    }
    return {name: number for name, number in counts.items() if number}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return odd_world(tmp_path / "corpus", seed=3, assets=15)


def test_a_change_of_rules_rebuilds_them_from_what_is_stored_with_no_request(
    mirror_url: str, tmp_path: Path, world: World
) -> None:
    with SimulatedArchive(world) as archive:
        rig = Rig(archive, mirror_url, tmp_path, versions="all")
        rig.sync()
        fresh = told(mirror_url)
        spoil(mirror_url)
        assert told(mirror_url) != fresh
        rig.requests()
        with open_mirror(mirror_url) as mirror:
            assert mirror.rebuild_facets("dandi") == len(world.dandisets)
            assert rig.requests() == 0
            assert mirror.rebuild_facets("dandi") == 0
        assert told(mirror_url) == fresh
        expect(rig)


def test_a_sync_rebuilds_them_even_where_nothing_is_stale(mirror_url: str, tmp_path: Path, world: World) -> None:
    with SimulatedArchive(world) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        rig.sync()
        fresh = told(mirror_url)
        spoil(mirror_url)
        assert rig.stale() == ()
        rig.sync()
        assert told(mirror_url) == fresh


def spoil(url: str) -> None:
    """Leave facets behind as older rules would have made them."""
    query(url, "UPDATE facet_states SET rules = 0")
    query(url, "UPDATE asset_files SET size = 1, video = 1")
    query(url, "UPDATE participants SET taxon = 'other'")


def test_a_partition_of_older_rules_that_changes_is_rebuilt_as_a_whole(
    mirror_url: str, tmp_path: Path, world: World
) -> None:
    with SimulatedArchive(world) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        rig.sync()
        spoil(mirror_url)
        world.remove_asset("000008", next(iter(world.dandisets["000008"].draft.assets)))
        with open_mirror(mirror_url) as mirror, mirror.session("dandi", "000008", ("dandisets", "assets")) as session:
            known = next(iter(session.known(ASSET)))
            session.stage_deleted(ASSET, [known])
            session.commit(run_id="run", tokens={"dandisets": None, "assets": None})
        rig.sync()
        expect(rig)


def test_a_mirror_of_an_older_version_gets_them_when_it_is_synced(empty_mirror_url: str) -> None:
    metadata = {"wasAttributedTo": {"identifier": " m1 ", "species": {"identifier": "NCBITaxon_10090"}}}
    with mirror_at(empty_mirror_url, "0004") as connection:
        connection.execute(
            sa.text(
                "INSERT INTO assets (source, dandiset_id, version, path, asset_id, size, metadata, content_hash)"
                " VALUES ('dandi', '000003', 'draft', 'a.nwb', 'id', 7, :metadata, '1')"
            ),
            {"metadata": orjson.dumps(metadata).decode()},
        )
        connection.execute(
            sa.text(
                "INSERT INTO partitions (source, partition, part, generation, visible, records, attempts)"
                " VALUES ('dandi', '000003', 'assets', 1, true, 1, 0)"
            )
        )
    with open_mirror(empty_mirror_url) as mirror:
        assert mirror.rebuild_facets("dandi") == 1
    assert query(empty_mirror_url, "SELECT dandiset_id, subject, assets FROM subjects") == [
        {"dandiset_id": "000003", "subject": "m1", "assets": 1}
    ]


def test_what_is_removed_leaves_nothing_behind(mirror_url: str, tmp_path: Path) -> None:
    world = generated_world(dandisets=3, assets=10)
    with SimulatedArchive(world) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        rig.sync()
        assert rows_left(mirror_url)
        for identifier, dandiset in list(world.dandisets.items()):
            for path in list(dandiset.draft.assets):
                world.remove_asset(identifier, path)
        rig.sync(allow_mass_deletion=True)
        assert {"asset_files", "participants", "profiles", "profile_facets"} & rows_left(mirror_url).keys() == set()
        world.dandisets.clear()
        world.create_dandiset("The only one")
        rig.sync(allow_mass_deletion=True)
        assert rows_left(mirror_url).keys() <= {table.name for table in FACETS.tables if table.of == "version"}
        assert query(mirror_url, "SELECT COUNT(*) AS n FROM version_facets") == [{"n": 1}]
        assert query(mirror_url, "SELECT COUNT(*) AS n FROM facet_states") == [{"n": 1}]


def test_a_sync_takes_statistics_once_and_again_when_the_mirror_has_grown(mirror_url: str, tmp_path: Path) -> None:
    world = generated_world(dandisets=2, assets=10)
    with SimulatedArchive(world) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        rig.sync()
        first = statistics(mirror_url)
        assert first
        rig.sync()
        assert statistics(mirror_url) == first
        for number in range(30):
            world.add_asset("000001", f"more/{number}.nwb")
        rig.sync()
        assert statistics(mirror_url) == first + 30


def statistics(url: str) -> int:
    [row] = query(url, "SELECT records FROM mirror_statistics")
    table = "sqlite_stat1" if url.startswith("sqlite") else "pg_stats"
    column = "tbl" if url.startswith("sqlite") else "tablename"
    assert query(url, f"SELECT 1 FROM {table} WHERE {column} = 'asset_files'")
    return int(row["records"])


@pytest.mark.parametrize(
    "relation", ["draft_files", "asset_subjects", "subjects", "samples", "draft_assets", "versions"]
)
def test_one_dandiset_is_found_by_its_number_alone(sqlite_url: str, tmp_path: Path, relation: str) -> None:
    with SimulatedArchive(generated_world(dandisets=12, assets=30)) as archive:
        Rig(archive, sqlite_url, tmp_path).sync()
    plan = str(query(sqlite_url, f"EXPLAIN QUERY PLAN SELECT * FROM {relation} WHERE dandiset_id = '000003'"))
    assert "SCAN" not in plan


# Rules


def test_text_is_compared_in_one_form() -> None:
    assert plain(" a\u00a0\t b\n") == "a b"
    assert plain("e\u0301\u200b\ufeff") == "\u00e9"
    assert [plain(value) for value in ("", " \u2060 ", None, 5, ["a"], "a\0b", "\ud800")] == [None] * 7


def test_terms_are_spelled_alike() -> None:
    assert term("http://purl.obolibrary.org/obo/NCBITaxon_10090") == term("ncbitaxon:10090") == "NCBITaxon:10090"
    assert term("uberon_0002421") == "UBERON:0002421"
    assert term("http://purl.obolibrary.org/obo/a b") == "http://purl.obolibrary.org/obo/a b"


def test_ages_are_days() -> None:
    assert list(age_in_days("P1Y2M3W4DT5H6M7S", None)) == pytest.approx([451.337581] * 2)
    assert age_in_days("P10D/", None) == (10, None)
    assert age_in_days("/P10D", "dandi:BirthReference") == (None, 10)
    assert age_in_days("P-1D/x", None) == age_in_days("P10D", "dandi:GestationalReference") == (None, None)
    assert age_in_days(f"P{'9' * 400}D", None) == (None, None)


def test_awards_and_papers_are_found_in_text() -> None:
    assert awards("1 R01 NS 123887-01, u01mh1234567") == ["R01NS123887"]
    assert doi("none", "https://doi.org/10.1038/Nature11129).") == "10.1038/nature11129"


def test_what_cannot_be_read_is_null_and_a_problem() -> None:
    metadata = {
        "contentSize": 10**400,
        "digest": {"dandi:sha2-256": 5},
        "wasAttributedTo": ["m1", {"identifier": 5, "age": {"value": "old"}}],
        "wasGeneratedBy": {"schemaKey": "Session", "startDate": "yesterday"},
    }
    found = asset_facets(("draft", "a.nwb"), {"size": 2**60}, metadata)
    assert {field for field, *_ in found["asset_problems"]} == {
        *("size", "contentSize", "digest.dandi:sha2-256", "wasAttributedTo[]", "wasAttributedTo[].identifier"),
        *("wasAttributedTo[].age.value", "wasGeneratedBy[].startDate"),
    }
    told_bytes = version_facets(("draft",), {}, {"assetsSummary": {"numberOfBytes": 10**400}})["version_problems"]
    assert [field for field, *_ in told_bytes] == ["assetsSummary.numberOfBytes"]


_NAMES = some.sampled_from(
    [
        "identifier",
        "name",
        "value",
        "age",
        "sex",
        "species",
        "valueReference",
        "schemaKey",
        "startDate",
        "wasDerivedFrom",
        "roleName",
        "email",
        "digest",
        "sampleType",
        "affiliation",
        "numberOfFiles",
        "dandi:sha2-256",
        "genotype",
        "strain",
        "url",
        "relation",
        "awardNumber",
        "status",
    ]
)
_TEXTS = some.text() | some.sampled_from(
    ["Session", "BioSample", "Person", "P1D", "P1D/", "2024-01-01", "\0", "\ud800"]
)
_JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | _TEXTS,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(_NAMES | some.text(max_size=3), inner, max_size=6),
    max_leaves=25,
)
_FIELDS = some.sampled_from(
    [
        "wasAttributedTo",
        "wasGeneratedBy",
        "wasDerivedFrom",
        "variableMeasured",
        "approach",
        "measurementTechnique",
        "digest",
        "contributor",
        "about",
        "relatedResource",
        "keywords",
        "license",
        "access",
        "assetsSummary",
        "name",
        "encodingFormat",
        "contentSize",
        "datePublished",
    ]
)


@settings(max_examples=300)
@given(metadata=some.dictionaries(_FIELDS, _JSON, max_size=6) | _JSON)
def test_no_metadata_fails(metadata: Any) -> None:
    columns: Mapping[str, Any] = {
        "size": 1,
        "asset_id": "id",
        "created": "2024-01-01T00:00:00.000000Z",
        "asset_count": 1,
    }
    for rows in (
        *asset_facets(("draft", "a/b.nwb"), columns, metadata).values(),
        *version_facets(("0.1.2",), columns, metadata).values(),
    ):
        storable(rows)


def storable(value: Any) -> None:
    """Require that both databases can hold every value."""
    if isinstance(value, (tuple, list)):
        for item in value:
            storable(item)
    elif isinstance(value, str):
        assert "\0" not in value
        value.encode()
    elif isinstance(value, (int, float)):
        assert abs(value) < 2**63


# The dictionary


def test_every_column_of_every_table_and_view_has_its_meaning(mirror_url: str) -> None:
    assert {*METADATA.tables, *FACET_SCHEMA.metadata.tables} <= {*PUBLIC, *INTERNAL}
    with open_mirror(mirror_url):
        pass
    engine = sa.create_engine(mirror_url.replace("postgresql://", "postgresql+psycopg2://"))
    there = sa.inspect(engine)
    names = {*there.get_table_names(), *there.get_view_names()} - INTERNAL - {"mirror_schema"}
    # SQLite keeps a full-text index in tables of its own beside it (https://sqlite.org/fts5.html, 4.4.3).
    for name in {name for name in names if not name.startswith("dandiset_words_")}:
        described = {column.name: column for column in PUBLIC[name].columns}
        assert list(described) == [column["name"] for column in there.get_columns(name)], name
        for column in described.values():
            assert column.meaning, f"{name}.{column.name}"
            assert column.example, f"{name}.{column.name}"
    engine.dispose()


def test_every_rule_is_told() -> None:
    page = next(path for path in pages() if path.name == "questions.md").parent / "facets.md"
    text = page.read_text(encoding="utf-8")
    assert [number for number in range(1, 17) if f"| N{number} |" not in text] == []
    assert facets.__doc__
