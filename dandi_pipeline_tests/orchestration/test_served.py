"""With Dagster's real processes: the sensor launches, a backfill works, and each partition shows what became of it."""

from collections.abc import Iterator
from typing import Any

import pytest

from dandi_pipeline.orchestration import recording as run_tags
from dandi_pipeline.orchestration.instance import open_instance
from dandi_pipeline_tests.orchestration.served import Served, dagster_dev, wait_for
from dandi_pipeline_tests.orchestration.site import Site

STATUSES = """
query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode { assetPartitionStatuses {
    ... on DefaultPartitionStatuses { materializedPartitions failedPartitions materializingPartitions }
} } } }
"""
RUNS = "{ runsOrError { ... on Runs { results { runId status tags { key value } } } } }"
EVENTS = """
query($key: AssetKeyInput!, $partitions: [String!]) { assetOrError(assetKey: $key) { ... on Asset {
    assetMaterializations(partitions: $partitions, limit: 1) {
        description metadataEntries { label ... on IntMetadataEntry { intValue } ... on TextMetadataEntry { text } }
    }
} } }
"""
BACKFILL = """
mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
} }
"""
LAUNCH = """
mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
} }
"""
REEXECUTE = """
mutation($params: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $params) {
    ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
} }
"""
JOB_RUNS = """
{ pipelineOrError(params: {repositoryLocationName: "dandi_pipeline", repositoryName: "__repository__",
                           pipelineName: "sync_dandi"}) { ... on Pipeline { runs { runId } } } }
"""
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


@pytest.fixture
def served(site: Site) -> Iterator[Served]:
    site.archive.faults.add("status", status=400, path="dandisets/000002/versions")
    with dagster_dev(site) as running:
        yield running


def test_the_sensor_syncs_what_is_stale_and_a_backfill_repairs_what_failed(site: Site, served: Served) -> None:
    (run,) = wait_for(lambda: all_ended(served, at_least=1), seconds=60)
    assert run["status"] == "FAILURE"
    assert {key: value for key, value in tags(run).items() if not key.startswith("dagster/")} == {
        "sync/result": "1 failed, 5 added"
    }
    for part in ("assets", "dandisets"):
        assert statuses(served, part) == {
            "materializedPartitions": ["000001", "000003", "000004", "000005", "000006"],
            "failedPartitions": ["000002"],
            "materializingPartitions": [],
        }
    assets = site.world.snapshot()["000003"]["versions"]["draft"]["assets"]
    assert latest(served, "assets", "000003")["dagster/partition_row_count"] == len(assets)

    site.archive.faults.clear()
    backfill(served, ["000001", "000002", "000004"])
    runs = wait_for(lambda: all_ended(served, at_least=3), seconds=300)
    assert sorted(tags(run)["sync/result"] for run in runs) == ["1 added", "1 failed, 5 added", "no change"]
    with open_instance(site.settings.dagster_home) as instance:
        scopes = sorted(run_tags.asked_of(run.tags)["scope"] for run in instance.get_runs())
    assert scopes == ["000001, 000002", "000004", "6 partitions"]

    for part in ("assets", "dandisets"):
        assert statuses(served, part) == {
            "materializedPartitions": [f"00000{number}" for number in range(1, 7)],
            "failedPartitions": [],
            "materializingPartitions": [],
        }
    assert "added" in latest(served, "assets", "000002")["last_change"]
    # Materialized, for that is what was asked for; nothing had changed.
    assert "last_change" not in latest(served, "assets", "000004")

    from_command_line = str(site.sync().run_id)
    again = served.query(REEXECUTE, params={"parentRunId": from_command_line, "strategy": "ALL_STEPS"})
    launched = again["launchRunReexecution"]["run"]["runId"]
    runs = wait_for(lambda: all_ended(served, at_least=5), seconds=60)
    assert {run["runId"]: run["status"] for run in runs}[launched] == "SUCCESS"
    job = served.query(JOB_RUNS)["pipelineOrError"]
    assert {from_command_line, launched} <= {run["runId"] for run in job["runs"]}

    scattered = launch(served, ["000001", "000003", "000005", "000006"])
    assert len(wait_for(lambda: all_ended(served, at_least=6), seconds=120)) == 6
    with open_instance(site.settings.dagster_home) as instance:
        by_hand = instance.get_run_by_id(scattered)
        assert by_hand is not None
        assert run_tags.asked_of(by_hand.tags)["scope"] == "000001, 000003, 000005, 000006"


def all_ended(served: Served, *, at_least: int) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = served.query(RUNS)["runsOrError"]["results"]
    return runs if len(runs) >= at_least and {run["status"] for run in runs} <= ENDED else []


def tags(run: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run["tags"]}


def statuses(served: Served, part: str) -> dict[str, list[str]]:
    node = served.query(STATUSES, key={"path": ["dandi", part]})["assetNodeOrError"]
    found: dict[str, list[str]] = node["assetPartitionStatuses"]
    return {status: sorted(keys) for status, keys in found.items()}


def latest(served: Served, part: str, partition: str) -> dict[str, Any]:
    """Return the metadata of a partition's latest materialization."""
    asset = served.query(EVENTS, key={"path": ["dandi", part]}, partitions=[partition])["assetOrError"]
    (event,) = asset["assetMaterializations"]
    return {entry["label"]: entry.get("intValue", entry.get("text")) for entry in event["metadataEntries"]}


def backfill(served: Served, partitions: list[str]) -> None:
    """Launch a backfill of both parts, as the UI's dialogue does."""
    selection = [{"path": ["dandi", part]} for part in ("assets", "dandisets")]
    launched = served.query(BACKFILL, params={"assetSelection": selection, "partitionNames": partitions})
    assert launched["launchPartitionBackfill"]["__typename"] == "LaunchBackfillSuccess", launched


def launch(served: Served, partitions: list[str]) -> str:
    """Launch the job with these partitions in its config, as the UI's launchpad does, and return the run's id."""
    params = {
        "selector": {
            "repositoryLocationName": "dandi_pipeline",
            "repositoryName": "__repository__",
            "jobName": "sync_dandi",
        },
        "mode": "default",
        "runConfigData": {"ops": {"dandi_mirror": {"config": {"partitions": partitions}}}},
    }
    launched = served.query(LAUNCH, params=params)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return str(launched["run"]["runId"])
