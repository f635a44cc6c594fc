"""Writes down one sync as it goes: log lines, an event a partition and part, and the tags that the history reads."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from dandi_pipeline.errors import PipelineError
from dandi_pipeline.http import TOTALS, Traffic
from dandi_pipeline.model import RecordKind
from dandi_pipeline.orchestration.dagster_internals import HIDDEN_TAG_PREFIX, Line, Planned
from dandi_pipeline.orchestration.event_batches import EventBatches
from dandi_pipeline.orchestration.sources import MirroredSource, add_partitions, remove_partition
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.planning import StoredTokens, SyncPlan
from dandi_pipeline.sync.report import INTERRUPTED, Outcome, PartitionReport, SyncReport, Tally, summarize
from dandi_pipeline.text import excerpt, quantity

RESULT = "sync/result"
"""What came of a sync, for people: "1 failed, 2 updated"."""

SOURCE = f"{HIDDEN_TAG_PREFIX}sync_source"
"""On every sync: its source's alias."""

BACKGROUND = f"{HIDDEN_TAG_PREFIX}sync_background"
"""On runs that nobody is waiting for; `dagster.yaml` lets them go one at a time for each value, a source's alias."""

REPORT = f"{HIDDEN_TAG_PREFIX}sync_report"
"""A sync's `SyncReport` as JSON; until it ends, what it was asked."""

WHOLE = f"{HIDDEN_TAG_PREFIX}sync_whole"
"""On a sync that looked at all of its source and came to its end: the source's alias.

By this tag alone the newest one is found among any number of syncs of single partitions.
"""

_LONGEST_SCOPE = 200
_LONGEST_REPORT = 2_000
"""Bytes of that JSON: PostgreSQL indexes run tags by key and value, and refuses rows of more than about 2,700 bytes."""


def launch_tags(alias: str) -> dict[str, str]:
    """Return what every run of a source carries from its creation on."""
    return {SOURCE: alias}


def background_tags(alias: str) -> dict[str, str]:
    """Return what the runs of the sensor and the schedule carry as well."""
    return {BACKGROUND: alias}


def start_tags(alias: str, options: SyncOptions) -> dict[str, str]:
    """Return what a run carries once it knows what it is asked; a backfill's run has no launch tags."""
    asked = {"scope": _scope(options), "whole": options.whole, "tuning": str(options.tuning)}
    return {**launch_tags(alias), REPORT: json.dumps(asked)}


def end_tags(alias: str, report: SyncReport) -> dict[str, str]:
    """Return what a run did."""
    whole = {WHOLE: alias} if report.whole and report.stopped is None else {}
    return {REPORT: bounded_json(report), RESULT: _result(report), **whole}


def bounded_json(report: SyncReport) -> str:
    """Return the report's JSON, cut to what a tag may hold: of the counts nothing is left out.

    Each failed partition has its error in the log and in the mirror as well, so those go first.
    """
    shorter = (
        report,
        replace(report, problems=[replace(problem, message="") for problem in report.problems]),
        replace(report, problems=(), incomplete=()),
    )
    shortest = replace(shorter[-1], traffic=replace(report.traffic, hosts={}))
    cut = (_cut(shortest, length) for length in (500, 200, 50, 0))
    texts = (json.dumps(each.to_json()) for each in (*shorter, shortest, *cut))
    return next((text for text in texts if len(text) <= _LONGEST_REPORT), "{}")


def _cut(report: SyncReport, length: int) -> SyncReport:
    stopped_by = report.stopped_by and report.stopped_by[:length]
    return replace(report, scope=report.scope[:length], tuning=report.tuning[:length], stopped_by=stopped_by)


def asked_of(tags: Mapping[str, str]) -> Mapping[str, Any]:
    """Return what `start_tags` wrote, or the whole report; nothing where it was edited by hand."""
    try:
        written = json.loads(tags.get(REPORT, "{}"))
    except json.JSONDecodeError:
        return {}
    return written if isinstance(written, dict) else {}


def report_of(tags: Mapping[str, str]) -> SyncReport | None:
    """Return the report that `end_tags` wrote, or None for a run that did not come to its end."""
    try:
        return SyncReport.from_json(asked_of(tags))
    except ValueError:
        return None


def _scope(options: SyncOptions) -> str:
    return options.scope[:_LONGEST_SCOPE]


def _result(report: SyncReport) -> str:
    partitions, stopped = report.partitions, report.stopped
    ending = [stopped if stopped == INTERRUPTED else f"stopped by a {stopped} error"] if stopped else []
    counts = {
        "failed": report.failed,
        "added": partitions.added,
        "updated": partitions.updated,
        "deleted": partitions.deleted,
    }
    # The list of runs is narrow: what is amiss comes first.
    return ", ".join([*ending, *(f"{count:,} {what}" for what, count in counts.items() if count)]) or "no change"


