"""Events that are written in batches are what Dagster writes of events that are logged one by one."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from dandi_pipeline.orchestration.dagster_internals import Line
from dandi_pipeline.orchestration.event_batches import EventBatches
from dandi_pipeline.orchestration.instance import open_instance, prepare_home
from dandi_pipeline_tests.postgresql import PostgresqlServer
from dandi_pipeline_tests.prepared import place_home

ASSET, OTHER = dg.AssetKey("measured"), dg.AssetKey("other")
SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture(params=["sqlite", "postgresql"])
def instance(
    request: pytest.FixtureRequest, tmp_path: Path, postgresql_server: PostgresqlServer
) -> Iterator[dg.DagsterInstance]:
    if request.param == "postgresql":
        url = postgresql_server.create_database().replace("postgresql:", "postgresql+psycopg2:")
        (tmp_path / "dagster.yaml").write_text(f'storage: {{postgres: {{postgres_url: "{url}"}}}}')
    with open_instance(prepare_home(tmp_path)) as opened:
        yield opened


def in_a_step(instance: dg.DagsterInstance, work: Callable[[dg.AssetExecutionContext], None]) -> str:
    """Do `work` in a run's step and return the run's id."""

    @dg.asset(key=ASSET, output_required=False)
    def measured(context: dg.AssetExecutionContext) -> Iterator[dg.Output[None]]:
        work(context)
        yield from ()

    return dg.materialize([measured], instance=instance, run_config=SILENT).run_id


def materialization(partition: str, asset: dg.AssetKey = ASSET) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        asset, f"{partition}: 1 asset added", {"added": 1}, partition, {"dagster/data_version": f"version {partition}"}
    )


def observation(partition: str) -> dg.AssetObservation:
    return dg.AssetObservation(ASSET, f"{partition}: failed", {"group": "transient"}, partition)


def test_an_event_of_a_batch_is_what_dagster_writes_of_a_logged_one(instance: dg.DagsterInstance) -> None:
    def log_both(context: dg.AssetExecutionContext) -> None:
        context.log_event(materialization("000001"))
        context.log_event(observation("000001"))
        batches = EventBatches(context)
        batches.add(materialization("000001"))
        batches.add(observation("000001"))
        batches.close()

    run_id = in_a_step(instance, log_both)

    for kind in (dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_OBSERVATION):
        logged, batched = (
            record.event_log_entry for record in instance.get_records_for_run(run_id, of_type=kind).records
        )
        assert logged.dagster_event is not None
        # Its logging tags say again what the event says: job, step and run.
        assert batched.dagster_event == logged.dagster_event._replace(logging_tags={})
        assert (batched.level, batched.step_key, batched.job_name, batched.run_id) == (
            logged.level,
            logged.step_key,
            logged.job_name,
            logged.run_id,
        )


def test_a_line_of_a_batch_is_what_dagster_writes_of_a_logged_one(instance: dg.DagsterInstance) -> None:
    def log_both(context: dg.AssetExecutionContext) -> None:
        context.log.info("000001: 1 asset added")
        with closing(EventBatches(context)) as batches:
            batches.add(Line("000001: 1 asset added"))

    entries = instance.all_logs(in_a_step(instance, log_both))

    logged, batched = (entry for entry in entries if entry.user_message == "000001: 1 asset added")
    assert batched._replace(timestamp=0.0) == logged._replace(timestamp=0.0)


def test_every_asset_of_a_batch_knows_its_latest_event_and_its_versions(instance: dg.DagsterInstance) -> None:
    def log(context: dg.AssetExecutionContext) -> None:
        batches = EventBatches(context)
        for partition in ("000001", "000002"):
            batches.add(materialization(partition))
            batches.add(materialization(partition, OTHER))
        batches.close()

    in_a_step(instance, log)

    for asset in (ASSET, OTHER):
        latest = instance.get_latest_materialization_event(asset)
        assert latest is not None
        assert latest.asset_materialization is not None
        assert latest.asset_materialization.partition == "000002"
        tags = instance.event_log_storage.get_event_tags_for_asset(asset, filter_event_id=None)
        assert sorted(tag["dagster/data_version"] for tag in tags) == ["version 000001", "version 000002"]


def test_a_thousand_events_take_a_few_transactions(instance: dg.DagsterInstance) -> None:
    commits: list[object] = []
    note = commits.append

    def log(context: dg.AssetExecutionContext) -> None:
        batches = EventBatches(context)
        for number in range(1_000):
            batches.add(Line(f"{number:06d}: 1 asset added"))
            batches.add(materialization(f"{number:06d}"))
        sa.event.listen(sa.Engine, "commit", note)
        try:
            batches.close()
        finally:
            sa.event.remove(sa.Engine, "commit", note)

    in_a_step(instance, log)

    assert len(instance.fetch_materializations(ASSET, limit=2_000).records) == 1_000
    assert len(commits) < 10


def test_events_are_there_while_the_run_goes_on(instance: dg.DagsterInstance) -> None:
    def log_and_look(context: dg.AssetExecutionContext) -> None:
        deadline = time.monotonic() + 30
        with closing(EventBatches(context)) as batches:
            batches.add(materialization("000001"))
            while not instance.fetch_materializations(ASSET, limit=1).records:
                assert time.monotonic() < deadline, "nothing was written within 30 seconds"
                time.sleep(0.1)

    in_a_step(instance, log_and_look)


def test_a_log_that_cannot_be_written_stops_the_run(tmp_path: Path) -> None:
    def log(context: dg.AssetExecutionContext) -> None:
        file = tmp_path / "history" / "runs" / f"{context.run.run_id}.db"
        batches = EventBatches(context)
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("ALTER TABLE event_logs RENAME TO away")
            batches.add(materialization("000001"))
            with pytest.raises(sa.exc.OperationalError, match="no such table: event_logs"):
                batches.close()
            connection.execute("ALTER TABLE away RENAME TO event_logs")
        with pytest.raises(sa.exc.OperationalError, match="no such table: event_logs"):
            batches.add(materialization("000001"))

    with open_instance(prepare_home(tmp_path)) as instance:
        in_a_step(instance, log)


ABANDONING = """
import sys
from pathlib import Path
import dagster as dg
from dandi_pipeline.orchestration.event_batches import EventBatches
from dandi_pipeline.orchestration.instance import open_instance

@dg.asset
def measured(context: dg.AssetExecutionContext) -> None:
    EventBatches(context)
    raise KeyboardInterrupt

with open_instance(Path(sys.argv[1])) as instance:
    dg.materialize([measured], instance=instance)
"""


def test_an_interrupt_before_anybody_can_close_them_lets_the_process_end(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ABANDONING, str(place_home(tmp_path / "home"))]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert done.returncode != 0
