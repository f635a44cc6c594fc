"""The sensor that keeps a source fresh: asks what is stale, and launches runs for exactly that.

It asks the platform and the mirror (one request per thousand partitions and one query), never Dagster's event log,
and reads no partition: that is the runs' work.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from dandi_pipeline.errors import PipelineError
from dandi_pipeline.mirror import PartitionState
from dandi_pipeline.orchestration.config import SyncConfig
from dandi_pipeline.orchestration.connections import Connections
from dandi_pipeline.orchestration.events import printable
from dandi_pipeline.orchestration.liveness import end_abandoned_runs
from dandi_pipeline.orchestration.partition_set import compare_set
from dandi_pipeline.orchestration.retrying import retry_at
from dandi_pipeline.orchestration.run_tags import SOURCE, background_tags
from dandi_pipeline.orchestration.sources import MirroredSource
from dandi_pipeline.orchestration.under_way import UnderWay, find_under_way
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.planning import Stale, SyncPlan, batches

BATCH = 250
"""Partitions a run at most: a summary that can be read, a killed run that takes little with it."""


class CheckFailed(dg.DagsterError):
    """What a failed tick shows. Dagster would wrap any other error in several more, each with its traceback."""


States = Mapping[tuple[str, str], PartitionState]


def build_sensor(source: MirroredSource, job: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
    """Return the source's sensor. It runs from the start: keeping the mirror fresh is what the project is for.

    A platform that cannot be reached fails the tick, so that it shows as what it is; a skipped tick would look
    as if nothing had changed.
    """

    @dg.sensor(
        name=source.sensor_name,
        job=job,
        minimum_interval_seconds=int(source.check_every.total_seconds()),
        description=f"Asks {source.alias} which {source.partition_noun}s have changed, and syncs those.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def changes(
        context: dg.SensorEvaluationContext, connections: dg.ResourceParam[Connections]
    ) -> dg.SensorResult | dg.SkipReason:
        end_abandoned_runs(context.instance)
        # Before the mirror is asked: a run that ends in between has then left its commits there.
        under_way = find_under_way(context.instance, source)
        if under_way.whole is not None:
            return dg.SkipReason(f"a sync of all of {source.alias} is in progress (run {under_way.whole})")
        try:
            check = _check(source, connections)
        except PipelineError as error:
            raise CheckFailed(printable(str(error))) from None
        return _launch(context.instance, source, check, under_way)

    return changes


@dataclass(frozen=True, slots=True)
class _Check:
    """What the platform and the mirror say."""

    plan: SyncPlan
    states: States
    requests: int

    @property
    def partitions(self) -> set[str]:
        """Every partition there is: those in the mirror, hidden ones included, and the new ones."""
        return {partition for partition, _ in self.states} | {item.key for item in self.plan.stale}


def _check(source: MirroredSource, connections: Connections) -> _Check:
    with connections.open(source.alias) as connection:
        sync = Sync(source.alias, connection.platform, connection.mirror, SyncOptions())
        plan = sync.plan(recheck_hidden=False)
        return _Check(plan, connection.mirror.states(source.alias), connection.platform.traffic.requests)


def _launch(
    instance: dg.DagsterInstance, source: MirroredSource, check: _Check, under_way: UnderWay
) -> dg.SensorResult:
    """Request runs for what is stale, not under way, and not waiting to be tried again."""
    now = datetime.now(timezone.utc)
    idle = [item for item in check.plan.stale if item.key not in under_way.keys]
    due = [item for item in idle if (_retry_at(source, check.states, item.key, now) or now) <= now]
    requests = _run_requests(instance, source, due, check.states)
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else _nothing_to_launch(source, check, idle, now),
        dynamic_partitions_requests=compare_set(instance, source, check.partitions).requests(source),
    )


def _retry_at(source: MirroredSource, states: States, key: str, now: datetime) -> datetime | None:
    return retry_at([states[key, part] for part in source.parts if (key, part) in states], now)


def _run_requests(
    instance: dg.DagsterInstance, source: MirroredSource, due: Sequence[Stale], states: States
) -> list[dg.RunRequest]:
    """Cut the work into runs, the smallest partitions first: most of a first copy is there within minutes.

    The run key names the work and the newest run there was: the same tick evaluated twice launches once, while
    what a run left undone, however it ended, is launched again.
    """
    newest = instance.get_runs(dg.RunsFilter(tags={SOURCE: source.alias}), limit=1)
    after = newest[0].run_id if newest else "the first"
    tokens = {item.key: item.listed.token if item.listed else item.reason for item in due}
    return [
        dg.RunRequest(
            run_key=_digest([source.alias, after, *(f"{key} {tokens[key]}" for key in sorted(batch))]),
            tags=background_tags(source.alias),
            run_config=dg.RunConfig(ops={source.step_name: SyncConfig(partitions=sorted(batch), ignore_unknown=True)}),
        )
        for batch in batches([item.key for item in reversed(due)], BATCH)
    ]


def _digest(words: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def _nothing_to_launch(source: MirroredSource, check: _Check, idle: Sequence[Stale], now: datetime) -> str:
    """Say what was seen, and why nothing is launched for it."""
    requests = f"{check.requests:,} request{'' if check.requests == 1 else 's'}"
    seen = f"{check.plan.checked:,} {source.partition_noun}s checked in {requests}"
    if not check.plan.stale:
        return f"{seen}, all fresh"
    reasons = []
    if syncing := len(check.plan.stale) - len(idle):
        reasons.append(f"{syncing:,} being synced by runs in progress")
    if idle:
        next_try = min(_retry_at(source, check.states, item.key, now) or now for item in idle)
        reasons.append(f"{len(idle):,} failed before, the next is tried again at {next_try:%Y-%m-%d %H:%M} UTC")
    return f"{seen}: {', '.join(reasons)}"
