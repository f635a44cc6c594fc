"""The past syncs, from Dagster's run storage alone, and when each source is due again."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg

from dandi_pipeline.errors import USAGE
from dandi_pipeline.http import Traffic
from dandi_pipeline.mirror import Mirror
from dandi_pipeline.orchestration.dagster_internals import sensor_ticks, tag_values
from dandi_pipeline.orchestration.instance import end_abandoned_runs, open_used
from dandi_pipeline.orchestration.recording import SOURCE, WHOLE, asked_of, report_of
from dandi_pipeline.orchestration.sources import sensor_name
from dandi_pipeline.settings import Source
from dandi_pipeline.sync.report import INTERRUPTED, SyncReport


@dataclass(frozen=True, slots=True)
class PastSync:
    """One sync. `report` is None where the run did not get to the end where it is written.

    `status` is one of "done", "done with errors" (some partitions failed), "failed" (stopped before every partition
    had its turn), "refused" (what it was asked for does not exist), "interrupted", "running" and "queued".
    `duration_seconds` is None for one that has not ended.
    """

    run_id: str
    source: str
    scope: str
    started: datetime
    duration_seconds: float | None
    status: str
    launched_by: str
    report: SyncReport | None

    @property
    def traffic(self) -> Traffic:
        """What it sent and received; nothing where it did not get to the end."""
        return self.report.traffic if self.report else Traffic()

    @property
    def ended(self) -> datetime | None:
        """When it came to an end of its own.

        None if it goes on, or was interrupted or mistyped, which tells of no trouble with the source.
        """
        if self.status not in _ENDS or self.duration_seconds is None or set(self.failures) == {USAGE}:
            return None
        return self.started + timedelta(seconds=self.duration_seconds)

    @property
    def why_failed(self) -> str:
        """What a sync that "failed" says of the reason."""
        return (
            self.report and self.report.stopped_by
        ) or f"it ended without a word: killed, or the machine went down (run {self.run_id})"

    @property
    def failures(self) -> Mapping[str, int]:
        """How many errors it met, by their group: the failed partitions', or else what ended it early."""
        failures = self.report.failures if self.report else {}
        if failures or self.status != "failed":
            return failures
        return {(self.report and self.report.stopped) or UNKNOWN: 1}


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


def latest_of(instance: dg.DagsterInstance, source: str) -> PastSync | None:
    """Return the latest sync of a source, or None if there was none."""
    return next(iter(_latest(instance, limit=1, source=source)), None)


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
    # One tag in a filter: several join the table of tags with itself, half a minute with ten thousand runs.
    alias = [source] if source else tag_values(instance, SOURCE)
    if not alias:
        return []
    wanted = dg.RunsFilter(tags={SOURCE: alias}, created_after=since)
    return [past_sync(record) for record in instance.get_run_records(wanted, limit=limit)]


def past_sync(record: dg.RunRecord) -> PastSync:
    """Return what a run that has a source's tag says of itself."""
    run, tags = record.dagster_run, record.dagster_run.tags
    report = report_of(tags, run.run_id)
    return PastSync(
        run_id=run.run_id,
        source=tags.get(SOURCE, ""),
        scope=str(asked_of(tags).get("scope", "")),
        started=_started(record),
        duration_seconds=None if record.end_time is None else record.end_time - _started(record).timestamp(),
        status=_status(run, report),
        launched_by=_launched_by(tags),
        report=report,
    )


def _started(record: dg.RunRecord) -> datetime:
    """Return when the run began to work, or was created if it has not begun."""
    if record.start_time is None:
        return record.create_timestamp
    return datetime.fromtimestamp(record.start_time, timezone.utc)


def _status(run: dg.DagsterRun, report: SyncReport | None) -> str:
    if run.status is dg.DagsterRunStatus.SUCCESS:
        return "done"
    if run.status is dg.DagsterRunStatus.FAILURE:
        return _how_failed(report)
    if run.status in (dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.CANCELING):
        return "interrupted"
    return "running" if run.status is dg.DagsterRunStatus.STARTED else "queued"


def _how_failed(report: SyncReport | None) -> str:
    if report is None:
        return "failed"
    if report.stopped == INTERRUPTED:
        return "interrupted"
    if report.stopped == USAGE:
        return "refused"
    return "done with errors" if report.stopped is None and report.failed else "failed"


def _launched_by(tags: Mapping[str, str]) -> str:
    for tag, launcher in _LAUNCHERS.items():
        if tag in tags:
            return launcher
    return "hand"


