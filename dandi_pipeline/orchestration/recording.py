"""Writes down one sync as it goes: log lines, an event a partition and part, and the tags that the history reads."""

import json
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from dandi_pipeline.errors import PipelineError
from dandi_pipeline.http import TOTALS, Traffic
from dandi_pipeline.mirror import PartitionState
from dandi_pipeline.model import RecordKind
from dandi_pipeline.orchestration.dagster_internals import HIDDEN_TAG_PREFIX, Line, Planned
from dandi_pipeline.orchestration.event_batches import EventBatches
from dandi_pipeline.orchestration.sources import MirroredSource, add_partitions, remove_partition
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.planning import SyncPlan
from dandi_pipeline.sync.report import Outcome, PartitionReport, SyncReport, Tally, summarize

RESULT = "sync/result"
"""What came of a sync, for people: "1 failed, 2 updated"."""

KIND = f"{HIDDEN_TAG_PREFIX}sync_kind"
SYNC = "sync"
SOURCE = ".dagster/sync_source"
BACKGROUND = ".dagster/sync_background"
"""On runs that nobody is waiting for; `dagster.yaml` lets them go one at a time for each value, a source's alias."""

SCOPE = ".dagster/sync_scope"
WHOLE = ".dagster/sync_whole"
"""On runs that looked at all of their source."""

YES = "yes"
CHECKED = ".dagster/sync_checked"
UPDATED = ".dagster/sync_updated"
ADDED = ".dagster/sync_added"
DELETED = ".dagster/sync_deleted"
FAILED = ".dagster/sync_failed"
RECORD_NOUN = ".dagster/sync_record"
REQUESTS = ".dagster/sync_requests"
MODE = ".dagster/sync_mode"
TRAFFIC = ".dagster/sync_traffic"
"""What was sent and received, as JSON: the totals, what the platform counts beside them, and the same by host."""

ERRORS = ".dagster/sync_errors"
"""How many partitions failed, by the group of their error, as JSON."""

DURATION = ".dagster/sync_duration"
STOPPED = ".dagster/sync_stopped"
"""What ended the sync early: its error's group, or `INTERRUPTED`; absent where every partition had its turn."""

INTERRUPTED = "interrupted"

STOPPED_BY = ".dagster/sync_stopped_by"
"""The message of the error that ended the sync early."""

_RECORD_COUNTS = ("checked", "added", "updated", "deleted", "unchanged")
_LONGEST_SCOPE = 200


def launch_tags(alias: str) -> dict[str, str]:
    """Return what every run of a source carries from its creation on."""
    return {KIND: SYNC, SOURCE: alias}


def background_tags(alias: str) -> dict[str, str]:
    """Return what the runs of the sensor and the schedule carry as well."""
    return {BACKGROUND: alias}


def start_tags(alias: str, options: SyncOptions) -> dict[str, str]:
    """Return what a run carries once it knows what it is asked; a backfill's run has no launch tags."""
    mode = str(options.tuning)
    return {
        **launch_tags(alias),
        SCOPE: options.scope[:_LONGEST_SCOPE],
        **({WHOLE: YES} if options.whole else {}),
        **({MODE: mode} if mode else {}),
    }


def end_tags(report: SyncReport, stopped: str | None) -> dict[str, str]:
    """Return what a run did, as text; `stopped` is what ended it early, if anything did."""
    partitions, records = report.partitions, report.records
    counts = {
        CHECKED: partitions.checked,
        UPDATED: partitions.updated,
        ADDED: partitions.added,
        DELETED: partitions.deleted,
        FAILED: report.failed,
        **{_record_tag(report.record_noun, count): getattr(records, count) for count in _RECORD_COUNTS},
        REQUESTS: report.traffic.requests,
    }
    return {
        **{tag: str(count) for tag, count in counts.items()},
        RECORD_NOUN: report.record_noun,
        DURATION: f"{report.duration_seconds:.2f}",
        TRAFFIC: json.dumps(_plain(report.traffic)),
        ERRORS: json.dumps(Counter(problem.error.group for problem in report.problems if problem.error)),
        RESULT: _result(report, stopped),
        **({STOPPED: stopped} if stopped else {}),
    }


def records_from(tags: Mapping[str, str]) -> Tally | None:
    """Return the bulk records' counts that `end_tags` wrote, or None for a run that did not come to its end."""
    noun = tags.get(RECORD_NOUN)
    if noun is None:
        return None
    return Tally(**{count: count_from(tags, _record_tag(noun, count)) or 0 for count in _RECORD_COUNTS})


def count_from(tags: Mapping[str, str], tag: str) -> int | None:
    """Return a count, or None where the tag is missing or was edited into something else by hand."""
    text = tags.get(tag, "")
    return int(text) if text.isascii() and text.isdigit() else None


def traffic_from(tags: Mapping[str, str]) -> Traffic:
    """Return the traffic that `end_tags` wrote; nothing where it was not written, or was edited by hand."""
    return _traffic(_object(tags.get(TRAFFIC)))


