"""Writes down one sync as it goes: log lines, an event a partition and part, and the tags that the history reads."""

import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import dagster as dg

from dandi_pipeline.errors import PipelineError
from dandi_pipeline.http import TOTALS, Traffic
from dandi_pipeline.mirror import Mirror, PartitionState, Shown
from dandi_pipeline.orchestration.dagster_internals import HIDDEN_TAG_PREFIX, Line, Planned
from dandi_pipeline.orchestration.event_batches import EventBatches
from dandi_pipeline.orchestration.pages import (
    cell,
    changes_table,
    most_changed,
    sample_table,
    table,
    told,
    views_table,
)
from dandi_pipeline.orchestration.sources import (
    MirroredSource,
    add_partitions,
    materialized_partitions,
    remove_partition,
)
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.planning import SyncPlan
from dandi_pipeline.sync.report import (
    HIDDEN_WARNING,
    INTERRUPTED,
    Outcome,
    PartitionReport,
    SyncReport,
    Tally,
    summarize,
)
from dandi_pipeline.text import excerpt, quantity

RESULT = "sync/result"
"""What came of a sync, for people: "1 failed, 2 updated"."""

UNFINISHED_RESULT = "no result"
"""What stands there until a sync ends, and of one that was killed: a run that is executed again inherits a result."""

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
    return {**launch_tags(alias), REPORT: json.dumps(asked), RESULT: UNFINISHED_RESULT}


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


def report_of(tags: Mapping[str, str], run_id: str | None = None) -> SyncReport | None:
    """Return the report that `end_tags` wrote, or None for a run that did not come to its end.

    With `run_id` only that run's own: one that is executed again has the first one's among its tags, until it ends.
    """
    try:
        report = SyncReport.from_json(asked_of(tags))
    except ValueError:
        return None
    return report if run_id in (None, report.run_id) else None


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

Metadata = dict[str, dg.MetadataValue[Any]]


def printable(text: str) -> str:
    """Return hostile text as one bounded, printable line."""
    return excerpt(text, _LONGEST_LINE)


def part_event(
    source: MirroredSource,
    part: str,
    report: PartitionReport,
    *,
    held: int | None,
    token: str | None,
    wakes: bool,
    view: str = "",
) -> dg.AssetMaterialization | dg.AssetObservation:
    """Return the event of one part of a partition that came through.

    `held` is how many rows the mirror now has of it, `token` its state, shown as the data version. `wakes`: it is a
    materialization, which is what Dagster's automation takes for news; else an observation, which it passes over.
    `view` is the partition's own view, if it has one.
    """
    of_part = source.of_part(part, report)
    event = dg.AssetMaterialization if wakes else dg.AssetObservation
    return event(
        asset_key=source.asset_key(part),
        partition=report.partition,
        description=printable(f"{told(report.partition, report.name, source)}: {of_part.outline}"),
        metadata=_metadata(of_part, held, view),
        tags={"dagster/data_version": token} if token else {},
    )


def _metadata(report: PartitionReport, held: int | None, view: str) -> Metadata:
    """Return what stays true until the next event: what a sync did is in the run's log and in the sums of the run.

    A partition's page goes on to show it below the mark of a later sync that failed.
    """
    change = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC: {report.changes}" if report.changes else ""
    texts = {"name": report.name, "view": view, "last_change": change, "warning": report.warning}
    metadata: Metadata = {key: dg.MetadataValue.text(printable(text)) for key, text in texts.items() if text}
    if report.address:
        metadata["page"] = dg.MetadataValue.url(report.address)
    if held is not None:
        metadata["dagster/partition_row_count"] = dg.MetadataValue.int(held)
    return metadata