_LONGEST_LINE = 1_000

Metadata = dict[str, dg.TextMetadataValue | dg.IntMetadataValue | dg.FloatMetadataValue]


def printable(text: str) -> str:
    """Return hostile text as one bounded, printable line."""
    return excerpt(text, _LONGEST_LINE)


def materialization(
    asset: dg.AssetKey, report: PartitionReport, kinds: Sequence[RecordKind], token: str | None, reason: str
) -> dg.AssetMaterialization:
    """Return the event of one part of a partition that came through, its counts as metadata.

    `kinds` are the part's kinds of record; `token` is the state the mirror now has, shown as the data version;
    `reason` is why the partition was synced.
    """
    of_part = replace(
        report, tallies={kind.name: report.tallies[kind.name] for kind in kinds if kind.name in report.tallies}
    )
    return dg.AssetMaterialization(
        asset_key=asset,
        partition=report.partition,
        description=printable(of_part.describe()),
        metadata=_metadata(of_part, reason),
        tags={"dagster/data_version": token} if token else {},
    )


def failure(asset: dg.AssetKey, partition: str, error: PipelineError) -> dg.AssetObservation:
    """Return the event that says, on the partition's own page, why it failed."""
    return dg.AssetObservation(
        asset_key=asset,
        partition=partition,
        description=printable(f"failed: {error}"),
        metadata={
            "outcome": dg.MetadataValue.text(Outcome.FAILED.value),
            "group": dg.MetadataValue.text(error.group),
            "error": dg.MetadataValue.text(printable(str(error))),
        },
    )


def run_traffic(asset: dg.AssetKey, traffic: Traffic) -> dg.AssetObservation:
    """Return the event that puts what a whole run sent and received on its asset, where Dagster plots it."""
    totals = {**{name: getattr(traffic, name) for name in TOTALS}, **traffic.counters}
    planned = f", {traffic.counters['requests_planned']:,} planned" if "requests_planned" in traffic.counters else ""
    return dg.AssetObservation(
        asset_key=asset,
        description=f"{traffic.requests:,} requests sent{planned}",
        metadata={name: dg.MetadataValue.float(float(value)) for name, value in totals.items()},
    )


def _metadata(report: PartitionReport, reason: str) -> Metadata:
    total = sum(report.tallies.values(), Tally())
    texts = {
        "outcome": report.outcome.value,
        "name": report.name,
        "reason": reason,
        "plan": report.plan,
        "warning": report.warning,
    }
    metadata: Metadata = {key: dg.MetadataValue.text(printable(text)) for key, text in texts.items() if text}
    if report.tallies:
        metadata |= {count: dg.MetadataValue.int(getattr(total, count)) for count in _COUNTS}
        metadata["duration_seconds"] = dg.MetadataValue.float(round(report.duration_seconds, 3))
    if report.tallies and report.outcome is Outcome.SYNCED:
        rows = total.added + total.updated + total.unchanged
        metadata["dagster/partition_row_count"] = dg.MetadataValue.int(rows)
    return metadata


_COUNTS = ("checked", "added", "updated", "deleted", "unchanged")


_LISTED_FAILURES = 20


