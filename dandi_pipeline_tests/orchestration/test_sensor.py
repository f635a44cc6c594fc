"""A check costs two requests, launches exactly what is stale, and never launches anything twice."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from dandi_pipeline.mirror import PartitionState
from dandi_pipeline.orchestration.automation import BATCH, CheckFailed, retry_at
from dandi_pipeline.orchestration.instance import open_instance, prepare_home
from dandi_pipeline_tests.orchestration.site import DANDISETS, Site, materialized
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world


def tick(site: Site, instance: dg.DagsterInstance) -> dg.SensorResult | dg.SkipReason:
    """Evaluate the sensor as the daemon would, and apply what it asks of the partition set."""
    sensor = site.definitions.resolve_sensor_def("dandi_changes")
    with dg.build_sensor_context(instance=instance) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult | dg.SkipReason)
    if isinstance(result, dg.SensorResult):
        for request in result.dynamic_partitions_requests or []:
            if isinstance(request, dg.AddDynamicPartitionsRequest):
                instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
            else:
                for key in request.partition_keys:
                    instance.delete_dynamic_partition(request.partitions_def_name, key)
    return result


def launched(result: dg.SensorResult | dg.SkipReason) -> list[list[str]]:
    """Return the partitions of each run that a tick asks for."""
    assert isinstance(result, dg.SensorResult)
    return [request.run_config["ops"]["dandi_mirror"]["config"]["partitions"] for request in result.run_requests or []]


def reason(result: dg.SensorResult | dg.SkipReason) -> str:
    skip = result.skip_reason if isinstance(result, dg.SensorResult) else result
    assert skip is not None
    return str(skip.skip_message if isinstance(skip, dg.SkipReason) else skip)


def execute(site: Site, instance: dg.DagsterInstance, result: dg.SensorResult | dg.SkipReason) -> None:
    """Do what the daemon does with the tick's run requests."""
    assert isinstance(result, dg.SensorResult)
    job = site.definitions.resolve_job_def("sync_dandi")
    for request in result.run_requests or []:
        job.execute_in_process(
            run_config=request.run_config,
            instance=instance,
            tags=dict(request.tags),
            raise_on_error=False,
        )


def accept(site: Site, instance: dg.DagsterInstance, result: dg.SensorResult | dg.SkipReason) -> None:
    """Create the tick's runs without starting them, as the daemon does when others are at work."""
    assert isinstance(result, dg.SensorResult)
    job = site.definitions.resolve_job_def("sync_dandi")
    for request in result.run_requests or []:
        instance.create_run_for_job(job, run_config=dict(request.run_config), tags=dict(job.run_tags))


@dataclass(frozen=True)
class Backlog:
    """An archive of 1,500 dandisets, and the runs that its first tick launched and that have copied it."""

    site: Site
    runs: list[list[str]]


@pytest.fixture(scope="module")
def backlog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backlog]:
    with SimulatedArchive(generated_world(dandisets=1_501, assets=0)) as archive:
        site = Site(archive, Path(tmp_path_factory.mktemp("large")))
        with open_instance(prepare_home(site.settings.dagster_home)) as instance:
            first = tick(site, instance)
            execute(site, instance, first)
        yield Backlog(site, launched(first))


def test_a_backlog_of_1500_dandisets_is_done_in_six_runs_and_one_tick(backlog: Backlog) -> None:
    assert [len(keys) for keys in backlog.runs] == [250] * 6
    with open_instance(prepare_home(backlog.site.settings.dagster_home)) as instance:
        assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}
        assert len(instance.get_runs()) == 6
        assert set(materialized(instance)) == set(instance.get_dynamic_partitions("dandi"))
        assert len(instance.get_dynamic_partitions("dandi")) == 1_500


