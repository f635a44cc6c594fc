"""What launches syncs by itself: the sensor for what is stale, the nightly schedule, and the sweep."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any
from zlib import crc32

import dagster as dg

from dandi_pipeline.errors import PipelineError
from dandi_pipeline.mirror import PartitionState
from dandi_pipeline.orchestration.dagster_internals import (
    PARTITION_TAG,
    RANGE_END_TAG,
    RANGE_START_TAG,
    AssetJob,
    launched_whole,
)
from dandi_pipeline.orchestration.instance import end_abandoned_runs
from dandi_pipeline.orchestration.recording import SOURCE, background_tags, launch_tags, printable
from dandi_pipeline.orchestration.resources import Connections, config_of
from dandi_pipeline.orchestration.sources import MirroredSource, compare_set
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.planning import Stale, SyncPlan, batches
from dandi_pipeline.text import quantity

FIRST_DELAY = timedelta(minutes=5)
LONGEST_DELAY = timedelta(hours=6)


def retry_at(states: Iterable[PartitionState], now: datetime) -> datetime | None:
    """Return when a partition, of whose parts these are the states, is due again; None if none has failed."""
    return max((moment for state in states if (moment := _retry_part_at(state, now))), default=None)


def _retry_part_at(state: PartitionState, now: datetime) -> datetime | None:
    if state.failed_at is None or state.attempts < 1:
        return None
    if state.failed_at > now:
        # The clock was set back. What it once said would keep the partition waiting until it says so again.
        return now
    delay: timedelta = FIRST_DELAY * 2 ** min(state.attempts - 1, 16)
    return state.failed_at + min(delay, LONGEST_DELAY)


UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True, slots=True)
class UnderWay:
    """The partitions that unfinished runs have taken on; `whole` is the id of a run over the whole source."""

    keys: frozenset[str]
    whole: str | None


def find_under_way(instance: dg.DagsterInstance, source: MirroredSource) -> UnderWay:
    """Look at the unfinished runs of a source, whoever launched them: sensor, schedule, UI, backfill or command."""
    keys: set[str] = set()
    for run in _runs_of(instance, source):
        taken = _partitions_of(run, instance, source)
        if taken is None:
            return UnderWay(frozenset(), run.run_id)
        keys.update(taken)
    return UnderWay(frozenset(keys), None)


def _runs_of(instance: dg.DagsterInstance, source: MirroredSource) -> list[dg.DagsterRun]:
    """Return the source's unfinished runs; a backfill's carries no tag of ours before it starts."""
    assets = {source.asset_key(part) for part in source.parts}
    return [
        run
        for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
        if run.tags.get(SOURCE) == source.alias or assets & (run.asset_selection or set())
    ]


def _partitions_of(run: dg.DagsterRun, instance: dg.DagsterInstance, source: MirroredSource) -> Iterable[str] | None:
    """Return the partitions a run was launched for; None if for all."""
    if PARTITION_TAG in run.tags:
        return [run.tags[PARTITION_TAG]]
    if RANGE_START_TAG in run.tags:
        ordered = list(instance.get_dynamic_partitions(source.partition_set))
        bounds = (run.tags[RANGE_START_TAG], run.tags[RANGE_END_TAG])
        if not set(bounds) <= set(ordered):
            return []
        return ordered[ordered.index(bounds[0]) : ordered.index(bounds[1]) + 1]
    return _in_config(run.run_config, source) or None


def _in_config(run_config: Any, source: MirroredSource) -> list[str]:
    config = run_config.get("ops", {}).get(source.step_name, {}).get("config", {})
    return list(config.get("partitions", []))


def build_job(source: MirroredSource) -> AssetJob:
    """Return the job of one source. In process: the step is the whole run, a process of its own would cost seconds."""
    job = dg.define_asset_job(
        source.job_name,
        selection=[source.asset_key(part) for part in source.parts],
        description=_how_to_launch(source),
        executor_def=dg.in_process_executor,
        tags=launch_tags(source.alias),
    )
    return launched_whole(job)


def _how_to_launch(source: MirroredSource) -> str:
    """Say what a launch does and how several partitions go in one run, with a link that is right below any prefix."""
    noun = source.partition_noun
    return (
        f"Brings the mirror of {source.alias} up to date.\n\n"
        f"- **All that is stale**: open the [launchpad]({source.job_name}/playground) and launch it as it stands.\n"
        f"- **Any {noun}s in one run**: put their keys into its `partitions`, e.g. `partitions: [{_EXAMPLE}]`.\n"
        f"- *Materialize* launches a run for each group of {noun}s that stand next to each other in the list: thirty"
        " scattered ones become thirty runs."
    )


_EXAMPLE = '"key", "another key"'


def _status(source: MirroredSource) -> dg.DefaultScheduleStatus:
    return dg.DefaultScheduleStatus.RUNNING if source.look.automation else dg.DefaultScheduleStatus.STOPPED


def build_schedule(source: MirroredSource, job: AssetJob) -> dg.ScheduleDefinition:
    """Return the nightly check of the whole source, which also asks again about what was hidden."""
    return dg.ScheduleDefinition(
        name=source.schedule_name,
        job=job,
        cron_schedule="0 2 * * *",
        execution_timezone="UTC",
        tags=background_tags(source.alias),
        description=f"Check all of {source.alias}, also the {source.partition_noun}s that were hidden.",
        default_status=_status(source),
    )


BATCH = 250
"""Partitions a run at most: a summary that can be read, a killed run that takes little with it."""


class CheckFailed(dg.DagsterError):
    """What a failed tick shows. Dagster would wrap any other error in several more, each with its traceback."""


States = Mapping[tuple[str, str], PartitionState]


def build_sensor(source: MirroredSource, job: AssetJob, connections: Connections) -> dg.SensorDefinition:
    """Return the source's sensor. It runs from the start: keeping the mirror fresh is what the project is for.

    A platform that cannot be reached fails the tick, so that it shows as what it is; a skipped tick would look
    as if nothing had changed.
    """

    @dg.sensor(
        name=source.sensor_name,
        job=job,
        minimum_interval_seconds=int(source.check_every.total_seconds()),
        description=f"Asks {source.alias} which {source.partition_noun}s have changed, and syncs those.",
        default_status=dg.DefaultSensorStatus.RUNNING if source.look.automation else dg.DefaultSensorStatus.STOPPED,
    )
    def changes(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
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
    """What the platform and the mirror say: `held` are the mirror's partitions, `failed` its states of failed parts."""

    plan: SyncPlan
    held: Set[str]
    failed: States
    requests: int

    @property
    def partitions(self) -> set[str]:
        """Every partition there is: those in the mirror, hidden ones included, and the new ones."""
        return {*self.held, *(item.key for item in self.plan.stale)}


