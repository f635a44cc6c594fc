"""The definitions load quickly, touch nothing, and say what people select by."""

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from dandi_pipeline.orchestration.assembly import assemble, build_defs
from dandi_pipeline.orchestration.resources import Connections
from dandi_pipeline.orchestration.sources import MirroredSource, mirrored
from dandi_pipeline.platforms.dandi.platform import DANDI
from dandi_pipeline.platforms.registry import SETTINGS
from dandi_pipeline.settings import Settings, load_sources
from dandi_pipeline_tests.orchestration.site import ASSETS, DANDISETS

NONE = Connections([], Settings.from_environment({}, Path()))
"""Definitions connect to nothing before something runs."""

LOAD = "from dandi_pipeline.orchestration.assembly import build_defs; build_defs().resolve_asset_graph()"


def source(alias: str = "dandi", user: str | None = None, **labels: str) -> MirroredSource:
    return MirroredSource(
        alias=alias,
        platform="dandi",
        title="DANDI",
        parts=DANDI.parts,
        kinds=DANDI.kinds,
        partition_noun="dandiset",
        check_every=timedelta(minutes=15),
        max_concurrent=5,
        user=user,
        labels=labels,
    )


def specs(*sources: MirroredSource) -> dict[dg.AssetKey, dg.AssetSpec]:
    definitions = assemble(sources, NONE)
    launched = launchable(definitions)
    return {spec.key: spec for spec in definitions.resolve_all_asset_specs() if spec.key in launched}


def launchable(definitions: dg.Definitions) -> set[dg.AssetKey]:
    """Return the assets that can be materialized: the others stand around them, as what they are."""
    return set(definitions.resolve_asset_graph().materializable_asset_keys)


def test_loading_takes_less_than_three_seconds_of_work_and_makes_no_file(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": os.getcwd(), "DANDI_API_URL": "http://127.0.0.1:9"}
    before = os.times().children_user
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", LOAD], cwd=tmp_path, env=environ, check=True)
    assert os.times().children_user - before < 3.0, f"{time.monotonic() - started:.1f} seconds in all"
    assert list(tmp_path.iterdir()) == []


def test_every_source_has_its_assets_job_sensor_and_schedule(tmp_path: Path) -> None:
    definitions = build_defs()
    assert launchable(definitions) == {DANDISETS, ASSETS}
    assert definitions.resolve_job_def("sync_dandi").executor_def is dg.in_process_executor
    assert definitions.resolve_sensor_def("dandi_changes").minimum_interval_seconds == 15 * 60
    schedule = definitions.resolve_schedule_def("dandi_full_check")
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * *", "UTC")


def test_the_job_is_launched_without_a_partition_and_its_page_says_how_several_go_in_one_run() -> None:
    definitions = assemble([source("sand-box")], NONE)
    job = definitions.resolve_job_def("sync_sand_box")
    assert job.partitions_def is None
    assert "[launchpad](sync_sand_box/playground)" in str(job.description)
    assert "Any dandisets in one run" in str(job.description)
    pages = [spec.description for spec in definitions.resolve_all_asset_specs() if spec.partitions_def is not None]
    assert pages
    assert all("see the page of the job `sync_sand_box`" in str(description) for description in pages)


def test_sources_of_one_platform_stand_side_by_side() -> None:
    assert set(specs(source(), source("sand-box"))) == {
        DANDISETS,
        ASSETS,
        dg.AssetKey(["sand-box", "dandisets"]),
        dg.AssetKey(["sand-box", "assets"]),
    }


def test_a_team_or_an_address_becomes_the_owner_and_a_plain_name_a_tag() -> None:
    assert specs(source(user="team:data"))[ASSETS].owners == ["team:data"]
    assert specs(source(user="ann@example.org"))[ASSETS].owners == ["ann@example.org"]
    plain = specs(source(user="ann"))[ASSETS]
    assert plain.owners == []
    assert plain.tags["user"] == "ann"


SOURCES = """
sources:
  - {platform: dandi, every: 6h}
  - {alias: sandbox, platform: dandi, enabled: false}
  - {alias: tasks, platform: notion, application: skyflow, component: artefact, user: "team:data"}
  - {alias: notes, platform: notion, application: skyflow, user: ann}
  - alias: stock
    platform: airtable
    application: skyflow
    user: "team:data"
    settings: {bases: [{base: appAAAAAAAAAAAAAA}]}
"""

SCHEDULES = ("full_check", "sweep")


def definitions_of_several(folder: Path) -> dg.Definitions:
    """Return the definitions of several platforms' sources."""
    (folder / "sources.yaml").write_text(SOURCES)
    settings = Settings.from_environment({}, folder)
    sources = [source for source in load_sources(settings.sources_path, SETTINGS) if source.enabled]
    return assemble([mirrored(source) for source in sources], NONE)


def test_sensors_look_as_often_as_the_source_says_and_a_disabled_source_has_none(tmp_path: Path) -> None:
    definitions = definitions_of_several(tmp_path)
    every = {sensor.name: sensor.minimum_interval_seconds for sensor in definitions.sensors or ()}
    assert every == {"dandi_changes": 6 * 3600, "tasks_changes": 900, "notes_changes": 900, "stock_changes": 900}
    schedules = {schedule.name for schedule in definitions.schedules or ()}
    of_sources = {f"{alias}_{what}" for alias in ("dandi", "tasks", "notes", "stock") for what in SCHEDULES}
    assert schedules == of_sources


def test_two_mirrors_in_one_deployment_have_nothing_of_the_same_name() -> None:
    several = [
        build_defs([{"platform": "dandi", "alias": alias}], key_prefix=alias, reader=f"{alias}_reader")
        for alias in ("first", "second")
    ]
    repository = dg.Definitions.merge(*several).get_repository_def()
    assert {"sync_first", "sync_second"} <= set(repository.job_names)


# Dagster's own parser calls something of Dagster's that is in beta.
@pytest.mark.filterwarnings("ignore:Parameter .include_sources.:dagster.BetaWarning")
@pytest.mark.parametrize(
    "selection", ['tag:"application"="skyflow"', "kind:dandi", 'owner:"team:data"', "group:dandi", 'key:"dandi/*"']
)
def test_a_source_is_selected_by_what_it_is_labelled(selection: str) -> None:
    labelled = source(user="team:data", application="skyflow", component="ingest")
    definitions = assemble([labelled], NONE)
    chosen = dg.AssetSelection.from_string(selection)
    job = dg.Definitions(jobs=[dg.define_asset_job("chosen", chosen)])
    layer = dg.Definitions.merge(definitions, job).resolve_job_def("chosen").asset_layer
    assert layer.executable_asset_keys == {DANDISETS, ASSETS}


@pytest.mark.filterwarnings("ignore:Parameter .include_sources.:dagster.BetaWarning")
@pytest.mark.parametrize(
    ("selection", "aliases"),
    [
        ('tag:"application"="skyflow" and kind:notion and owner:"team:data"', {"tasks"}),
        ('tag:"application"="skyflow"', {"tasks", "notes", "stock"}),
        ('kind:notion and not tag:"component"="artefact"', {"notes"}),
        ("group:stock or kind:dandi", {"stock", "dandi"}),
        ('tag:"user"="ann"', {"notes"}),
    ],
)
def test_dagsters_selections_find_sources_among_several(tmp_path: Path, selection: str, aliases: set[str]) -> None:
    definitions = definitions_of_several(tmp_path)
    chosen = dg.AssetSelection.from_string(selection).resolve(definitions.resolve_asset_graph())
    assert {key.path[0] for key in chosen & launchable(definitions)} == aliases
