"""A sync in this process is a recorded run, and tells of every partition what became of it."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from dandi_pipeline import query
from dandi_pipeline.errors import MassDeletionRefused
from dandi_pipeline.http import Traffic
from dandi_pipeline.orchestration import recording as run_tags
from dandi_pipeline.orchestration.history import freshness_of, past_syncs
from dandi_pipeline.orchestration.instance import open_instance
from dandi_pipeline.orchestration.recording import printable
from dandi_pipeline.settings import Tuning
from dandi_pipeline.sync.report import Problem, SyncReport, Tally
from dandi_pipeline_tests.orchestration.served import CHECKOUT
from dandi_pipeline_tests.orchestration.site import ASSETS, DANDISETS, Site, materialized, statuses
from dandi_pipeline_tests.postgresql import PostgresqlServer


def only_run(instance: dg.DagsterInstance) -> dg.DagsterRun:
    (run,) = instance.get_runs()
    return run


def test_a_sync_is_a_run_with_one_event_a_partition_and_part(site: Site, instance: dg.DagsterInstance) -> None:
    report = site.sync()

    assert only_run(instance).run_id == report.run_id
    assert only_run(instance).status is dg.DagsterRunStatus.SUCCESS
    keys = [f"00000{number}" for number in range(1, 7)]
    assert sorted(materialized(instance)) == sorted(materialized(instance, DANDISETS)) == keys
    assert set(statuses(instance, site.shown).values()) == {"MATERIALIZED"}
    assert instance.get_dynamic_partitions("dandi") == keys
    with site.mirror() as mirror:
        stored = {key: state.token for (key, part), state in mirror.states("dandi").items() if part == "assets"}
    events = materialized(instance)
    assert data_versions(instance) == stored
    assert report.records.added > 0
    assert sum(event["dagster/partition_row_count"] for event in events.values()) == report.records.added


def test_what_changed_alone_gets_an_event(site: Site, instance: dg.DagsterInstance) -> None:
    site.sync()
    before = len(instance.fetch_materializations(ASSETS, limit=100).records)
    path = min(site.world.snapshot()["000002"]["versions"]["draft"]["assets"])
    site.world.remove_asset("000002", path)

    report = site.sync()

    records = instance.fetch_materializations(ASSETS, limit=100).records
    assert len(records) == before + 1
    assert records[0].partition_key == "000002"
    event = records[0].asset_materialization
    assert event is not None
    assert event.description == "000002: 1 asset deleted"
    assert report.records.deleted == 1


def test_the_event_of_a_part_says_what_happened_to_that_part(site: Site, instance: dg.DagsterInstance) -> None:
    site.sync()
    path = min(site.world.snapshot()["000002"]["versions"]["draft"]["assets"])
    site.world.remove_asset("000002", path)

    site.sync()

    described = {
        asset: event.asset_materialization.description
        for asset in (ASSETS, DANDISETS)
        if (event := instance.fetch_materializations(asset, limit=1).records[0]).asset_materialization
    }
    assert described == {
        ASSETS: "000002: 1 asset deleted",
        DANDISETS: "000002: 1 dandiset updated, 1 version updated",
    }


def test_a_fresh_partition_asked_for_by_name_is_observed_as_unchanged(site: Site, instance: dg.DagsterInstance) -> None:
    site.sync()
    site.archive.requests.reset()

    site.sync(partitions=("000002",))

    assert site.archive.requests.total == 2  # its own page, and the newest of its published versions
    assert len(instance.fetch_materializations(ASSETS, limit=100).records) == 6
    observed = next(iter(observations(instance, "000002")))
    assert "nothing changed" in (observed.description or "")
    assert observed.metadata["dagster/partition_row_count"].value == held(site, "000002")


def test_a_run_tells_what_was_planned_beside_what_was_sent(site: Site, instance: dg.DagsterInstance) -> None:
    report = site.sync()

    observed = instance.fetch_observations(ASSETS, limit=1).records[0].asset_observation
    assert observed is not None
    assert observed.partition is None
    sent, planned = observed.metadata["requests"].value, observed.metadata["requests_planned"].value
    assert sent == planned == report.traffic.requests
    assert observed.description == f"{report.records.added} added; {sent:,.0f} requests sent, {planned:,.0f} planned"
    assert observed.metadata["rows_held"].value == observed.metadata["added"].value == report.records.added


def test_failed_partitions_show_as_failed_and_the_others_as_materialized(
    site: Site, instance: dg.DagsterInstance
) -> None:
    site.archive.faults.add("status", status=400, path="dandisets/000002/versions")

    report = site.sync()

    assert [problem.partition for problem in report.problems] == ["000002"]
    assert report.exit_code == 1
    assert only_run(instance).status is dg.DagsterRunStatus.FAILURE
    assert statuses(instance, site.shown) == statuses(instance, site.shown, DANDISETS)
    assert {key for key, status in statuses(instance, site.shown).items() if status == "FAILED"} == {"000002"}
    assert "000002" not in materialized(instance)
    # No event of success tells of a failure: the check does, with the reason.
    assert observations(instance, "000002") == []
    failing = synced(instance)
    assert not failing.passed
    assert "Bad Request" in str(failing.metadata["failures"].value)
    assert "| 000002 |" in str(failing.metadata["failures"].value)

    site.archive.faults.clear()
    site.sync()
    assert set(statuses(instance, site.shown).values()) == {"MATERIALIZED"}
    assert synced(instance).passed


def test_a_check_executed_alone_syncs_nothing(site: Site, instance: dg.DagsterInstance) -> None:
    site.sync()
    with site.mirror() as mirror:
        mirror.record_failure("dandi", "000002", ["assets"], run_id="r", group="contract", message="400 | Bad\nRequest")
    site.archive.requests.reset()
    check = dg.AssetSelection.checks(dg.AssetCheckKey(ASSETS, run_tags.SYNCED))
    job = dg.Definitions(jobs=[dg.define_asset_job("check", check)])

    dg.Definitions.merge(site.definitions, job).resolve_job_def("check").execute_in_process(instance=instance)

    assert site.archive.requests.total == 0
    assert synced(instance).description == "1 of 6 dandisets failed, to be tried again"
    assert "| 400 \\| Bad Request |" in str(synced(instance).metadata["failures"].value)


def test_what_fails_in_the_assets_alone_leaves_the_dandiset_green(site: Site, instance: dg.DagsterInstance) -> None:
    site.sync()
    site.world.rename_dandiset("000002", "Renamed")
    site.world.add_asset("000002", "sub-new/sub-new.nwb", size=1)
    site.archive.faults.add("status", status=400, path="dandisets/000002/versions/draft/assets")

    report = site.sync()

    assert [(problem.partition, problem.group) for problem in report.problems] == [("000002", "contract")]
    assert (report.partitions.updated, report.failed) == (0, 1)
    assert statuses(instance, site.shown)["000002"] == "FAILED"
    assert statuses(instance, site.shown, DANDISETS)["000002"] == "MATERIALIZED"
    assert not synced(instance).passed
    assert synced(instance, DANDISETS).passed
    with site.mirror() as mirror:
        failed = {key: state.error_group for key, state in mirror.states("dandi").items() if state.attempts}
    assert failed == {("000002", "assets"): "contract"}
    renamed = instance.fetch_materializations(DANDISETS, limit=1).records[0].asset_materialization
    assert renamed is not None
    assert renamed.metadata["name"].value == "Renamed"

    site.archive.faults.clear()
    site.archive.requests.reset()
    assert site.sync().records.added == 1
    assert statuses(instance, site.shown)["000002"] == "MATERIALIZED"


def test_what_has_not_changed_is_observed_and_wakes_nothing(site: Site, instance: dg.DagsterInstance) -> None:
    site.sync()
    first = {asset: len(instance.fetch_materializations(asset, limit=100).records) for asset in (ASSETS, DANDISETS)}
    site.world.add_asset("000003", "sub-new/sub-new.nwb", size=1)

    site.sync(full=True)

    new = {
        asset: [r.partition_key for r in instance.fetch_materializations(asset, limit=100).records[: -first[asset]]]
        for asset in (ASSETS, DANDISETS)
    }
    assert new == {ASSETS: ["000003"], DANDISETS: ["000003"]}
    assert "nothing changed" in (observations(instance, "000002")[0].description or "")
    assert observations(instance, "000003") == []


def test_a_home_that_was_deleted_is_filled_again_from_the_mirror(site: Site, tmp_path: Path) -> None:
    site.sync()
    site.world.dandisets["000002"].embargo_status = "EMBARGOED"
    site.archive.faults.add("status", status=400, path="dandisets/000003/versions")
    site.world.add_asset("000003", "sub-new/sub-new.nwb", size=1)
    site.sync()
    elsewhere = Site(site.archive, tmp_path / "elsewhere", site.settings.mirror_database_url)

    elsewhere.sync()

    with open_instance(elsewhere.settings.dagster_home) as instance:
        for asset in (ASSETS, DANDISETS):
            shown = statuses(instance, site.shown, asset)
            assert shown.pop("000003") == "FAILED"
            assert shown == dict.fromkeys(["000001", "000002", "000004", "000005", "000006"], "MATERIALIZED")
        events = materialized(instance)
        assert {key: event["dagster/partition_row_count"] for key, event in events.items()} == {
            key: held(site, key) for key in events
        }
        assert "hidden" in events["000002"]["warning"]
        assert not synced(instance).passed


def test_a_part_synced_alone_leaves_the_other_asset_alone(site: Site, instance: dg.DagsterInstance) -> None:
    site.sync(parts=("dandisets",))

    assert len(materialized(instance, DANDISETS)) == 6
    assert materialized(instance, ASSETS) == {}
    assert run_tags.asked_of(only_run(instance).tags)["scope"] == "dandisets only"


def test_a_removed_dandiset_leaves_the_partition_set_after_its_last_event(
    site: Site, instance: dg.DagsterInstance
) -> None:
    site.sync()
    before = held(site, "000001")
    site.world.delete_dandiset("000001")

    report = site.sync()

    assert report.partitions.deleted == 1
    assert "000001" not in instance.get_dynamic_partitions("dandi")
    last = instance.fetch_materializations(ASSETS, limit=1).records[0].asset_materialization
    assert last is not None
    assert last.description == f"000001: {before} assets deleted (removed)"
    assert last.metadata["dagster/partition_row_count"].value == 0


def test_a_hidden_dandiset_keeps_its_partition_and_says_so(site: Site, instance: dg.DagsterInstance) -> None:
    site.sync()
    site.world.dandisets["000002"].embargo_status = "EMBARGOED"

    site.sync()
    first = materialized(instance)["000002"]
    site.sync()

    assert "its rows are kept" in first["warning"]
    assert "(fresh); hidden from this credential" in (observations(instance, "000002")[0].description or "")
    assert "000002" in instance.get_dynamic_partitions("dandi")


def test_what_a_platform_says_is_shown_on_one_printable_line() -> None:
    shown = printable("a\n<script>\x1b[31m red\t" + "x" * 5_000)
    assert shown.startswith("a <script> [31m red xxx")
    assert shown.isprintable()
    assert len(shown) == 1_000


def test_what_stops_the_whole_sync_is_raised_as_itself_and_the_run_has_failed(
    site: Site, instance: dg.DagsterInstance
) -> None:
    site.sync()
    site.world.dandisets.clear()

    with pytest.raises(MassDeletionRefused):
        site.sync()

    latest = past_syncs(site.settings.dagster_home, limit=1)[0]
    assert latest.status == "failed"
    assert latest.report is not None
    assert latest.report.stopped == "guard"
    assert "dandi lists no dandiset at all" in str(latest.report.stopped_by)
    tags = instance.get_runs(limit=1)[0].tags
    assert tags["sync/result"] == "stopped by a guard error"


def test_the_history_is_in_run_storage(site: Site, instance: dg.DagsterInstance) -> None:
    site.archive.faults.add("status", status=400, path="dandisets/000002/versions")
    first = site.sync()
    site.archive.faults.clear()
    second = site.sync(since=datetime(2000, 1, 1, tzinfo=timezone.utc))

    latest, earliest = past_syncs(site.settings.dagster_home, limit=5)

    assert [earliest.run_id, latest.run_id] == [first.run_id, second.run_id]
    assert [earliest.status, latest.status] == ["done with errors", "done"]
    assert earliest.report is not None
    assert latest.report is not None
    assert [earliest.report.failed, latest.report.failed] == [1, 0]
    assert latest.scope == second.scope == "since 2000-01-01T00:00:00+00:00"
    assert latest.report.records == second.records
    assert (latest.report.partitions.checked, latest.traffic) == (6, second.traffic)
    assert (earliest.report.partitions.checked, earliest.report.partitions.added) == (6, 5)
    assert [problem.partition for problem in earliest.report.problems] == ["000002"]
    assert earliest.report.failures == {earliest.report.problems[0].group: 1}
    assert latest.duration_seconds is not None
    assert latest.duration_seconds > 0
    assert past_syncs(site.settings.dagster_home, limit=1, source="other") == []


def test_a_run_carries_five_tags_of_ours_at_most(site: Site, instance: dg.DagsterInstance) -> None:
    site.sync(tuning=Tuning(pool_size=2))

    ours = {tag for tag in only_run(instance).tags if tag.startswith(("sync/", ".dagster/sync_"))}
    assert ours == {run_tags.RESULT, run_tags.SOURCE, run_tags.REPORT, run_tags.WHOLE}
    assert {*ours, *run_tags.background_tags("dandi")} == {*ours, run_tags.BACKGROUND}
    report = run_tags.report_of(only_run(instance).tags)
    assert report is not None
    assert (report.whole, report.tuning) == (True, "pool_size 2")


def test_the_report_of_a_run_fits_into_an_index_of_postgresql() -> None:
    problems = [Problem(f"{number:06d}", "transient", "é" * 900) for number in range(500)]
    host = Traffic(requests=500, bytes_received=10**12, seconds_slept=0.123)
    traffic = replace(host, hosts={f"{number}.example.org": host for number in range(30)})
    counts = Tally(checked=500, added=3)
    report = SyncReport("run", "é" * 200, 12.5, "dandiset", "asset", counts, 500, counts, traffic)
    report = replace(report, problems=problems, failures={"transient": 500}, stopped="transient", stopped_by="é" * 999)

    text = run_tags.bounded_json(report)

    assert len(text.encode()) <= 2_000
    kept = run_tags.report_of({run_tags.REPORT: text})
    assert kept is not None
    assert (kept.partitions, kept.records, kept.failed, kept.failures) == (counts, counts, 500, {"transient": 500})
    assert replace(kept.traffic, hosts={}) == replace(traffic, hosts={})
    assert (kept.stopped, str(kept.stopped_by)[:10]) == ("transient", "é" * 10)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"scope": 1}', '{"partition_noun": 3}'])
def test_a_report_that_was_edited_by_hand_is_none(text: str) -> None:
    assert run_tags.report_of({run_tags.REPORT: text}) is None


def test_the_history_filters_by_one_tag_since_each_joins_the_table_of_tags_again(site: Site) -> None:
    site.sync()
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        assert len(past_syncs(site.settings.dagster_home)) == 1
        assert len(past_syncs(site.settings.dagster_home, source="dandi")) == 1
        with site.mirror() as mirror:
            freshness_of(site.settings.dagster_home, [site.source], mirror, datetime.now(timezone.utc))
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)

    assert sum("run_tags_filter0" in statement for statement in asked) == 3
    assert not any("run_tags_filter1" in statement for statement in asked)


def test_asking_for_the_history_creates_nothing(fresh_site: Site) -> None:
    assert past_syncs(fresh_site.settings.dagster_home, limit=5) == []
    assert not fresh_site.settings.dagster_home.exists()


def test_nothing_but_the_report_reaches_the_terminal(site: Site) -> None:
    done = subprocess.run(
        site.command(), env={**os.environ, **site.environ}, capture_output=True, text=True, check=True
    )

    assert json.loads(done.stdout)["dandisets"]["added"] == 6
    assert done.stderr == ""


def test_no_output_is_captured_whatever_the_homes_configuration(fresh_site: Site) -> None:
    home = prepare_home_for(fresh_site, "telemetry:\n  enabled: false\n")
    fresh_site.sync()
    assert not list(home.glob("storage/*/compute_logs"))


def test_the_runs_log_goes_to_standard_error_if_asked_for(site: Site) -> None:
    done = subprocess.run(
        site.command("20"), env={**os.environ, **site.environ}, capture_output=True, text=True, check=True
    )

    assert json.loads(done.stdout)["dandisets"]["added"] == 6
    assert "000001: " in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sync_is_not_left_started(site: Site, instance: dg.DagsterInstance, number: int) -> None:
    site.archive.faults.add("slow_start", kind="versions", seconds=3.0)
    process = start(site)
    wait_for_status(instance, dg.DagsterRunStatus.STARTED)

    process.send_signal(number)
    process.communicate(timeout=30)

    assert process.returncode != 0
    assert only_run(instance).status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
    assert [past.status for past in past_syncs(site.settings.dagster_home, limit=5)] == ["interrupted"]


def test_a_killed_sync_is_failed_by_whoever_looks_next(site: Site, instance: dg.DagsterInstance) -> None:
    site.archive.faults.add("slow_start", kind="versions", seconds=3.0)
    process = start(site)
    wait_for_status(instance, dg.DagsterRunStatus.STARTED)
    assert [past.status for past in past_syncs(site.settings.dagster_home, limit=5)] == ["running"]

    process.kill()
    process.communicate(timeout=30)

    assert [past.status for past in past_syncs(site.settings.dagster_home, limit=5)] == ["failed"]


def test_on_postgresql_everything_is_the_same(fresh_site: Site, postgresql_server: PostgresqlServer) -> None:
    home = prepare_home_for(fresh_site, (CHECKOUT / "deploy" / "dagster.yaml").read_text())
    fresh_site.archive.faults.add("status", status=400, path="dandisets/000002/versions")
    databases = {
        "DAGSTER_POSTGRES_URL": postgresql_server.create_database().replace("postgresql:", "postgresql+psycopg2:"),
        "MIRROR_DATABASE_URL": postgresql_server.create_database(),
    }
    environ = {**os.environ, **fresh_site.environ, **databases}

    done = subprocess.run(fresh_site.command(), env=environ, capture_output=True, text=True, check=True)

    assert done.stderr == ""
    assert json.loads(done.stdout)["dandisets"]["failed"] == 1
    shown = subprocess.run(
        [sys.executable, "-c", SHOW, str(home)], env=environ, capture_output=True, text=True, check=True
    )
    assert json.loads(shown.stdout) == {
        "history": [["done with errors", 6, 5, 1]],
        "failed": ["000002"],
        "materialized": ["000001", "000003", "000004", "000005", "000006"],
    }


SHOW = """
import json, sys
from pathlib import Path
import dagster as dg
from dandi_pipeline.orchestration.instance import open_instance
from dandi_pipeline.orchestration.history import past_syncs
from dandi_pipeline.orchestration.instance import open_instance

