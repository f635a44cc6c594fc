"""The sweep: every partition is read in its turn, whatever the platform says of it.

This finds what moves no timestamp, and on platforms that tell of no deletions what was deleted.
"""

from collections.abc import Iterable, Iterator
from datetime import date
from zlib import crc32

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from dandi_pipeline.orchestration.config import SyncConfig
from dandi_pipeline.orchestration.connections import Connections
from dandi_pipeline.orchestration.run_tags import background_tags
from dandi_pipeline.orchestration.sensors import BATCH
from dandi_pipeline.orchestration.sources import MirroredSource
from dandi_pipeline.sync.planning import batches


def build_sweep(source: MirroredSource, job: UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
    """Return the source's schedule: each day those partitions whose turn it is, so that each has one a round."""

    @dg.schedule(
        name=source.sweep_name,
        job=job,
        cron_schedule="0 3 * * *",
        execution_timezone="UTC",
        description=f"Read every {source.partition_noun} of {source.alias} completely, once in {source.sweep_days} d.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def sweep(
        context: dg.ScheduleEvaluationContext, connections: dg.ResourceParam[Connections]
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        today = context.scheduled_execution_time.date()
        with connections.open(source.alias) as connection:
            held = {partition for partition, _ in connection.mirror.states(source.alias)}
        keys = sorted(in_turn(held, today, days=source.sweep_days))
        if not keys:
            yield dg.SkipReason(f"none of {len(held):,} {source.partition_noun}s has its turn on {today}")
        for number, batch in enumerate(batches(keys, BATCH), 1):
            turn = today.toordinal() // source.sweep_days
            config = SyncConfig(partitions=list(batch), full=True, round=turn, ignore_unknown=True)
            yield dg.RunRequest(
                run_key=f"{source.alias} {today} {number}",
                tags=background_tags(source.alias),
                run_config=dg.RunConfig(ops={source.step_name: config}),
            )

    return sweep


def in_turn(partitions: Iterable[str], day: date, *, days: int) -> Iterator[str]:
    """Yield those whose turn is on this day: each on one of any `days` in a row, and whatever others there are."""
    return (key for key in partitions if crc32(key.encode()) % days == day.toordinal() % days)
