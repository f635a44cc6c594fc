"""Runs one sync in this process, as a Dagster run like any other: recorded, and shown in the UI with its log."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import dagster as dg

from dandi_pipeline.interrupts import no_interrupt_lost
from dandi_pipeline.orchestration.assembly import assemble
from dandi_pipeline.orchestration.dagster_internals import execute_in_process
from dandi_pipeline.orchestration.history import PastSync, latest_of
from dandi_pipeline.orchestration.instance import end_abandoned_runs, open_instance, prepare_home
from dandi_pipeline.orchestration.resources import Connections, Watcher, config_of, silent_logger, sync_log
from dandi_pipeline.orchestration.sources import MirroredSource, mirrored
from dandi_pipeline.settings import Settings, Source
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.progress import Progress, Unwatched
from dandi_pipeline.sync.report import SyncReport

NEVER_RETRIED = {"dagster/max_retries": "0"}
"""On runs of the command line: whoever stops one does not want Dagster's daemon to begin it again."""


def run_sync(
    source: Source,
    settings: Settings,
    options: SyncOptions,
    *,
    progress: Progress | None = None,
    tell_last: Callable[[PastSync | None], None] | None = None,
    console_level: int | None = None,
) -> SyncReport:
    """Run the source's job here and return its report; failed partitions are in the report, not raised.

    Raises the `PipelineError` that stopped the whole sync, or KeyboardInterrupt for Ctrl-C, SIGTERM and SIGHUP; the
    run is then recorded as failed. Nothing is written to standard output; the sync's log goes to standard error from
    `console_level` up, or nowhere. `tell_last` is called with the source's sync before this one, if there was any.
    """
    watcher = Watcher(progress or Unwatched(), sync_log(console_level))
    shown = mirrored(source)
    # Dagster's own logger for the console would write each event to standard error.
    quiet = dg.Definitions(loggers={"console": silent_logger})
    definitions = dg.Definitions.merge(assemble([shown], Connections([source], settings), watcher), quiet)
    with open_instance(prepare_home(settings.dagster_home)) as instance, signals_interrupt():
        end_abandoned_runs(instance)
        if tell_last is not None:
            tell_last(latest_of(instance, source.alias))
        _execute(definitions.resolve_job_def(shown.job_name), instance, shown, options)
    if watcher.stopped_by is not None:
        raise watcher.stopped_by
    assert watcher.report is not None, "a run that neither stopped nor was interrupted leaves its report"
    return watcher.report


def _execute(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    source: MirroredSource,
    options: SyncOptions,
) -> None:
    run_config = dg.RunConfig(ops={source.step_name: config_of(options)}, loggers={"console": {}})
    parts = [source.asset_key(part) for part in options.parts or source.parts]
    try:
        execute_in_process(job, instance, run_config=run_config, assets=parts, tags=NEVER_RETRIED)
    except dg.Failure:
        return  # what the step has left with the watcher says it better
    except dg.DagsterExecutionInterruptedError:
        raise KeyboardInterrupt from None


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Let SIGTERM, and SIGHUP of a terminal that is closed, end the run in order, as Ctrl-C does.

    What is ignored from the start stays so: `nohup` lets a command go on without its terminal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, _interrupt) for number in heeded}
    try:
        with no_interrupt_lost():
            yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