def _check(source: MirroredSource, connections: Connections) -> _Check:
    with connections.open(source.alias) as connection:
        sync = Sync(source.alias, connection.platform, connection.mirror, SyncOptions())
        plan = sync.plan(recheck_hidden=False)
        held = connection.mirror.tokens(source.alias).keys()
        failed = connection.mirror.states(source.alias, only_failed=True)
        return _Check(plan, held, failed, connection.platform.traffic.requests)


def _launch(
    instance: dg.DagsterInstance, source: MirroredSource, check: _Check, under_way: UnderWay
) -> dg.SensorResult:
    """Request runs for what is stale, not under way, and not waiting to be tried again."""
    now = datetime.now(timezone.utc)
    idle = [item for item in check.plan.stale if item.key not in under_way.keys]
    due = [item for item in idle if (_retry_at(source, check.failed, item.key, now) or now) <= now]
    changes = compare_set(instance, source, check.partitions)
    forgotten = set(changes.missing) - {item.key for item in check.plan.stale} - under_way.keys
    after = _newest_run(instance, source)
    requests = [_request_all(source, after, forgotten)] if forgotten else _run_requests(source, after, due)
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else _nothing_to_launch(source, check, idle, now),
        dynamic_partitions_requests=changes.requests(source),
    )


def _retry_at(source: MirroredSource, states: States, key: str, now: datetime) -> datetime | None:
    return retry_at([states[key, part] for part in source.parts if (key, part) in states], now)


