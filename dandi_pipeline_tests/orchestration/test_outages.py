"""What is queued or lost while a code server or a run's process is away runs once it is back, by a home's settings."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import dagster as dg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import consume_new_runs_for_automatic_reexecution
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from dandi_pipeline.orchestration.instance import end_abandoned_runs, prepare_home
from dandi_pipeline_tests.orchestration.served import CHECKOUT, free_port, wait_for
from dandi_pipeline_tests.orchestration.site import Site

LOCATION = "dandi_pipeline"
ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


@dataclass
class Deployment:
    """A code server in a process of its own, and what a daemon does, asked for step by step."""

    site: Site
    instance: dg.DagsterInstance
    workspace: WorkspaceProcessContext
    port: int
    now: float

    @contextmanager
    def code_server(self) -> Iterator[None]:
        """Have the code server there for the length of the block, then kill it with all that it has started."""
        command = [sys.executable, "-m", "dagster", "api", "grpc", "-m", "dandi_pipeline.definitions"]
        log = self.site.path / "code-server.log"
        with log.open("a") as output:
            process = subprocess.Popen(
                [*command, "-h", "127.0.0.1", "-p", str(self.port), "--location-name", LOCATION],
                cwd=self.site.path,
                env={**os.environ, **self.site.environ, "PYTHONPATH": str(CHECKOUT)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                wait_for(self._listens, seconds=120, log=log)
                self.workspace.refresh_workspace()
                yield
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def queue(self, partition: str) -> str:
        """Queue a run of one dandiset, as the UI does, and return its id."""
        request = self.workspace.create_request_context()
        location = request.get_code_location(LOCATION)
        repository = location.get_repository("__repository__")
        job = repository.get_full_job("sync_dandi")
        config = {"ops": {"dandi_mirror": {"config": {"partitions": [partition]}}}}
        plan = location.get_execution_plan(job, config, None, None, self.instance)
        run = self.instance.create_run(
            job_name=job.name,
            run_id=None,
            run_config=config,
            tags=dict(job.tags),
            remote_job_origin=job.get_remote_origin(),
            job_code_origin=job.get_python_origin(),
            job_snapshot=job.job_snapshot,
            parent_job_snapshot=job.parent_job_snapshot,
            execution_plan_snapshot=plan.execution_plan_snapshot,
            step_keys_to_execute=None,
            status=dg.DagsterRunStatus.NOT_STARTED,
            root_run_id=None,
            parent_run_id=None,
            op_selection=None,
            asset_selection=job.asset_selection,
            asset_check_selection=None,
            asset_graph=repository.asset_graph,
            resolved_op_selection=None,
        )
        self.instance.submit_run(run.run_id, request)
        return run.run_id

    def dequeue(self, daemon: QueuedRunCoordinatorDaemon, *, after: float) -> None:
        """Let the daemon look at the queue, so many seconds after it did so last."""
        self.now += after
        list(daemon.run_iteration(self.workspace, fixed_iteration_time=self.now))

    def retry(self) -> None:
        """Let the daemon look at the runs that have failed."""
        failed = self.instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
        list(consume_new_runs_for_automatic_reexecution(self.workspace, failed, logging.getLogger("retries")))

    def statuses(self) -> list[dg.DagsterRunStatus]:
        return [run.status for run in self.instance.get_runs(ascending=True)]


@pytest.fixture
def deployment(site: Site) -> Iterator[Deployment]:
    home = prepare_home(site.settings.dagster_home)
    port = free_port()
    target = GrpcServerTarget(host="127.0.0.1", port=port, socket=None, location_name=LOCATION)
    with warnings.catch_warnings():
        # Dagster warns of each code location that it cannot reach.
        warnings.simplefilter("ignore", UserWarning)
        with (
            dg.DagsterInstance.from_config(str(home)) as instance,
            WorkspaceProcessContext(instance, target) as workspace,
        ):
            yield Deployment(site, instance, workspace, port, time.time())


def test_what_is_queued_without_a_code_server_runs_when_there_is_one_again_and_so_does_what_died_with_it(
    deployment: Deployment,
) -> None:
    deployment.site.archive.faults.add("slow_start", seconds=120.0)
    with QueuedRunCoordinatorDaemon(interval_seconds=1) as daemon:
        with deployment.code_server():
            deployment.queue("000001")
            deployment.dequeue(daemon, after=0)
            wait_for(deployment.site.archive.faults.struck, seconds=60)
            deployment.queue("000002")
        for _ in range(3):
            deployment.dequeue(daemon, after=31)
            deployment.workspace.refresh_workspace()
        assert deployment.statuses() == [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.QUEUED]

        deployment.site.archive.faults.clear()
        with deployment.code_server():
            end_abandoned_runs(deployment.instance)
            deployment.retry()
            deployment.dequeue(daemon, after=31)
            wait_for(lambda: set(deployment.statuses()) <= set(ENDED), seconds=120)

    died, waited, again = deployment.instance.get_runs(ascending=True)
    assert [run.status for run in (died, waited, again)] == [ENDED[1], ENDED[0], ENDED[0]]
    assert (again.parent_run_id, again.run_config) == (died.run_id, died.run_config)
    with deployment.site.mirror() as mirror:
        assert {partition for partition, _ in mirror.states("dandi")} == {"000001", "000002"}


def test_what_failed_in_a_step_is_left_to_the_next_sync(site: Site) -> None:
    with dg.DagsterInstance.from_config(str(prepare_home(site.settings.dagster_home))) as instance:
        site.archive.faults.add("status", status=400, path="dandisets/000002/versions")
        job = site.definitions.resolve_job_def("sync_dandi")
        assert not job.execute_in_process(instance=instance, raise_on_error=False).success
        (run,) = instance.get_runs()
        assert run.tags["dagster/will_retry"] == "false"