class Journal:
    """The record of one run. `traffic` is to be set to what it has sent and received."""

    def __init__(
        self, context: dg.AssetExecutionContext, source: MirroredSource, options: SyncOptions, log: logging.Logger
    ) -> None:
        self.traffic = Traffic()
        self._context = context
        self._options = options
        self._log = log
        self._source = source
        self._parts = options.parts or source.parts
        self._started = time.monotonic()
        self._checked = 0
        self._fresh: set[str] = set()
        self._reasons: dict[str, str] = {}
        self._reports: list[PartitionReport] = []
        self._shown: set[tuple[str, str]] = set()
        context.instance.add_run_tags(context.run.run_id, start_tags(source.alias, options))
        # Last, for whoever has a journal closes it: an open thread would keep the process from ending.
        self._events = EventBatches(context)

    def planned(self, plan: SyncPlan) -> None:
        """Note what the check found; partitions seen for the first time join the set before their events."""
        self._checked = plan.checked
        self._fresh = set(self._context.instance.get_dynamic_partitions(self._source.partition_set)) - set(plan.keys)
        add_partitions(self._context.instance, self._source, plan.keys)
        self._tell(
            logging.INFO,
            f"{quantity(plan.checked, self._source.partition_noun)} checked, {len(plan.stale):,} to sync",
        )
        self._reasons = {item.key: item.reason for item in plan.stale}

    def note(self, report: PartitionReport) -> None:
        """Record how one partition ended, after its own commit; what turned out fresh is left to `settled`."""
        self._reports.append(report)
        self._tell_of(report)
        if report.error is not None:
            self._show_failed(report, report.error)
        elif report.outcome is not Outcome.FRESH:
            self._show(report, report.parts, report.token)
        if report.outcome is Outcome.REMOVED:
            remove_partition(self._context.instance, self._source, report.partition)

    def settled(self, partitions: Sequence[str], tokens: StoredTokens) -> None:
        """Record as unchanged what was named or under way and found fresh; drop what nobody has any more.

        `partitions` are those that were named, `tokens` the mirror's after the sync. After one of the whole source the
        set holds nothing else, so that what is in the set and not in the mirror tells of a mirror that lost it.
        """
        found_fresh = (report.partition for report in self._reports if report.outcome is Outcome.FRESH)
        for partition in dict.fromkeys([*partitions, *found_fresh]):
            held = [part for part in self._parts if part in tokens.get(partition, {})]
            for part in held:
                if (partition, part) not in self._shown:
                    fresh = PartitionReport(partition, "", Outcome.FRESH, (part,))
                    self._show(fresh, (part,), tokens[partition][part])
            if not held and not any((partition, part) in self._shown for part in self._parts):
                self._tell(logging.WARNING, f"{partition}: neither {self._source.alias} nor the mirror has it")
                remove_partition(self._context.instance, self._source, partition)
        if self._options.whole:
            for partition in self._fresh - tokens.keys():
                remove_partition(self._context.instance, self._source, partition)

    def close(self, stopped: str | None, stopped_by: str | None) -> SyncReport:
        """Put the sums on the run, where the history finds them, and on its assets, to be plotted; return them.

        `stopped` is what ended the sync early, if anything did, and `stopped_by` its message.
        """
        report = summarize(
            self._reports,
            run_id=self._context.run.run_id,
            scope=_scope(self._options),
            checked=self._checked,
            duration_seconds=time.monotonic() - self._started,
            partition_noun=self._source.partition_noun,
            record_noun=self._source.kinds[-1].name,
            traffic=self.traffic,
            whole=self._options.whole,
            tuning=str(self._options.tuning),
            stopped=stopped,
            stopped_by=stopped_by,
        )
        for part in self._parts:
            self._events.add(run_traffic(self._source.asset_key(part), report.traffic))
        self._events.close()
        self._context.instance.add_run_tags(self._context.run.run_id, end_tags(self._source.alias, report))
        return report

    def _tell_of(self, report: PartitionReport) -> None:
        """Say in one line how a partition ended."""
        line = printable(f"{report.describe()} [{self._why_and_how(report)}]")
        if report.error is not None:
            self._tell(logging.ERROR, line)
        elif report.warning:
            self._tell(logging.WARNING, line)
        else:
            self._log.info(line)
            self._events.add(Line(line))

    def _tell(self, level: int, line: str) -> None:
        self._log.log(level, line)
        self._context.log.log(level, line)

    def _why_and_how(self, report: PartitionReport) -> str:
        """Say why the partition was synced and how it was read, e.g. "changed; full pages (small: 1 page)"."""
        return "; ".join(words for words in (self._reasons.get(report.partition, ""), report.plan) if words)

    def _show(self, report: PartitionReport, parts: Sequence[str], token: str | None) -> None:
        reason = self._reasons.get(report.partition, "")
        for part in parts:
            self._shown.add((report.partition, part))
            kinds = [kind for kind in self._source.kinds if kind.part == part]
            self._events.add(materialization(self._source.asset_key(part), report, kinds, token, reason))

    def _show_failed(self, report: PartitionReport, error: PipelineError) -> None:
        for part in report.parts:
            self._shown.add((report.partition, part))
            asset = self._source.asset_key(part)
            self._events.add(failure(asset, report.partition, error))
            if not self._context.has_partition_key and not self._context.has_partition_key_range:
                self._events.add(Planned(asset, report.partition))


def failure_of(report: SyncReport) -> dg.Failure:
    """Return what a run ends with when some of its partitions failed; the sensor retries those, not Dagster."""
    shown = [
        printable(f"{problem.partition}: failed: {problem.message}") for problem in report.problems[:_LISTED_FAILURES]
    ]
    more = len(report.problems) - len(shown)
    failed = quantity(len(report.problems), report.partition_noun)
    lines = [f"{failed} failed, to be tried again by the next sync; the rest is committed.", *shown]
    return dg.Failure("\n".join([*lines, *([f"… and {more:,} more"] if more else [])]), allow_retries=False)


def stopping(error: PipelineError) -> dg.Failure:
    """Return what a run ends with when an error stopped it; what was committed before stays."""
    return dg.Failure(printable(str(error)), metadata={"group": error.group}, allow_retries=False)
