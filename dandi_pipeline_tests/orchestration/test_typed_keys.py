"""What is typed into "Add partition" is read as a key of the platform, or refused, before anything is asked."""

import dagster as dg
import pytest

from dandi_pipeline_tests.orchestration.site import ASSETS, Site, materialized, statuses

EVIL = "../../evil?x=1"


def launch(site: Site, instance: dg.DagsterInstance, *typed: str) -> dg.ExecuteInProcessResult:
    """Add the partitions and materialize them, as the UI does: one run, whose tags name the first and the last."""
    instance.add_dynamic_partitions(site.shown.partition_set, list(typed))
    job = site.definitions.resolve_implicit_global_asset_job_def()
    tags = {"dagster/partition": typed[0]}
    if len(typed) > 1:
        tags = {"dagster/asset_partition_range_start": typed[0], "dagster/asset_partition_range_end": typed[-1]}
    return job.execute_in_process(
        run_config={"loggers": {"console": {}}},
        instance=instance,
        asset_selection=[site.shown.asset_key(part) for part in site.shown.parts],
        tags=tags,
        raise_on_error=False,
    )


def logged(instance: dg.DagsterInstance, run_id: str, level: int) -> list[str]:
    entries = instance.all_logs(run_id)
    return [entry.user_message for entry in entries if entry.level == level and not entry.is_dagster_event]


@pytest.mark.parametrize("typed", [EVIL, "000001/versions", "..", "1\n2", "DANDI:000003/assets"])
def test_what_can_be_no_key_fails_in_words_and_nothing_is_asked(
    site: Site, instance: dg.DagsterInstance, typed: str
) -> None:
    result = launch(site, instance, typed)
    assert not result.success
    assert site.archive.requests.total == 0
    (line,) = logged(instance, result.run_id, 40)
    assert "is not a dandiset identifier; write 3, 000003 or DANDI:000003" in line
    assert statuses(instance, site.shown)[typed] == "FAILED"


def test_a_key_in_another_spelling_is_the_one_that_it_means(site: Site, instance: dg.DagsterInstance) -> None:
    assert launch(site, instance, "3").success
    assert set(materialized(instance)) == {"000003"}


def test_one_that_can_be_none_does_not_keep_the_others(site: Site, instance: dg.DagsterInstance) -> None:
    result = launch(site, instance, "000002", EVIL, "000003")
    assert not result.success
    assert set(materialized(instance, ASSETS)) == {"000002", "000003"}
    assert statuses(instance, site.shown)[EVIL] == "FAILED"


def test_a_request_that_is_repeated_is_in_the_runs_log(site: Site, instance: dg.DagsterInstance) -> None:
    site.archive.faults.add("status", status=503, times=1)
    result = launch(site, instance, "000002")
    assert result.success
    (line,) = logged(instance, result.run_id, 30)
    assert "503 Service Unavailable" in line
    assert "attempt 2 of 6 follows in" in line
