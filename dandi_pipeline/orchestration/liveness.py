"""Tells a run at work from one whose process is gone, by a file lock that the kernel releases with the process.

Dagster learns of a killed worker from the code server that started it: not of a sync started from the command
line, nor of any after the whole machine went down. Such a run would stay "started" for ever, and the sensor would
wait for it.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from dandi_pipeline.orchestration.run_tags import KIND, SYNC


@contextmanager
def at_work(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Hold the lock that says the run's process is alive."""
    path = _lock_path(instance, run_id)
    path.parent.mkdir(exist_ok=True)
    begun = path.with_suffix(".begun")
    with begun.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # Seen by others only once it is locked.
        begun.rename(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def end_abandoned_runs(instance: dg.DagsterInstance) -> None:
    """Mark as failed every started sync whose process, on this machine, is gone."""
    started = instance.get_runs(
        dg.RunsFilter(tags={KIND: SYNC}, statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING])
    )
    for run in started:
        path = _lock_path(instance, run.run_id)
        if _is_abandoned(path):
            instance.report_run_failed(run, "The process of this sync is gone (killed, or the machine went down).")
            path.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    """Whether the lock file is there but nobody holds it. Without one the run is another machine's, or not begun."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, BlockingIOError):
        return False
    # A run that ended in between has removed its file.
    return path.exists()


def _lock_path(instance: dg.DagsterInstance, run_id: str) -> Path:
    return Path(instance.root_directory) / "running" / run_id
