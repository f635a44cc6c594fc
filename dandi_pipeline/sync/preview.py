"""Compares one partition of the mirror with the platform, without writing anything: a preview or a verification."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dandi_pipeline.errors import PipelineError
from dandi_pipeline.mirror import Mirror
from dandi_pipeline.model import Gone, Hidden, Known, Listed, LookupResult, Record, Shape
from dandi_pipeline.sync.planning import Stale
from dandi_pipeline.sync.reading import Reading, Tools, attempt_partition
from dandi_pipeline.sync.report import Outcome, PartitionReport, Tally


@dataclass(frozen=True, slots=True)
class PartitionPreview:
    """What a sync of one partition would change. Whatever goes wrong, the report carries it.

    With `complete` every record is read and compared, whatever the tokens say: a verification. Without, a new
    partition is not read (its listing row says how many records would come) and a known one is listed without
    content, so changes that no listing shows are not foreseen.
    """

    tools: Tools
    source: str
    mirror: Mirror | None
    item: Stale
    complete: bool

    def run(self) -> PartitionReport:
        """Compare, writing nothing."""
        return attempt_partition(self.tools, self.item, self._compare, self._failed)

    def _failed(self, error: PipelineError) -> PartitionReport:
        return self._report(Outcome.FAILED, {}, error=error)

    def _compare(self, sighting: LookupResult, last: bool) -> PartitionReport:
        if isinstance(sighting, Gone):
            held = {name: Tally(deleted=len(known)) for name, known in self._known().items()}
            return self._report(Outcome.REMOVED, held)
        if isinstance(sighting, Hidden):
            return self._report(Outcome.HIDDEN, {})
        if self.item.new and not self.complete:
            return self._new(sighting)
        return self._read(sighting)

    def _new(self, listed: Listed) -> PartitionReport:
        bulk = self.tools.platform.description.bulk
        count = listed.record_count if bulk.part in self.item.parts else 0
        return self._report(Outcome.SYNCED, {bulk.name: Tally(checked=count, added=count)})

    def _read(self, listed: Listed) -> PartitionReport:
        known, differing = self._known(), Differing()
        reading = Reading(
            self.tools,
            listed,
            self.item.parts,
            known,
            self.item.tokens,
            differing.take,
            shape=_ignored,
            fetch=self.complete,
        )
        reading.run()
        tallies = reading.comparison.tallies()
        if self.complete:
            tallies = {name: differing.corrected(name, tally) for name, tally in tallies.items()}
        return self._report(Outcome.SYNCED, tallies, plan=reading.plan)

    def _known(self) -> Mapping[str, Known]:
        held = self.mirror
        return {
            kind.name: held.known(self.source, self.item.key, kind) if held and kind.part in self.item.parts else {}
            for kind in self.tools.platform.description.kinds
        }

    def _report(
        self, outcome: Outcome, tallies: Mapping[str, Tally], *, plan: str = "", error: PipelineError | None = None
    ) -> PartitionReport:
        item = self.item
        name = item.listed.name if item.listed else ""
        return PartitionReport(item.key, name, outcome, item.parts, tallies, new=item.new, plan=plan, error=error)


def _ignored(_: Shape) -> None:
    """A view is no record: nothing is previewed of it."""


@dataclass(frozen=True, slots=True)
class Differing:
    """Counts the records that would be written, by kind."""

    counts: Counter[str] = field(default_factory=Counter)

    def take(self, records: Sequence[Record]) -> None:
        """Count instead of staging."""
        self.counts.update(record.kind.name for record in records)

    def corrected(self, name: str, tally: Tally) -> Tally:
        """Count every known record that would be written as updated, also where only a timestamp differs."""
        updated = self.counts[name] - tally.added
        return replace(tally, updated=updated, unchanged=tally.checked - tally.added - updated)
