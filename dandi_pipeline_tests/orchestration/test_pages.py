"""What Dagster's pages say of the assets, and what stands up- and downstream of them."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
import sqlglot
from sqlglot import exp

from dandi_pipeline import build_defs
from dandi_pipeline.catalogue import FACET_SCHEMA, PUBLIC, open_mirror
from dandi_pipeline.mirror.dictionary import read_by
from dandi_pipeline.orchestration import recording
from dandi_pipeline.orchestration.instance import open_instance
from dandi_pipeline.orchestration.launch import run_sync
from dandi_pipeline.orchestration.pages import cell, linked, ready_sql
from dandi_pipeline.platforms.registry import SETTINGS
from dandi_pipeline.settings import Settings, parse_sources
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline_tests.orchestration.site import ASSETS, DANDISETS, Site
from dandi_pipeline_tests.simulators import airtable as airtables
from dandi_pipeline_tests.simulators import notion as notions
from dandi_pipeline_tests.simulators.airtable import SimulatedAirtable
from dandi_pipeline_tests.simulators.notion import SimulatedNotion

SEVERAL: list[dict[str, Any]] = [
    {"platform": "dandi", "user": "team:data", "application": "neuro"},
    {"platform": "dandi", "alias": "mirror"},
    {"platform": "notion", "settings": {"data_sources": ["248104cd-477e-80af-bc30-000bd28de8f9"]}},
    {"platform": "airtable", "alias": "stock", "settings": {"bases": [{"base": "appAAAAAAAAAAAAAA"}]}},
]


@pytest.fixture(scope="module")
def specs() -> Mapping[str, dg.AssetSpec]:
    """The specs of several sources on a mirror in PostgreSQL, by their keys."""
    definitions = build_defs(SEVERAL, database_url="postgresql://ann:secret@db.example.org/mirror")
    definitions.get_repository_def()  # Dagster accepts them
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


# What an asset is


def test_an_assets_page_says_what_a_row_is_where_it_is_and_how_it_is_asked_for(
    specs: Mapping[str, dg.AssetSpec],
) -> None:
    spec = specs["dandi/assets"]
    assert spec.description is not None
    assert "`assets`: one row an asset of a version" in spec.description
    assert "FROM assets\nWHERE source = 'dandi'\nLIMIT 20" in spec.description
    assert "postgresql://db.example.org/mirror" in spec.description
    assert "secret" not in repr(spec)
    assert spec.owners == ["team:data"]
    assert spec.tags["application"] == "neuro"
    assert spec.kinds == {"dandi", "postgresql"}
    assert spec.metadata["dagster/table_name"] == "assets"
    assert spec.metadata["dagster/storage_kind"] == "postgresql"
    assert spec.metadata["platform"].value == "https://dandiarchive.org"
    (code,) = spec.metadata["dagster/code_references"].code_references
    assert Path(code.file_path).name == "platform.py"
    assert Path(code.file_path).exists()


def test_each_column_is_there_with_its_type_and_meaning(specs: Mapping[str, dg.AssetSpec]) -> None:
    schema = specs["dandi/assets"].metadata["dagster/column_schema"]
    assert [column.name for column in schema.columns] == [column.name for column in PUBLIC["assets"].columns]
    size = next(column for column in schema.columns if column.name == "size")
    assert (size.type, size.description) == ("integer", "bytes (contentSize in the platform's metadata)")
    tables = {key: spec.metadata["dagster/column_schema"] for key, spec in specs.items() if "platform" not in key}
    assert all(column.description for schema in tables.values() for column in schema.columns)


def test_every_ready_statement_can_be_run(mirror_url: str) -> None:
    with open_mirror(mirror_url):
        pass
    engine = sa.create_engine(mirror_url.replace("postgresql://", "postgresql+psycopg2://"))
    with engine.connect() as connection:
        for table in PUBLIC.values():
            assert connection.execute(sa.text(ready_sql(table, "dandi"))).all() == []
    engine.dispose()


@pytest.mark.parametrize(
    ("source", "site"),
    [
        ({"platform": "dandi"}, "https://dandiarchive.org"),
        ({"platform": "dandi", "settings": {"api_url": "https://api.other.org/api"}}, "https://api.other.org/api"),
        ({"platform": "dandi", "settings": {"api_url": "https://dandiarchive.org"}}, ""),  # a sync refuses it
        (SEVERAL[2], "https://www.notion.so"),
        (SEVERAL[3], "https://airtable.com/appAAAAAAAAAAAAAA"),
    ],
)
def test_a_source_leads_to_where_people_see_it(source: dict[str, Any], site: str) -> None:
    definitions = build_defs([source])
    (spec,) = [spec for spec in definitions.resolve_all_asset_specs() if spec.key.path[0] == "platform"]
    assert (spec.metadata["platform"].value if "platform" in spec.metadata else "") == site


# Lineage


def upstream(spec: dg.AssetSpec) -> set[str]:
    return {dependency.asset_key.to_user_string() for dependency in spec.deps}


def test_platforms_stand_upstream_and_what_people_query_downstream(specs: Mapping[str, dg.AssetSpec]) -> None:
    assert upstream(specs["dandi/assets"]) == upstream(specs["dandi/dandisets"]) == {"platform/dandi"}
    # One source is called "mirror": its assets and the tables keep apart.
    assert upstream(specs["mirror_tables/assets"]) == {"dandi/assets", "mirror/assets"}
    assert upstream(specs["mirror_tables/versions"]) == {"dandi/dandisets", "mirror/dandisets"}
    assert upstream(specs["mirror_tables/notion_pages"]) == {"notion/pages"}
    assert upstream(specs["mirror_tables/airtable_records"]) == {"stock/records"}
    assert upstream(specs["mirror_tables/draft_files"]) == {"mirror_tables/asset_files"}
    assert upstream(specs["mirror_tables/asset_files"]) == {"mirror_tables/assets"}
    assert upstream(specs["mirror_tables/participants"]) == {"mirror_tables/assets"}
    assert len(upstream(specs["mirror_tables/changes"])) == 5
    assert specs["mirror_tables/changes"].kinds == {"view", "postgresql"}
    assert specs["mirror_tables/assets"].kinds == {"table", "postgresql"}
    assert {key.partition("/")[2] for key in specs if key.startswith("mirror_tables/")} == set(PUBLIC) - {"items"}


def test_a_source_without_dandi_has_its_own_tables_alone() -> None:
    specs = build_defs([SEVERAL[2]], key_prefix="lab", group="team").resolve_all_asset_specs()
    keys = {spec.key.to_user_string() for spec in specs}
    assert keys == {"lab/platform/notion", "lab/notion/pages", "lab/mirror/notion_pages", "lab/mirror/changes"}
    assert {spec.group_name for spec in specs} == {"team"}


def test_the_dictionary_knows_what_each_facet_and_view_is_made_of() -> None:
    selects = {view.name: view.select for rules in FACET_SCHEMA.rules for view in rules.views}
    selects |= {roll_up.name: roll_up.select for rules in FACET_SCHEMA.rules for roll_up in rules.roll_ups}
    assert len(selects) > 10
    for name, select in selects.items():
        read = {table.name for table in sqlglot.parse_one(select).find_all(exp.Table)}
        assert set(read_by(select)) == set(PUBLIC[name].made_of) == read, name
    assert {other for table in PUBLIC.values() for other in table.made_of} <= set(PUBLIC)


# What a run changed


def test_what_strangers_call_things_stays_a_cell_of_its_table() -> None:
    assert cell("a|b\n[x](javascript:y) <img>") == "a\\|b \\[x\\](javascript:y) \\<img\\>"
    assert cell("https://x.org/a_b?c=1 _d_ ~~e~~") == "https://x.org/a_b?c=1 \\_d\\_ \\~~e\\~~"
    assert linked("k", "https://x.org/a)(b") == "[k](https://x.org/a%29%28b)"
    assert linked("k", "") == "k"


def sums(instance: dg.DagsterInstance, asset: dg.AssetKey) -> dict[str, Any]:
    """Return the metadata of the newest event that stands for a whole run."""
    records = instance.fetch_observations(asset, limit=100).records
    found = next(r.asset_observation for r in records if r.asset_observation and r.partition_key is None)
    return {name: value.value for name, value in found.metadata.items()}


def rows(markdown: str) -> list[list[str]]:
    """Return the cells of a table in Markdown, but for its head."""
    lines = [line for line in markdown.splitlines() if line.startswith("| ")]
    return [[text.strip() for text in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[1:]]


def test_a_run_shows_what_changed_with_links_and_a_few_rows(site: Site, instance: dg.DagsterInstance) -> None:
    site.sync()
    held = sums(instance, ASSETS)["rows_held"]
    site.world.add_asset("000003", "sub-new/sub-new_ecephys.nwb", size=4096)
    site.world.rename_dandiset("000004", "Mice | rats")
    site.archive.faults.add("status", status=400, path="dandisets/000005/versions/draft/assets")
    site.world.add_asset("000005", "sub-new/sub-new_ecephys.nwb", size=4096)

    site.sync()

    of_assets, of_dandisets = sums(instance, ASSETS), sums(instance, DANDISETS)
    assert of_assets["rows_held"] == held + 1
    assert (of_assets["added"], of_assets["updated"], of_assets["deleted"]) == (1, 0, 0)
    assert min(of_assets[name] for name in ("requests", "seconds", "bytes_received")) > 0
    link = f"[000003]({site.archive.api_url}/dandisets/000003/)"
    changed, failed = rows(of_assets["changes"])
    assert (changed[0], changed[2]) == (link, "1 asset added")
    assert "000005" in failed[0]
    assert failed[2].startswith("failed: ")
    assert [row[1] for row in rows(of_dandisets["changes"]) if "000004" in row[0]] == ["Mice \\| rats"]
    assert of_assets["preview"].startswith("000003:\n\n| dandiset_id | version | path |")
    assert ["000003", "draft", "sub-new/sub-new_ecephys.nwb"] in [row[:3] for row in rows(of_assets["preview"])]

    site.archive.faults.clear()
    site.sync(partitions=("000001",))
    assert not {"changes", "preview", "views"} & set(sums(instance, ASSETS))


@contextmanager
def workspace(folder: Path, mirror_url: str) -> Iterator[tuple[Settings, list[dict[str, Any]]]]:
    """Serve a Notion workspace and an Airtable base; lend settings and sources for them."""
    notion_world, airtable_world = notions.generated_world(sources=2, pages=3), airtables.generated_world(tables=1)
    with (
        SimulatedNotion(notion_world, limits=notions.UNLIMITED) as notion,
        SimulatedAirtable(airtable_world, limits=airtables.UNLIMITED) as airtable,
    ):
        environ = {
            "NOTION_TOKEN": notion.token,
            "AIRTABLE_TOKEN": airtable.token,
            "DAGSTER_HOME": str(folder / "home"),
            "MIRROR_DATABASE_URL": mirror_url,
        }
        sources = [
            {
                "platform": "notion",
                "settings": {"api_url": notion.api_url, "data_sources": list(notion_world.data_sources)},
            },
            {
                "platform": "airtable",
                "settings": {"api_url": airtable.api_url, "bases": [{"base": next(iter(airtable_world.bases))}]},
            },
        ]
        yield Settings.from_environment(environ, folder), sources


def test_partitions_of_notion_and_airtable_are_told_by_name(tmp_path: Path, postgresql_url: str) -> None:
    with workspace(tmp_path, postgresql_url) as (settings, entries):
        sources = parse_sources(entries, SETTINGS)
        for source in sources:
            assert not run_sync(source, settings, SyncOptions()).problems
        with open_mirror(settings.mirror_database_url) as mirror:
            called = {source.alias: mirror.shown(source.alias) for source in sources}
            (key, other) = called["notion"]
            mirror.record_failure("notion", key, ["pages"], run_id="r", group="contract", message="odd")
        run_sync(sources[0], settings, SyncOptions(partitions=(other,)))

        with open_instance(settings.dagster_home) as instance:
            for alias, part in (("notion", "pages"), ("airtable", "records")):
                records = instance.fetch_materializations(dg.AssetKey([alias, part]), limit=9).records
                assert len(records) == len(called[alias]) > 0
                for record in records:
                    event, shown = record.asset_materialization, called[alias][str(record.partition_key)]
                    assert event is not None
                    assert (event.metadata["name"].value, event.metadata["view"].value) == (shown.name, shown.view)
                    assert str(event.metadata["page"].value).startswith("https://")
                    assert (event.description or "").startswith(f"{shown.name} ({record.partition_key}): ")
            assert rows(sums(instance, dg.AssetKey(["airtable", "records"]))["preview"])
            views = rows(sums(instance, dg.AssetKey(["notion", "pages"]))["views"])
            assert {(row[0], row[1], row[3]) for row in views} == {
                (cell(shown.name), f"`{shown.view}`", cell(key)) for key, shown in called["notion"].items()
            }
            (check,) = instance.event_log_storage.get_asset_check_execution_history(
                dg.AssetCheckKey(dg.AssetKey(["notion", "pages"]), recording.SYNCED), limit=1
            )
            assert check.event is not None
            found = check.event.get_dagster_event().asset_check_evaluation_data
            told = cell(f"{called['notion'][key].name} ({key})")
            assert [row[0] for row in rows(str(found.metadata["failures"].value))] == [told]
            (observed,) = [
                r.asset_observation
                for r in instance.fetch_observations(dg.AssetKey(["notion", "pages"]), limit=9).records
                if r.partition_key == other
            ]
            assert observed is not None
            assert observed.metadata["name"].value == called["notion"][other].name