def errors_from(tags: Mapping[str, str]) -> dict[str, int]:
    """Return how many partitions failed, by the group of their error."""
    return {group: count for group, count in _object(tags.get(ERRORS)).items() if isinstance(count, int)}


def _result(report: SyncReport, stopped: str | None) -> str:
    partitions = report.partitions
    ending = [stopped if stopped == INTERRUPTED else f"stopped by a {stopped} error"] if stopped else []
    counts = {
        "failed": report.failed,
        "added": partitions.added,
        "updated": partitions.updated,
        "deleted": partitions.deleted,
    }
    # The list of runs is narrow: what is amiss comes first.
    return ", ".join([*ending, *(f"{count:,} {what}" for what, count in counts.items() if count)]) or "no change"


def _plain(traffic: Traffic) -> dict[str, Any]:
    totals = {name: getattr(traffic, name) for name in TOTALS}
    totals["seconds_slept"] = round(traffic.seconds_slept, 3)
    counters = {"counters": dict(traffic.counters)} if traffic.counters else {}
    hosts = {"hosts": {host: _plain(of_host) for host, of_host in traffic.hosts.items()}} if traffic.hosts else {}
    return {**{name: value for name, value in totals.items() if value}, **counters, **hosts}


def _traffic(plain: Mapping[str, Any]) -> Traffic:
    numbers = {name: plain[name] for name in TOTALS if isinstance(plain.get(name), int | float)}
    counters = {name: count for name, count in _mapping(plain.get("counters")).items() if isinstance(count, int)}
    hosts = {host: _traffic(_mapping(of_host)) for host, of_host in _mapping(plain.get("hosts")).items()}
    return Traffic(**numbers, counters=counters, hosts=hosts)


def _object(text: str | None) -> Mapping[str, Any]:
    try:
        return _mapping(json.loads(text or "{}"))
    except json.JSONDecodeError:
        return {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _record_tag(noun: str, count: str) -> str:
    return f".dagster/sync_{noun}s_{count}"


_LONGEST_LINE = 1_000

Metadata = dict[str, dg.TextMetadataValue | dg.IntMetadataValue | dg.FloatMetadataValue]


def printable(text: str) -> str:
    """Return hostile text as one bounded, printable line."""
    bounded = text[: 2 * _LONGEST_LINE]
    shown = bounded if bounded.isprintable() else "".join(c if c.isprintable() else " " for c in bounded)
    line = " ".join(shown.split())
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"


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
        self._whole = options.whole
        self._log = log
        self._source = source
        self._scope = options.scope
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
            logging.INFO, f"{plan.checked:,} {self._source.partition_noun}s checked, {len(plan.stale):,} to sync"
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

    def settled(self, named: Sequence[str], states: Mapping[tuple[str, str], PartitionState]) -> None:
        """Record as unchanged what was `named` or under way and found fresh; drop what nobody has any more.

        `states` are the mirror's, after the sync. After one of the whole source the set holds nothing else, so that
        what is in the set and not in the mirror tells of a mirror that lost it.
        """
        found_fresh = (report.partition for report in self._reports if report.outcome is Outcome.FRESH)
        for partition in dict.fromkeys([*named, *found_fresh]):
            held = [part for part in self._parts if (partition, part) in states]
            for part in held:
                if (partition, part) not in self._shown:
                    fresh = PartitionReport(partition, "", Outcome.FRESH, (part,))
                    self._show(fresh, (part,), states[partition, part].token)
            if not held and not any((partition, part) in self._shown for part in self._parts):
                self._tell(logging.WARNING, f"{partition}: neither {self._source.alias} nor the mirror has it")
                remove_partition(self._context.instance, self._source, partition)
        if self._whole:
            for partition in self._fresh - {partition for partition, _ in states}:
                remove_partition(self._context.instance, self._source, partition)

    def close(self, stopped: str | None) -> SyncReport:
        """Put the sums on the run, where the history finds them, and on its assets, to be plotted; return them."""
        report = summarize(
            self._reports,
            run_id=self._context.run.run_id,
            scope=self._scope,
            checked=self._checked,
            duration_seconds=time.monotonic() - self._started,
            partition_noun=self._source.partition_noun,
            record_noun=self._source.kinds[-1].name,
            traffic=self.traffic,
        )
        for part in self._parts:
            self._events.add(run_traffic(self._source.asset_key(part), report.traffic))
        self._events.close()
        self._context.instance.add_run_tags(self._context.run.run_id, end_tags(report, stopped))
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
    shown = [printable(problem.describe()) for problem in report.problems[:_LISTED_FAILURES]]
    more = len(report.problems) - len(shown)
    failed = f"{len(report.problems):,} {report.partition_noun}{'' if len(report.problems) == 1 else 's'}"
    lines = [f"{failed} failed, to be tried again by the next sync; the rest is committed.", *shown]
    return dg.Failure("\n".join([*lines, *([f"… and {more:,} more"] if more else [])]), allow_retries=False)


def stopped(error: PipelineError) -> dg.Failure:
    """Return what a run ends with when an error stopped it; what was committed before stays."""
    return dg.Failure(printable(str(error)), metadata={"group": error.group}, allow_retries=False)