def _newest_run(instance: dg.DagsterInstance, source: MirroredSource) -> str:
    newest = instance.get_runs(dg.RunsFilter(tags={SOURCE: source.alias}), limit=1)
    return newest[0].run_id if newest else "the first"


def _request_all(source: MirroredSource, after: str, forgotten: Iterable[str]) -> dg.RunRequest:
    """Ask for one run over all of the source, which shows what the mirror holds and Dagster does not know of.

    So it is after a home was deleted: partitions that are fresh are shown without a request for each.
    """
    return _request(source, after, forgotten, SyncOptions())


def _run_requests(source: MirroredSource, after: str, due: Sequence[Stale]) -> list[dg.RunRequest]:
    """Cut the work into runs, the smallest partitions first: most of a first copy is there within minutes."""
    tokens = {item.key: item.listed.token if item.listed else item.reason for item in due}
    return [
        _request(
            source,
            after,
            (f"{key} {tokens[key]}" for key in sorted(batch)),
            SyncOptions(partitions=tuple(sorted(batch)), ignore_unknown=True),
        )
        for batch in batches([item.key for item in reversed(due)], BATCH)
    ]


def _request(source: MirroredSource, after: str, work: Iterable[str], options: SyncOptions) -> dg.RunRequest:
    """Ask for one run.

    The run key names the work and `after`, the newest run there was: the same tick evaluated twice launches once,
    while what a run left undone, however it ended, is launched again.
    """
    return dg.RunRequest(
        run_key=_digest([source.alias, after, *sorted(work)]),
        tags=background_tags(source.alias),
        run_config=_run_config(source, options),
    )


def _run_config(source: MirroredSource, options: SyncOptions) -> dg.RunConfig:
    return dg.RunConfig(ops={source.step_name: config_of(options)})


def _digest(words: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def _nothing_to_launch(source: MirroredSource, check: _Check, idle: Sequence[Stale], now: datetime) -> str:
    """Say what was seen, and why nothing is launched for it."""
    seen = f"{quantity(check.plan.checked, source.partition_noun)} checked in {quantity(check.requests, 'request')}"
    if not check.plan.stale:
        return f"{seen}, all fresh"
    reasons = []
    if syncing := len(check.plan.stale) - len(idle):
        reasons.append(f"{syncing:,} being synced by runs in progress")
    if idle:
        next_try = min(_retry_at(source, check.failed, item.key, now) or now for item in idle)
        reasons.append(f"{len(idle):,} failed before, the next is tried again at {next_try:%Y-%m-%d %H:%M} UTC")
    return f"{seen}: {', '.join(reasons)}"


def build_sweep(source: MirroredSource, job: AssetJob, connections: Connections) -> dg.ScheduleDefinition:
    """Return the source's schedule: each day those partitions whose turn it is, so that each has one a round."""

    @dg.schedule(
        name=source.sweep_name,
        job=job,
        cron_schedule="0 3 * * *",
        execution_timezone="UTC",
        description=f"Read every {source.partition_noun} of {source.alias} completely, once in {source.sweep_days} d.",
        default_status=_status(source),
    )
    def sweep(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        today = context.scheduled_execution_time.date()
        with connections.open(source.alias) as connection:
            held = connection.mirror.tokens(source.alias)
        keys = sorted(in_turn(held, today, days=source.sweep_days))
        if not keys:
            yield dg.SkipReason(f"none of {quantity(len(held), source.partition_noun)} has its turn on {today}")
        for number, batch in enumerate(batches(keys, BATCH), 1):
            turn = today.toordinal() // source.sweep_days
            options = SyncOptions(partitions=batch, full=True, round=turn, ignore_unknown=True)
            yield dg.RunRequest(
                run_key=f"{source.alias} {today} {number}",
                tags=background_tags(source.alias),
                run_config=_run_config(source, options),
            )

    return sweep


def in_turn(partitions: Iterable[str], day: date, *, days: int) -> Iterator[str]:
    """Yield those whose turn is on this day: each on one of any `days` in a row, and whatever others there are."""
    return (key for key in partitions if crc32(key.encode()) % days == day.toordinal() % days)