def run_sums(
    asset: dg.AssetKey,
    traffic: Traffic,
    records: Tally,
    *,
    held: int | None,
    seconds: float,
    tables: Mapping[str, str | None],
) -> dg.AssetObservation:
    """Return the event that puts what a whole run did on its asset, where Dagster plots it as one series.

    `tables` are Markdown, to be shown under their names beside the numbers.
    """
    counts = {"added": records.added, "updated": records.updated, "deleted": records.deleted}
    totals = {
        **({} if held is None else {"rows_held": held}),
        **counts,
        "seconds": round(seconds, 3),
        **{name: getattr(traffic, name) for name in TOTALS},
        **traffic.counters,
    }
    planned = f", {traffic.counters['requests_planned']:,} planned" if "requests_planned" in traffic.counters else ""
    changes = ", ".join(f"{count:,} {word}" for word, count in counts.items() if count) or "nothing changed"
    return dg.AssetObservation(
        asset_key=asset,
        description=f"{changes}; {traffic.requests:,} requests sent{planned}",
        metadata={
            **{name: dg.MetadataValue.md(text) for name, text in tables.items() if text},
            **{name: dg.MetadataValue.float(float(value)) for name, value in totals.items()},
        },
    )


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
        self._states: Mapping[tuple[str, str], PartitionState] | None = None
        self._called: dict[str, Shown] = {}
        self._samples: dict[str, str] = {}
        # Whoever launches partitions by their tags, in the UI or by a backfill, is told that each was materialized.
        self._by_tags = context.has_partition_key or context.has_partition_key_range
        self._green = {} if self._by_tags else materialized_partitions(context.instance, source, self._parts)
        context.instance.add_run_tags(context.run.run_id, start_tags(source.alias, options))
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
            self._show_failed(report)
        elif report.outcome is not Outcome.FRESH:
            self._show(report, report.parts, report.token)
        if report.outcome is Outcome.REMOVED:
            remove_partition(self._context.instance, self._source, report.partition)

    def found(self, mirror: Mirror, partition: str | None = None) -> None:
        """Take from the mirror what partitions, or one, are called, and in which views they are, if they have any."""
        if self._source.has_views:
            self._called |= mirror.shown(self._source.alias, partition)

    def settled(self, partitions: Sequence[str], mirror: Mirror) -> None:
        """Record as unchanged what was named or under way and found fresh; drop what nobody has any more.

        `partitions` are those that were named. After a sync of the whole source the set holds what the mirror does and
        nothing else, so that what is in the set and not in the mirror tells of a mirror that lost it.
        """
        self._states = states = mirror.states(self._source.alias)
        self.found(mirror)
        for part in self._parts:
            self._sample(part, mirror)
        found_fresh = [report.partition for report in self._reports if report.outcome is Outcome.FRESH]
        for partition in dict.fromkeys([*partitions, *found_fresh]):
            held = [part for part in self._parts if (partition, part) in states]
            for part in held:
                self._show_fresh(partition, part, states[partition, part])
            if not held and not any((partition, part) in self._shown for part in self._parts):
                self._tell(logging.WARNING, f"{partition}: neither {self._source.alias} nor the mirror has it")
                remove_partition(self._context.instance, self._source, partition)
        if self._options.whole:
            for partition in self._fresh - {partition for partition, _ in states}:
                remove_partition(self._context.instance, self._source, partition)
            self._restore(states)

    def _sample(self, part: str, mirror: Mirror) -> None:
        """Take a few rows of what changed most, to be shown with the numbers of the run."""
        partition = most_changed(self._source, part, self._reports)
        if partition is None:
            return
        view = self._called[partition].view if partition in self._called else None
        kind = next(kind for kind in self._source.kinds_of(part) if kind.name in self._source.row_kinds)
        with suppress(PipelineError):  # another sync may have renamed the view since
            columns, rows = mirror.sample(self._source.alias, partition, kind, view)
            self._samples[part] = f"{self._told(partition)}:\n\n{sample_table(columns, rows)}"

    def _told(self, partition: str) -> str:
        """Return how people are told of a partition."""
        return told(partition, self._name(partition), self._source)

    def _name(self, partition: str) -> str:
        """Return what a partition is called, as the mirror has it."""
        return self._called[partition].name if partition in self._called else ""

    def _restore(self, states: Mapping[tuple[str, str], PartitionState]) -> None:
        """Show what the mirror holds and Dagster does not know, as after its home was deleted."""
        forgotten = [
            (partition, part)
            for (partition, part), state in states.items()
            if part in self._parts and state.token is not None and partition not in self._green.get(part, ())
        ]
        add_partitions(self._context.instance, self._source, (partition for partition, _ in forgotten))
        for partition, part in forgotten:
            self._show_fresh(partition, part, states[partition, part])

    def _show_fresh(self, partition: str, part: str, state: PartitionState) -> None:
        """Show a part that nothing has changed since the mirror got it; one that is hidden, as hidden."""
        if (partition, part) in self._shown:
            return
        warning = "" if state.visible else HIDDEN_WARNING
        held = {part: state.records}
        fresh = PartitionReport(partition, self._name(partition), Outcome.FRESH, (part,), warning=warning, held=held)
        self._show(fresh, (part,), state.token)

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
            self._events.add(self._sums(part, report))
        self._events.close()
        self._context.instance.add_run_tags(self._context.run.run_id, end_tags(self._source.alias, report))
        return report

    def checks(self) -> list[dg.AssetCheckResult]:
        """Return whether each asset is in order after the sync; nothing after one that was stopped."""
        return [] if self._states is None else check_results(self._source, self._parts, self._states, self._called)

    def failure(self, report: SyncReport) -> dg.Failure:
        """Return what a run ends with when some of its partitions failed; the sensor retries those, not Dagster."""
        names = {each.partition: each.name for each in self._reports}
        shown = [
            printable(f"{told(key, names.get(key) or self._name(key), self._source)}: failed: {problem.message}")
            for problem in report.problems[:_LISTED_FAILURES]
            for key in [problem.partition]
        ]
        more = len(report.problems) - len(shown)
        failed = quantity(len(report.problems), report.partition_noun)
        lines = [f"{failed} failed, to be tried again by the next sync; the rest is committed.", *shown]
        return dg.Failure("\n".join([*lines, *([f"… and {more:,} more"] if more else [])]), allow_retries=False)

    def _tell_of(self, report: PartitionReport) -> None:
        """Say in one line how a partition ended."""
        who = told(report.partition, report.name, self._source)
        line = printable(f"{who}: {report.outline} [{self._why_and_how(report)}]")
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

    def _sums(self, part: str, report: SyncReport) -> dg.AssetObservation:
        tallies = (tally for each in self._reports for tally in self._source.of_part(part, each).tallies.values())
        held = self._held(part)
        return run_sums(
            self._source.asset_key(part),
            report.traffic,
            sum(tallies, Tally()),
            held=None if held is None else sum(held.values()),
            seconds=report.duration_seconds,
            tables={
                "changes": changes_table(self._source, part, self._reports),
                "preview": self._samples.get(part),
                "views": views_table(self._source, self._called, held or {}),
            },
        )

    def _held(self, part: str) -> dict[str, int] | None:
        """Return how many rows the mirror holds of each partition; None if the sync was stopped before."""
        if self._states is None:
            return None
        of_part = {partition: state for (partition, of), state in self._states.items() if of == part}
        return {partition: self._source.rows_held(part, state.records) for partition, state in of_part.items()}

    def _show(self, report: PartitionReport, parts: Sequence[str], token: str | None) -> None:
        for part in parts:
            self._shown.add((report.partition, part))
            records = report.held.get(part)
            held = None if records is None else self._source.rows_held(part, records)
            wakes = self._is_news(report, part)
            view = self._called[report.partition].view if report.partition in self._called else ""
            self._events.add(part_event(self._source, part, report, held=held, token=token, wakes=wakes, view=view))

    def _is_news(self, report: PartitionReport, part: str) -> bool:
        """Tell whether Dagster's automation is to hear of a part: it changed, or Dagster does not show it as there."""
        changed = self._source.of_part(part, report).changed
        gone = report.outcome in (Outcome.HIDDEN, Outcome.REMOVED)
        return changed or gone or self._by_tags or report.partition not in self._green[part]

    def _show_failed(self, report: PartitionReport) -> None:
        """Have Dagster mark the parts that failed; the others are as they are."""
        self._show(report, report.kept, report.token)
        for part in report.parts:
            self._shown.add((report.partition, part))
            if not self._by_tags:
                self._events.add(Planned(self._source.asset_key(part), report.partition))