def test_of_1500_dandisets_forty_scattered_stale_ones_are_launched_and_nothing_else(backlog: Backlog) -> None:
    site = backlog.site
    with open_instance(prepare_home(site.settings.dagster_home)) as instance:
        site.archive.requests.reset()
        with counted_statements() as statements:
            quiet = tick(site, instance)

        assert launched(quiet) == []
        assert reason(quiet) == "1,500 dandisets checked in 2 requests, all fresh"
        assert site.archive.requests.total == 2
        assert len(statements) < 20, statements
        # Of what is fresh nothing but its tokens is read: all else of 20,000 partitions would take a second to make.
        whole = [each for each in statements if "FROM partitions" in each and "synced_at" in each]
        assert [each for each in whole if "failed_at IS NOT NULL" not in each] == []

        stale = [f"{number:06d}" for number in range(7, 1_500, 37)][:40]
        for key in stale:
            site.world.rename_dandiset(key, f"renamed {key}")
        with counted_statements() as statements:
            busy = tick(site, instance)
        assert launched(busy) == [stale]
        assert len(statements) < 20, statements

        execute(site, instance, busy)
        assert len(instance.get_runs()) == 7
        assert launched(tick(site, instance)) == []


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """Yield the list of what is asked of every database meanwhile, the mirror's and Dagster's."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        statements.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


def test_after_a_home_was_deleted_one_run_shows_what_the_mirror_holds(site: Site, tmp_path: Path) -> None:
    site.sync()
    elsewhere = Site(site.archive, tmp_path / "elsewhere", site.settings.mirror_database_url)
    with open_instance(prepare_home(elsewhere.settings.dagster_home)) as instance:
        result = tick(elsewhere, instance)
        site.archive.requests.reset()
        execute(elsewhere, instance, result)

        assert len(instance.get_runs()) == 1
        assert site.archive.requests.total == 1  # nothing is asked of single dandisets
        assert set(materialized(instance)) == set(instance.get_dynamic_partitions("dandi"))
        assert len(materialized(instance)) == 6
        assert launched(tick(elsewhere, instance)) == []


def test_a_repeated_tick_has_the_same_run_keys(site: Site, instance: dg.DagsterInstance) -> None:
    first, second = tick(site, instance), tick(site, instance)
    assert isinstance(first, dg.SensorResult)
    assert isinstance(second, dg.SensorResult)
    assert first.run_requests
    assert [request.run_key for request in first.run_requests] == [
        request.run_key for request in second.run_requests or []
    ]


def test_what_a_waiting_run_has_taken_on_is_not_launched_again(site: Site, instance: dg.DagsterInstance) -> None:
    accept(site, instance, tick(site, instance))

    result = tick(site, instance)

    assert launched(result) == []
    assert reason(result) == "6 dandisets checked in 1 request: 6 being synced by runs in progress"


def test_a_waiting_run_over_everything_takes_on_everything(site: Site, instance: dg.DagsterInstance) -> None:
    job = site.definitions.resolve_job_def("sync_dandi")
    instance.create_run_for_job(job, tags=dict(job.run_tags))

    assert "a sync of all of dandi is in progress" in reason(tick(site, instance))
    assert site.archive.requests.total == 0


def test_a_backfill_has_taken_on_its_range(site: Site, instance: dg.DagsterInstance) -> None:
    tick(site, instance)
    job = site.definitions.resolve_implicit_global_asset_job_def()
    bounds = {
        "dagster/asset_partition_range_start": "000002",
        "dagster/asset_partition_range_end": "000004",
    }
    instance.create_run_for_job(job, tags=bounds, asset_selection=frozenset([DANDISETS]))

    assert launched(tick(site, instance)) == [["000001", "000005", "000006"]]


def test_what_a_killed_run_left_undone_is_launched_again(site: Site, instance: dg.DagsterInstance) -> None:
    first = tick(site, instance)
    accept(site, instance, first)
    (run,) = instance.get_runs()
    instance.report_run_failed(run)

    second = tick(site, instance)

    assert launched(second) == launched(first)
    assert isinstance(first, dg.SensorResult)
    assert isinstance(second, dg.SensorResult)
    assert (first.run_requests or [])[0].run_key != (second.run_requests or [])[0].run_key


def test_a_failed_dandiset_waits_and_the_others_do_not(site: Site, instance: dg.DagsterInstance) -> None:
    site.archive.faults.add("status", status=400, path="dandisets/000002/versions")
    execute(site, instance, tick(site, instance))
    site.archive.faults.clear()

    waiting = tick(site, instance)
    assert launched(waiting) == []
    assert "1 failed before, the next is tried again at" in reason(waiting)

    site.world.rename_dandiset("000003", "changed meanwhile")
    assert launched(tick(site, instance)) == [["000003"]]


def test_a_failure_is_tried_again_soon_then_ever_more_rarely() -> None:
    failed = datetime(2026, 1, 1, tzinfo=timezone.utc)

    def delay(attempts: int) -> timedelta:
        moment = retry_at([state(0, None), state(attempts, failed)], failed)
        assert moment is not None
        return moment - failed

    assert [delay(attempts) for attempts in (1, 2, 3)] == [timedelta(minutes=m) for m in (5, 10, 20)]
    assert delay(8) == delay(10_000) == timedelta(hours=6)
    assert retry_at([state(0, None)], failed) is None


def test_a_failure_of_the_future_waits_for_nothing_since_the_clock_was_set_back() -> None:
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert retry_at([state(3, now + timedelta(days=1))], now) == now
    assert retry_at([state(1, now + timedelta(days=1)), state(1, now)], now) == now + timedelta(minutes=5)


def state(attempts: int, failed_at: datetime | None) -> PartitionState:
    return PartitionState(
        token=None,
        visible=True,
        generation=1,
        records=0,
        synced_at=None,
        run_id=None,
        attempts=attempts,
        failed_at=failed_at,
        error_group=None,
        error=None,
    )


def test_the_partition_set_follows_the_archive(site: Site, instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("dandi", ["999999"])

    tick(site, instance)

    assert instance.get_dynamic_partitions("dandi") == [f"00000{number}" for number in range(1, 7)]


def test_a_dandiset_that_went_is_launched_once_and_then_leaves_the_set(
    site: Site, instance: dg.DagsterInstance
) -> None:
    site.sync()
    site.world.delete_dandiset("000001")

    result = tick(site, instance)
    assert launched(result) == [["000001"]]
    assert "000001" in instance.get_dynamic_partitions("dandi")

    execute(site, instance, result)
    assert "000001" not in instance.get_dynamic_partitions("dandi")
    assert reason(tick(site, instance)) == "5 dandisets checked in 1 request, all fresh"


def test_what_is_known_to_be_hidden_is_left_to_the_nightly_check(site: Site, instance: dg.DagsterInstance) -> None:
    site.sync()
    site.world.dandisets["000002"].embargo_status = "EMBARGOED"
    site.sync()

    assert reason(tick(site, instance)) == "5 dandisets checked in 1 request, all fresh"


def test_an_archive_that_looks_empty_fails_the_tick_and_launches_nothing(
    site: Site, instance: dg.DagsterInstance
) -> None:
    site.sync()
    site.world.dandisets.clear()
    with pytest.raises(CheckFailed, match="lists no dandiset at all"):
        tick(site, instance)


def test_the_largest_partition_waits_for_the_last_run(tmp_path: Path) -> None:
    world = generated_world(dandisets=0, assets=0)
    for number in range(BATCH + 1):
        world.create_dandiset(f"Dandiset {number}")
    world.add_asset("000001", "large.nwb")
    with SimulatedArchive(world) as archive:
        site = Site(archive, tmp_path)
        with open_instance(prepare_home(site.settings.dagster_home)) as instance:
            first, last = launched(tick(site, instance))
    assert len(first) == BATCH
    assert last == ["000001"]
