"""The syncs of the past, read from Dagster's run storage alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg

from dandi_pipeline.http import Traffic
from dandi_pipeline.orchestration import run_tags
from dandi_pipeline.orchestration.home import open_used
from dandi_pipeline.orchestration.liveness import end_abandoned_runs
from dandi_pipeline.sync.report import Tally


@dataclass(frozen=True, slots=True)
class PastSync:
    """One sync. Counts are None where the run did not get to the end where they are written.

    `status` is one of "done", "done with errors" (some partitions failed), "failed" (stopped before every partition
    had its turn), "interrupted", "running" and "queued". `duration_seconds` is None for one that has not ended.
    `errors` counts the failed partitions by the group of their error; `stopped` is the group of what ended it early,
    `stopped_by` its message.
    """

    run_id: str
    source: str
    scope: str
    started: datetime
    duration_seconds: float | None
    status: str
    launched_by: str
    checked: int | None
    added: int | None
    updated: int | None
    deleted: int | None
    failed: int | None
    records: Tally | None
    requests: int | None
    traffic: Traffic
    errors: Mapping[str, int]
    stopped: str | None
    stopped_by: str | None

    @property
    def ended(self) -> datetime | None:
        """When it came to an end of its own; None if it goes on or was interrupted, which tells of no trouble."""
        if self.status not in _ENDS or self.duration_seconds is None:
            return None
        return self.started + timedelta(seconds=self.duration_seconds)

    @property
    def why_failed(self) -> str:
        """What a sync that "failed" says of the reason."""
        return self.stopped_by or f"it ended without a word: killed, or the machine went down (run {self.run_id})"

    @property
    def failures(self) -> Mapping[str, int]:
        """How many errors it met, by their group: the failed partitions', or else what ended it early."""
        if self.errors or self.status != "failed":
            return self.errors
        return {self.stopped or UNKNOWN: 1}


_ENDS = ("done", "done with errors", "failed")

UNKNOWN = "unknown"
"""The group of what ended a run that could not say it, e.g. because its process was killed."""


def past_syncs(
    home: Path, *, limit: int | None = None, source: str | None = None, since: datetime | None = None
) -> list[PastSync]:
    """Return the latest syncs, newest first, of one source or of all; none where `home` has no instance yet.

    `since` leaves out what was launched before.
    """
    with open_used(home) as instance:
        if instance is None:
            return []
        end_abandoned_runs(instance)
        return _latest(instance, limit=limit, source=source, since=since)


def latest_syncs(home: Path, sources: Iterable[str], *, limit: int) -> dict[str, list[PastSync]]:
    """Return the latest syncs of each source, newest first, by alias."""
    with open_used(home) as instance:
        if instance is None:
            return {alias: [] for alias in sources}
        end_abandoned_runs(instance)
        return {alias: _latest(instance, limit=limit, source=alias) for alias in sources}


def _latest(
    instance: dg.DagsterInstance, *, limit: int | None, source: str | None, since: datetime | None = None
) -> list[PastSync]:
    tags = {run_tags.KIND: run_tags.SYNC, **({run_tags.SOURCE: source} if source else {})}
    wanted = dg.RunsFilter(tags=tags, created_after=since)
    return [_past_sync(record) for record in instance.get_run_records(wanted, limit=limit)]


def _past_sync(record: dg.RunRecord) -> PastSync:
    run, tags = record.dagster_run, record.dagster_run.tags
    return PastSync(
        run_id=run.run_id,
        source=tags.get(run_tags.SOURCE, ""),
        scope=tags.get(run_tags.SCOPE, ""),
        started=_started(record),
        duration_seconds=None if record.end_time is None else record.end_time - _started(record).timestamp(),
        status=_status(run),
        launched_by=_launched_by(tags),
        checked=run_tags.count_from(tags, run_tags.CHECKED),
        added=run_tags.count_from(tags, run_tags.ADDED),
        updated=run_tags.count_from(tags, run_tags.UPDATED),
        deleted=run_tags.count_from(tags, run_tags.DELETED),
        failed=run_tags.count_from(tags, run_tags.FAILED),
        records=run_tags.records_from(tags),
        requests=run_tags.count_from(tags, run_tags.REQUESTS),
        traffic=run_tags.traffic_from(tags),
        errors=run_tags.errors_from(tags),
        stopped=tags.get(run_tags.STOPPED),
        stopped_by=tags.get(run_tags.STOPPED_BY),
    )


def _started(record: dg.RunRecord) -> datetime:
    """Return when the run began to work, or was created if it has not begun."""
    if record.start_time is None:
        return record.create_timestamp
    return datetime.fromtimestamp(record.start_time, timezone.utc)


def _status(run: dg.DagsterRun) -> str:
    if run.status is dg.DagsterRunStatus.SUCCESS:
        return "done"
    if run.status is dg.DagsterRunStatus.FAILURE:
        return _how_failed(run.tags)
    if run.status in (dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.CANCELING):
        return "interrupted"
    return "running" if run.status is dg.DagsterRunStatus.STARTED else "queued"


def _how_failed(tags: Mapping[str, str]) -> str:
    stopped = tags.get(run_tags.STOPPED)
    if stopped == run_tags.INTERRUPTED:
        return "interrupted"
    return "done with errors" if stopped is None and run_tags.count_from(tags, run_tags.FAILED) else "failed"


def _launched_by(tags: Mapping[str, str]) -> str:
    for tag, launcher in _LAUNCHERS.items():
        if tag in tags:
            return launcher
    return "hand"


_LAUNCHERS = {"dagster/sensor_name": "sensor", "dagster/schedule_name": "schedule", "dagster/backfill": "backfill"}
