"""Writes down one sync as it goes: log lines, events and partitions as they end, the run's tags at the end."""

import logging
import time
from collections.abc import Mapping, Sequence

import dagster as dg

from dandi_pipeline.errors import PipelineError
from dandi_pipeline.http import Traffic
from dandi_pipeline.mirror import PartitionState
from dandi_pipeline.orchestration import events, run_tags
from dandi_pipeline.orchestration.event_batches import EventBatches
from dandi_pipeline.orchestration.partition_set import add_partitions, remove_partition
from dandi_pipeline.orchestration.sources import MirroredSource
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.planning import SyncPlan
from dandi_pipeline.sync.report import Outcome, PartitionReport, SyncReport, summarize

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
        context.instance.add_run_tags(context.run.run_id, run_tags.start_tags(source.alias, options))
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
            self._events.add(events.run_traffic(self._source.asset_key(part), report.traffic))
        self._events.close()
        self._context.instance.add_run_tags(self._context.run.run_id, run_tags.end_tags(report, stopped))
        return report

    def _tell_of(self, report: PartitionReport) -> None:
        """Say in one line how a partition ended."""
        line = events.printable(f"{report.describe()} [{self._why_and_how(report)}]")
        if report.error is not None:
            self._tell(logging.ERROR, line)
        elif report.warning:
            self._tell(logging.WARNING, line)
        else:
            self._log.info(line)
            self._events.add_line(line)

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
            self._events.add(events.materialization(self._source.asset_key(part), report, kinds, token, reason))

    def _show_failed(self, report: PartitionReport, error: PipelineError) -> None:
        for part in report.parts:
            self._shown.add((report.partition, part))
            asset = self._source.asset_key(part)
            self._events.add(events.failure(asset, report.partition, error))
            if not self._context.has_partition_key and not self._context.has_partition_key_range:
                self._events.add_planned(asset, report.partition)


def failure_of(report: SyncReport) -> dg.Failure:
    """Return what a run ends with when some of its partitions failed; the sensor retries those, not Dagster."""
    shown = [events.printable(problem.describe()) for problem in report.problems[:_LISTED_FAILURES]]
    more = len(report.problems) - len(shown)
    failed = f"{len(report.problems):,} {report.partition_noun}{'' if len(report.problems) == 1 else 's'}"
    lines = [f"{failed} failed, to be tried again by the next sync; the rest is committed.", *shown]
    return dg.Failure("\n".join([*lines, *([f"… and {more:,} more"] if more else [])]), allow_retries=False)


def stopped(error: PipelineError) -> dg.Failure:
    """Return what a run ends with when an error stopped it; what was committed before stays."""
    return dg.Failure(events.printable(str(error)), metadata={"group": error.group}, allow_retries=False)