home = Path(sys.argv[1])
reports = [(past.status, past.report) for past in past_syncs(home, limit=9)]
history = [[how, told.partitions.checked, told.partitions.added, told.failed] for how, told in reports]
with open_instance(home) as instance:
    keys = instance.get_dynamic_partitions("dandi")
    definition = dg.DynamicPartitionsDefinition(name="dandi")
    statuses = instance.get_status_by_partition(dg.AssetKey(["dandi", "assets"]), keys, definition)
by_status = {word: [key for key in keys if statuses[key].value == word] for word in ("FAILED", "MATERIALIZED")}
print(json.dumps({"history": history, **{word.lower(): keys for word, keys in by_status.items()}}))
"""
"""A process that looks at a home whose storage is configured by the environment."""


def observations(instance: dg.DagsterInstance, partition: str) -> list[dg.AssetObservation]:
    """Return the observations of a partition's assets, newest first."""
    records = instance.fetch_observations(ASSETS, limit=1000).records
    return [r.asset_observation for r in records if r.asset_observation and r.partition_key == partition]


def held(site: Site, partition: str) -> int:
    """Return how many asset rows the mirror has of a dandiset, as counted by the database."""
    with query.connect(site.settings.mirror_database_url) as mirror:
        counted = mirror.sql("SELECT count(*) AS n FROM assets WHERE dandiset_id = :id", id=partition)
    return int(counted["n"][0])


