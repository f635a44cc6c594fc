"""Turns a source into Dagster assets, one a part, synced together or alone by one step.

The sensor and the schedule name partitions in the step's config, the UI and backfills in the run's tags, the
command line runs the same step in its own process: one function serves all. Reading, comparing and committing
belong in `sync`; this module only runs it and has it written down.
"""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import dagster as dg

from dandi_pipeline.errors import ConfigurationError, PartitionUnknown, PipelineError, UnforeseenError
from dandi_pipeline.orchestration.instance import at_work
from dandi_pipeline.orchestration.pages import asset_spec
from dandi_pipeline.orchestration.recording import Journal, check_results, printable, stopping, synced_check
from dandi_pipeline.orchestration.resources import Connection, Connections, SyncConfig, Watcher, options_of
from dandi_pipeline.orchestration.sources import MirroredSource, partitions_of
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.progress import Progress
from dandi_pipeline.sync.report import INTERRUPTED, Outcome, PartitionReport, SyncReport


def build_assets(source: MirroredSource, connections: Connections, watcher: Watcher) -> dg.AssetsDefinition:
    """Return the source's assets. Each partition is recorded as it is committed, failures are raised at the end."""

    @dg.multi_asset(
        name=source.step_name,
        specs=[asset_spec(source, part, connections) for part in source.parts],
        check_specs=[synced_check(source, part) for part in source.parts],
        partitions_def=partitions_of(source),
        backfill_policy=dg.BackfillPolicy.single_run(),
        can_subset=True,
        pool=source.pool,
    )
    def sync_partitions(context: dg.AssetExecutionContext, config: SyncConfig) -> Iterator[dg.AssetCheckResult]:
        if not context.selected_asset_keys:
            yield from _checked(context, source, connections)
            return
        with at_work(context.instance, context.run.run_id):
            journal, report = _sync(context, config, source, connections, watcher)
        # A partition's event has been logged by itself, with its partition; one yielded here would have none.
        wanted = {check.asset_key for check in context.selected_asset_check_keys}
        yield from (check for check in journal.checks() if check.asset_key in wanted)
        if report.problems:
            raise journal.failure(report)

    return sync_partitions


def _checked(
    context: dg.AssetExecutionContext, source: MirroredSource, connections: Connections
) -> list[dg.AssetCheckResult]:
    """Evaluate checks alone: nothing is synced for them."""
    parts = [part for part in source.parts if synced_check(source, part).key in context.selected_asset_check_keys]
    try:
        with connections.open(source.alias) as connection:
            states, called = connection.mirror.states(source.alias), connection.mirror.shown(source.alias)
            return check_results(source, parts, states, called)
    except PipelineError as error:
        raise stopping(error) from None


def requested(context: dg.AssetExecutionContext, config: SyncConfig, source: MirroredSource) -> SyncOptions:
    """Return what the run is asked to do: its config, its partition tags and its asset selection together."""
    parts = tuple(part for part in source.parts if source.asset_key(part) in context.selected_asset_keys)
    others: dict[str, Any] = {"parts": () if parts == source.parts else parts}
    if context.has_partition_key or context.has_partition_key_range:
        others |= {"partitions": tuple(context.partition_keys), "ignore_unknown": True}
    return options_of(config, **others)


def _sync(
    context: dg.AssetExecutionContext,
    config: SyncConfig,
    source: MirroredSource,
    connections: Connections,
    watcher: Watcher,
) -> tuple[Journal, SyncReport]:
    """Run the sync; return its record, and what became of it."""
    try:
        journal, report = _recorded(context, source, requested(context, config, source), connections, watcher)
    except PipelineError as error:
        watcher.stopped_by = error
        raise stopping(error) from None
    watcher.report = report
    return journal, report


def _recorded(
    context: dg.AssetExecutionContext,
    source: MirroredSource,
    options: SyncOptions,
    connections: Connections,
    watcher: Watcher,
) -> tuple[Journal, SyncReport]:
    """Run the sync and leave its sums on the run, however it ends."""
    journal = Journal(context, source, options, watcher.log)
    stopped: str | None = UnforeseenError.group
    stopped_by: str | None = None
    try:
        with warnings_logged(context), connections.open(source.alias, options.tuning) as connection:
            keys = _keys(journal, source, options, connection)
            if keys or not options.partitions:
                options = options.model_copy(update={"partitions": tuple(keys)})
                _follow(journal, source, options, connection, watcher.progress, context.run.run_id)
        stopped = None
    except (KeyboardInterrupt, SystemExit, GeneratorExit, dg.DagsterExecutionInterruptedError):
        stopped = INTERRUPTED
        raise
    except PipelineError as error:
        stopped, stopped_by = error.group, printable(str(error))
        raise
    finally:
        report = journal.close(stopped, stopped_by)
    return journal, report


def _keys(journal: Journal, source: MirroredSource, options: SyncOptions, connection: Connection) -> tuple[str, ...]:
    """Return the named partitions as the platform spells them; what can be none is noted as failed, the rest goes on.

    Anything can be typed into "Add partition". What the mirror holds was the platform's own spelling.
    """
    if not options.partitions:
        return ()
    held = connection.mirror.tokens(source.alias)
    keys = []
    for text in options.partitions:
        try:
            keys.append(text if text in held else connection.platform.partition_key(text))
        except ConfigurationError as error:
            parts, unknown = options.parts or source.parts, PartitionUnknown(str(error))
            journal.note(PartitionReport(text, "", Outcome.FAILED, parts, error=unknown))
    return tuple(dict.fromkeys(keys))


@contextmanager
def warnings_logged(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Have the project's warnings, e.g. of a request that is asked again, in the run's log as they come."""
    logger, handler = logging.getLogger("dandi_pipeline"), _IntoRun(context)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _IntoRun(logging.Handler):
    def __init__(self, context: dg.AssetExecutionContext) -> None:
        super().__init__(logging.WARNING)
        self._log = context.log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.log(record.levelno, printable(record.getMessage()))


def _follow(
    journal: Journal,
    source: MirroredSource,
    options: SyncOptions,
    connection: Connection,
    progress: Progress,
    run_id: str,
) -> None:
    """Drive the sync, and note each partition as soon as it is committed."""
    sync = Sync(
        source.alias,
        connection.platform,
        connection.mirror,
        options,
        progress,
        max_concurrent=source.max_concurrent,
    )
    try:
        plan = sync.plan()
        journal.planned(plan)
        journal.found(connection.mirror)
        # Closed at once, or an interrupted sync would go on with a closed mirror.
        with closing(sync.run(plan, run_id)) as reports:
            for report in reports:
                if report.changed:
                    journal.found(connection.mirror, report.partition)  # its view may have been made just now
                journal.note(report)
        # With a date limit, what the plan leaves out need not be fresh.
        journal.settled(() if options.since else options.partitions, connection.mirror)
    finally:
        journal.traffic = connection.platform.traffic