SYNCED = "synced"
"""The check of each asset that fails while partitions of it do."""


def synced_check(source: MirroredSource, part: str) -> dg.AssetCheckSpec:
    """Return the check that names the partitions of a part whose last attempt failed, and why."""
    return dg.AssetCheckSpec(
        SYNCED,
        asset=source.asset_key(part),
        description=f"Every {source.partition_noun} came through the last time that it was synced.",
    )


def check_results(
    source: MirroredSource,
    parts: Iterable[str],
    states: Mapping[tuple[str, str], PartitionState],
    called: Mapping[str, Shown],
) -> list[dg.AssetCheckResult]:
    """Return the results of the checks of some parts, from what the mirror remembers of the last attempts."""
    return [_synced_result(source, part, states, called) for part in parts]


def _synced_result(
    source: MirroredSource,
    part: str,
    states: Mapping[tuple[str, str], PartitionState],
    called: Mapping[str, Shown],
) -> dg.AssetCheckResult:
    """Return whether all partitions of a part came through."""
    of_part = {partition: state for (partition, of), state in sorted(states.items()) if of == part}
    failed = {partition: state for partition, state in of_part.items() if state.attempts}
    rows = [
        (
            cell(told(partition, called[partition].name if partition in called else "", source)),
            f"{state.failed_at:%Y-%m-%d %H:%M} UTC" if state.failed_at else "",
            f"{state.attempts:,}",
            cell(state.error, _LONGEST_LINE),
        )
        for partition, state in list(failed.items())[:_LISTED_FAILURES]
    ]
    failures = table([source.partition_noun, "last failed", "attempts", "error"], rows)
    return dg.AssetCheckResult(
        passed=not failed,
        asset_key=source.asset_key(part),
        check_name=SYNCED,
        description=(
            f"{len(failed):,} of {quantity(len(of_part), source.partition_noun)} failed, to be tried again"
            if failed
            else f"{quantity(len(of_part), source.partition_noun)} came through"
        ),
        metadata={
            "failed": dg.MetadataValue.int(len(failed)),
            **({"failures": dg.MetadataValue.md(failures)} if failed else {}),
        },
    )


def stopping(error: PipelineError) -> dg.Failure:
    """Return what a run ends with when an error stopped it; what was committed before stays."""
    return dg.Failure(printable(str(error)), metadata={"group": error.group}, allow_retries=False)