_LAUNCHERS = {"dagster/sensor_name": "sensor", "dagster/schedule_name": "schedule", "dagster/backfill": "backfill"}


_LATE = 2
"""A source is overdue when it was not looked at for so many of its intervals."""

_RUNS_LOOKED_AT = (1, 20, 2_000)
"""Newest runs among which one is looked for that came to its end: mostly the first, so few, then more."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """When a source was last looked at, by a sync of all of it or by its sensor; None if never.

    `partitions` is how many Dagster shows, `missing` how many of those the mirror does not hold. `emptied`: it holds
    none, so that nothing counts that Dagster remembers: it was deleted, or another one is used now. `partly` is when a
    sync last looked at a part of it, where none has looked at all.
    """

    checked: datetime | None
    every: timedelta
    partitions: int = 0
    missing: int = 0
    emptied: bool = False
    partly: datetime | None = None

    @property
    def next_due(self) -> datetime | None:
        """When it is to be looked at again; None means at once."""
        return None if self.checked is None or self.missing or self.emptied else self.checked + self.every

    @property
    def in_part_only(self) -> bool:
        """Whether no sync has looked at all of it yet, but one at a part of it: named partitions, say."""
        return self.checked is None and self.partly is not None

    def is_due(self, now: datetime) -> bool:
        """Tell whether it is time."""
        return self.next_due is None or self.next_due <= now

    def is_overdue(self, now: datetime) -> bool:
        """Tell whether it should have been looked at long ago: nobody keeps it fresh."""
        return self.checked is None or self.emptied or self.checked + _LATE * self.every <= now


def freshness_of(home: Path, sources: Iterable[Source], mirror: Mirror | None, now: datetime) -> dict[str, Freshness]:
    """Return how each source stands at `now`, by alias; a home that was never used has seen none of them.

    What the mirror holds decides: one that is None, or holds nothing of a source that Dagster knows, is to be filled.
    """
    with open_used(home) as instance:
        if instance is None:
            return {source.alias: Freshness(None, source.every) for source in sources}
        ticks = {
            name: datetime.fromtimestamp(tick, timezone.utc)
            for name, tick in sensor_ticks(instance, now.timestamp()).items()
        }
        sources = list(sources)
        syncs = {source.alias: _last_syncs(instance, source, now) for source in sources}
        return {
            source.alias: _standing(
                source,
                checks=[syncs[source.alias][0], ticks.get(sensor_name(source.alias))],
                partly=syncs[source.alias][1],
                shown=instance.get_dynamic_partitions(source.alias),
                held=None if mirror is None else mirror.tokens(source.alias),
            )
            for source in sources
        }


def shown_partitions(home: Path, aliases: Iterable[str]) -> dict[str, Collection[str]]:
    """Return the partitions that Dagster shows of each source: what a listing has shown and nobody took away."""
    with open_used(home) as instance:
        return {alias: instance.get_dynamic_partitions(alias) if instance else () for alias in aliases}


def _standing(
    source: Source,
    *,
    checks: Iterable[datetime | None],
    partly: datetime | None,
    shown: Collection[str],
    held: Collection[str] | None,
) -> Freshness:
    missing = len(set(shown) - set(held or ()))
    return Freshness(
        checked=max(filter(None, checks), default=None),
        every=source.every,
        partitions=len(shown),
        missing=missing,
        emptied=held is None or (not held and missing > 0),
        partly=partly,
    )


def _last_syncs(instance: dg.DagsterInstance, source: Source, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Return when the last sync began that looked at all of the source and came to its end, or else the last of a part.

    One that began later than now was recorded before the clock was set back, and says nothing.
    """
    whole = _newest_start(instance, dg.RunsFilter(tags={WHOLE: source.alias}), now)
    if whole is not None:
        return whole, None
    ended = dg.RunsFilter(
        tags={SOURCE: source.alias}, statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
    )
    return None, _newest_start(instance, ended, now)


def _newest_start(instance: dg.DagsterInstance, wanted: dg.RunsFilter, now: datetime) -> datetime | None:
    """Return when the newest of some runs began that came to its end."""
    for limit in _RUNS_LOOKED_AT:
        for record in instance.get_run_records(wanted, limit=limit):
            run, began = record.dagster_run, record.start_time
            report = report_of(run.tags, run.run_id)
            if report and report.stopped is None and began is not None and began <= now.timestamp():
                return datetime.fromtimestamp(began, timezone.utc)
    return None
