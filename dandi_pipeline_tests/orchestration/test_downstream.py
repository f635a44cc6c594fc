"""With Dagster's real daemon: assets that hang on the mirror run for what changed, and for nothing else."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context

from dandi_pipeline.orchestration.instance import open_instance
from dandi_pipeline_tests.orchestration.served import CHECKOUT, wait_for
from dandi_pipeline_tests.orchestration.site import Site
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world

DEFINITIONS = """
import dagster as dg
from dandi_pipeline import build_defs, partitions_def

def downstream(name, condition):
    @dg.asset(name=name, partitions_def=partitions_def(), deps=[["dandi", "assets"]], automation_condition=condition)
    def asset(): ...
    return asset

defs = dg.Definitions.merge(
    build_defs(automation=False),
    dg.Definitions(
        assets=[
            downstream("eager", dg.AutomationCondition.eager()),
            downstream("updated", dg.AutomationCondition.any_deps_updated()),
        ],
        sensors=[
            dg.AutomationConditionSensorDefinition(
                "automation",
                target=["eager", "updated"],
                minimum_interval_seconds=1,
                default_status=dg.DefaultSensorStatus.RUNNING,
            )
        ],
    ),
)
"""

# What is requested stays in the queue: the runs themselves are Dagster's business, and would take a minute.
DAGSTER_YAML = """
telemetry: {enabled: false}
concurrency: {runs: {max_concurrent_runs: 0}}
"""

PARTITIONS = 300


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with SimulatedArchive(generated_world(dandisets=PARTITIONS, assets=1)) as archive:
        site = Site(archive, tmp_path)
        site.settings.dagster_home.mkdir()
        (site.settings.dagster_home / "dagster.yaml").write_text(DAGSTER_YAML)
        (tmp_path / "lab.py").write_text(DEFINITIONS)
        yield site


def test_what_hangs_on_the_mirror_runs_for_what_changed_alone(site: Site) -> None:
    site.sync()  # the partitions were there before the assets below them
    with open_instance(site.settings.dagster_home) as instance, daemon(site) as log:
        keys = sorted(instance.get_dynamic_partitions("dandi"))[5::120]
        assert len(keys) == 3
        wait_for_ticks(instance, log)
        assert requested(instance) == Counter()

        for key in keys:
            site.world.add_asset(key, "sub-new/sub-new_ecephys.nwb", size=4096)
        site.sync()
        wait_for_ticks(instance, log)
        changed = Counter((asset, key) for asset in ("eager", "updated") for key in keys)
        assert requested(instance) == changed

        site.sync(full=True)  # wakes nothing
        new = site.world.create_dandiset("New").identifier
        site.world.add_asset(new, "sub-new/sub-new_ecephys.nwb", size=4096)
        site.sync()
        wait_for_ticks(instance, log)
        assert requested(instance) == changed + Counter([("eager", new), ("updated", new)])


@contextmanager
def daemon(site: Site) -> Iterator[Path]:
    """Run Dagster's daemon on a deployment that has the mirror and the assets below it; lend the path of its log."""
    log = site.path / "daemon.log"
    environ = {**os.environ, **site.environ, "PYTHONPATH": f"{site.path}:{CHECKOUT}"}
    command = [sys.executable, "-m", "dagster._daemon", "run", "-m", "lab"]
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=site.path, env=environ, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield log
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=120)


def wait_for_ticks(instance: dg.DagsterInstance, log: Path) -> None:
    """Wait until automation has looked once from now on; it may be looking already."""
    before = ticks(instance)
    wait_for(lambda: ticks(instance) >= before + 2, seconds=180, log=log)


def ticks(instance: dg.DagsterInstance) -> int:
    """Return how often automation has looked and come to an answer."""
    states = instance.all_instigator_state()
    return sum(
        tick.is_completed
        for state in states
        if state.name == "automation"
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id)
    )


def requested(instance: dg.DagsterInstance) -> Counter[tuple[str, str]]:
    """Return how often each partition of the assets below the mirror was requested, by runs or in a backfill."""
    storage = instance.schedule_storage
    assert storage is not None
    with partition_loading_context(dynamic_partitions_store=instance):
        return Counter(
            (asset, partition)
            for asset in ("eager", "updated")
            for record in storage.get_auto_materialize_asset_evaluations(dg.AssetKey(asset), limit=1000)
            for subset in [record.get_evaluation_with_run_ids().evaluation.true_subset]
            for partition in subset.subset_value.get_partition_keys()
        )