def synced(instance: dg.DagsterInstance, asset: dg.AssetKey = ASSETS) -> dg.AssetCheckEvaluation:
    """Return the latest result of the check that names what failed."""
    (record,) = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(asset, run_tags.SYNCED), limit=1
    )
    assert record.event is not None
    return record.event.get_dagster_event().asset_check_evaluation_data


def data_versions(instance: dg.DagsterInstance) -> dict[str, str]:
    """Return the data version of each partition's only materialization."""
    return {
        str(record.partition_key): str((record.asset_materialization.tags or {})["dagster/data_version"])
        for record in instance.fetch_materializations(ASSETS, limit=100).records
        if record.asset_materialization
    }


def prepare_home_for(site: Site, configuration: str) -> Path:
    home = site.settings.dagster_home
    home.mkdir()
    (home / "dagster.yaml").write_text(configuration)
    return home


def start(site: Site) -> "subprocess.Popen[str]":
    environ = {**os.environ, **site.environ}
    return subprocess.Popen(site.command(), env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_status(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        runs = instance.get_runs()
        # A run has begun its step once it is tagged with what it is asked.
        if runs and runs[0].status is status and run_tags.REPORT in runs[0].tags:
            return
        time.sleep(0.1)
    pytest.fail(f"no run became {status} within 30 seconds; python: {sys.version}")
