"""Forgets what is old: syncs in Dagster's history and, where that is asked for, changes in the mirror's log.

What is known of the present stays: the run that holds the last word on any partition is kept however old it is.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
from pydantic import Field

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.instants import spelled
from dandi_pipeline.mirror import Mirror
from dandi_pipeline.orchestration.dagster_internals import delete_run, runs_with_latest_events, tag_values
from dandi_pipeline.orchestration.instance import open_used
from dandi_pipeline.orchestration.recording import SOURCE, WHOLE
from dandi_pipeline.settings import Settings

JOB = SCHEDULE = "prune_history"
"""Of Dagster's objects, so that all that they do is found under one name."""

YEAR = 365

_MOST_DAYS = 36_500
"""Nothing is older, and calendars begin somewhere."""

_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many runs and changes were deleted (or would be), and how many old runs were `kept` for what they tell."""

    runs: int
    kept: int
    changes: int

    def __str__(self) -> str:
        """Say it in a line."""
        kept = f" ({self.kept:,} as old kept: they hold the last word on a partition or a source)" if self.kept else ""
        return f"{self.runs:,} runs{kept} and {self.changes:,} changes"


def prune(
    home: Path, mirror: Mirror | None, *, runs_before: datetime, changes_before: datetime | None, dry_run: bool
) -> Pruned:
    """Delete the finished syncs of a home that are older than an instant, and the mirror's changes, if asked for.

    With `dry_run` nothing is deleted. Deleting can be stopped at any time and goes on with the next call.
    """
    with open_used(home) as instance:
        runs = kept = 0
        if instance is not None:
            runs, kept = _prune_runs(instance, runs_before, dry_run=dry_run)
    return Pruned(runs, kept, _prune_changes(mirror, changes_before, dry_run=dry_run))


def _prune_runs(instance: dg.DagsterInstance, before: datetime, *, dry_run: bool) -> tuple[int, int]:
    """Return how many runs were deleted, and how many as old were kept."""
    aliases = tag_values(instance, SOURCE)
    old = list(dict.fromkeys(_old_runs(instance, aliases, before)))
    needed = _needed_runs(instance, aliases) if old else set()
    deleted = [run_id for run_id in old if run_id not in needed]
    if not dry_run:
        for run_id in deleted:
            delete_run(instance, run_id)
    return len(deleted), len(old) - len(deleted)


def _old_runs(instance: dg.DagsterInstance, aliases: list[str], before: datetime) -> Iterator[str]:
    """Yield the finished runs of ours that were created before an instant; others may keep runs in the same home."""
    ours = [dg.RunsFilter(job_name=JOB, statuses=_FINISHED, created_before=before)]
    if aliases:
        ours.append(dg.RunsFilter(tags={SOURCE: aliases}, statuses=_FINISHED, created_before=before))
    for wanted in ours:
        yield from instance.get_run_ids(wanted)


def _needed_runs(instance: dg.DagsterInstance, aliases: list[str]) -> set[str]:
    """Return the runs by which Dagster shows how each partition stands, and each source's newest and newest whole."""
    needed = {
        record.dagster_run.run_id
        for alias in aliases
        for tag in (SOURCE, WHOLE)
        for record in instance.get_run_records(dg.RunsFilter(tags={tag: alias}), limit=1)
    }
    for asset in instance.get_asset_keys():
        if not set(aliases).isdisjoint(asset.path):
            needed |= runs_with_latest_events(instance, asset)
    return needed


def _prune_changes(mirror: Mirror | None, before: datetime | None, *, dry_run: bool) -> int:
    if mirror is None or before is None:
        return 0
    return mirror.prune_changes(spelled(before), dry_run=dry_run)


class PruneConfig(dg.Config):
    """What the job deletes: syncs after a year, and no changes unless told to."""

    older_than_days: int = Field(default=YEAR, ge=1)
    changes_older_than_days: int | None = Field(default=None, ge=1)


def build_pruning() -> dg.Definitions:
    """Return the job that prunes, and its schedule: one of each, since it is about the runs of all sources."""
    job = _prune_job()
    return dg.Definitions(jobs=[job], schedules=[_prune_schedule(job)])


def _prune_job() -> dg.JobDefinition:
    """Return the job that does what `dandi-pipeline prune` does."""

    @dg.op(description="Delete old syncs from Dagster's history and, if told to, old changes from the mirror's log.")
    def prune_old(context: dg.OpExecutionContext, config: PruneConfig) -> None:
        runs, kept = _prune_runs(context.instance, days_ago(config.older_than_days), dry_run=False)
        changes = 0
        if config.changes_older_than_days is not None:
            settings = Settings.from_environment(os.environ, Path.cwd())
            with open_mirror(settings.mirror_database_url) as mirror:
                changes = _prune_changes(mirror, days_ago(config.changes_older_than_days), dry_run=False)
        context.log.info("deleted %s", Pruned(runs, kept, changes))

    @dg.job(
        name=JOB,
        description="Forget what is old, so that the history stays small; see docs/operating.md.",
        executor_def=dg.in_process_executor,
    )
    def prune_history() -> None:
        prune_old()

    return prune_history


def _prune_schedule(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Return its weekly schedule. It is stopped at first: whoever wants less history says so."""
    return dg.ScheduleDefinition(
        name=SCHEDULE,
        job=job,
        cron_schedule="0 4 * * 0",
        execution_timezone="UTC",
        description="Delete syncs of more than a year ago from Dagster's history, each Sunday. Stopped at first.",
        default_status=dg.DefaultScheduleStatus.STOPPED,
    )


def days_ago(days: int) -> datetime:
    """Return the moment that many days ago."""
    return datetime.now(timezone.utc) - timedelta(days=min(days, _MOST_DAYS))
