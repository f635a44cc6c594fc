"""Compares one partition of the mirror with the platform, without writing anything: a preview or a verification."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from dandi_pipeline.canonical import canonical, parsed
from dandi_pipeline.errors import PipelineError, TornRead
from dandi_pipeline.mirror import HIDDEN_TOKEN, Mirror, StoredRow, readable
from dandi_pipeline.model import Column, Gone, Hidden, Key, Known, Listed, LookupResult, Record, RecordKind, Shape
from dandi_pipeline.sync.planning import Stale
from dandi_pipeline.sync.reading import Reading, Tools, attempt_partition
from dandi_pipeline.sync.report import (
    DIFFERENT,
    LEFT_BEHIND,
    MISSING,
    Difference,
    Outcome,
    PartitionReport,
    Tally,
    cut_short,
)
from dandi_pipeline.text import quantity

MOST_NAMED = 1_000
"""Records of a partition that a verification names; it counts all."""


@dataclass(frozen=True, slots=True)
class PartitionPreview:
    """What a sync of one partition would change. Whatever goes wrong, the report carries it.

    With `complete` every record is read and compared with the stored row, whatever tokens and hashes say: a
    verification. Without, a new partition is not read (its listing row says how many records would come) and a known
    one is listed without content, so changes that no listing shows are not foreseen.
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
        if isinstance(error, TornRead) and not self.complete:
            return self._report(Outcome.INCOMPLETE, {}, warning=f"still changing: {error}")
        return self._report(Outcome.FAILED, {}, error=error)

    def _compare(self, sighting: LookupResult, last: bool) -> PartitionReport:
        if isinstance(sighting, Gone):
            return self._gone()
        if isinstance(sighting, Hidden):
            return self._hidden()
        if self.item.new and not self.complete:
            return self._new(sighting)
        return self._read(sighting)

    def _gone(self) -> PartitionReport:
        known = self._known()
        held = {name: Tally(deleted=len(keys)) for name, keys in known.items()}
        left = [Difference(name, spelled(key), LEFT_BEHIND) for name, keys in known.items() for key in keys]
        return self._report(Outcome.REMOVED, held, differences=left if self.complete else ())

    def _hidden(self) -> PartitionReport:
        if HIDDEN_TOKEN in self.item.tokens.values():
            return self._report(Outcome.FRESH, {})
        held = sum(map(len, self._known().values()))
        warning = f"{quantity(held, 'record')} kept, marked as hidden, and not refreshed any more"
        return self._report(Outcome.HIDDEN, {}, warning=warning)

    def _new(self, listed: Listed) -> PartitionReport:
        bulk, limit = self.tools.platform.description.bulk, self.tools.options.max_records
        there = listed.record_count if bulk.part in self.item.parts else 0
        count = there if limit is None else min(there, limit)
        tallies = {bulk.name: Tally(checked=count, added=count)}
        if limit is None or there <= limit:
            return self._report(Outcome.SYNCED, tallies)
        return self._report(Outcome.INCOMPLETE, tallies, warning=cut_short(limit))

    def _read(self, listed: Listed) -> PartitionReport:
        known = self._known()
        verified = Verification(self._rows)
        reading = Reading(
            self.tools,
            listed,
            self.item.parts,
            known,
            self.item.tokens,
            _ignored,
            shape=verified.take_shape,
            see=verified.see if self.complete else None,
            fetch=self.complete,
        )
        settled = reading.run()
        tallies = reading.comparison.tallies()
        if self.complete:
            for kind, keys in reading.comparison.gone():
                verified.left_behind(kind, keys)
            tallies = {name: verified.corrected(name, tally) for name, tally in tallies.items()}
        cut = len(settled.parts) < len(self.item.parts)
        return self._report(
            Outcome.INCOMPLETE if cut else Outcome.SYNCED,
            tallies,
            plan=reading.plan,
            warning=cut_short(self.tools.options.max_records) if cut else "",
            differences=verified.differences,
        )

    def _known(self) -> Mapping[str, Known]:
        held = self.mirror
        return {
            kind.name: held.known(self.source, self.item.key, kind) if held and kind.part in self.item.parts else {}
            for kind in self.tools.platform.description.kinds
        }

    def _rows(self, kind: RecordKind, keys: Sequence[Key]) -> Mapping[Key, StoredRow]:
        return self.mirror.rows(self.source, self.item.key, kind, keys) if self.mirror else {}

    def _report(
        self,
        outcome: Outcome,
        tallies: Mapping[str, Tally],
        *,
        plan: str = "",
        warning: str = "",
        error: PipelineError | None = None,
        differences: Sequence[Difference] = (),
    ) -> PartitionReport:
        return PartitionReport(
            self.item.key,
            self.item.listed.name if self.item.listed else "",
            outcome,
            self.item.parts,
            tallies,
            new=self.item.new,
            plan=plan,
            warning=warning,
            error=error,
            differences=tuple(differences[:MOST_NAMED]),
        )


def _ignored(_: Sequence[Record]) -> None:
    """Nothing is staged."""


def spelled(key: Key) -> str:
    """Return a record's key as one text; a kind with one record a partition has none."""
    return "/".join(key)


Rows = Callable[[RecordKind, Sequence[Key]], Mapping[Key, StoredRow]]


@dataclass(slots=True)
class Verification:
    """Compares each record that a reading shows with the row that the mirror holds of it; `rows` returns such rows."""

    rows: Rows
    differences: list[Difference] = field(default_factory=list)
    _missing: Counter[str] = field(default_factory=Counter)
    _different: Counter[str] = field(default_factory=Counter)
    _marks: dict[str, Mapping[str, bool]] = field(default_factory=dict)

    def take_shape(self, shape: Shape) -> None:
        """Take what the platform says of all of the partition's records at once."""
        self._marks[shape.kind.name] = shape.marks

    def see(self, records: Sequence[Record]) -> None:
        """Compare some records."""
        by_kind: dict[RecordKind, list[Record]] = {}
        for record in records:
            by_kind.setdefault(record.kind, []).append(record)
        for kind, some in by_kind.items():
            stored = self.rows(kind, [record.key for record in some])
            for record in some:
                self._judge(record, stored.get(record.key))

    def left_behind(self, kind: RecordKind, keys: Sequence[Key]) -> None:
        """Take note of records that the mirror holds and the platform no longer shows."""
        self._note(Difference(kind.name, spelled(key), LEFT_BEHIND) for key in keys)

    def corrected(self, name: str, tally: Tally) -> Tally:
        """Return a tally by what was found, which hashes do not tell."""
        missing, different = self._missing[name], self._different[name]
        return replace(tally, added=missing, updated=different, unchanged=tally.checked - missing - different)

    def _judge(self, record: Record, stored: StoredRow | None) -> None:
        if stored is None:
            self._missing[record.kind.name] += 1
            self._note([Difference(record.kind.name, spelled(record.key), MISSING)])
        elif fields := tuple(differing_fields(record, stored, self._marks.get(record.kind.name, {}))):
            self._different[record.kind.name] += 1
            self._note([Difference(record.kind.name, spelled(record.key), DIFFERENT, fields)])

    def _note(self, differences: "Iterator[Difference] | Sequence[Difference]") -> None:
        for difference in differences:
            if len(self.differences) < MOST_NAMED:
                self.differences.append(difference)


def differing_fields(record: Record, stored: StoredRow, marks: Mapping[str, bool]) -> Iterator[str]:
    """Yield the names of what differs: columns, and members of the metadata by their paths, e.g. `metadata.keywords`.

    `marks` are columns that have one value in all of a partition's records. Cells, which are derived from the
    metadata, are named where that is equal; the hash is where nothing else differs.
    """
    columns = {**record.columns, **marks}
    found = [name for name, value in columns.items() if name != "cells" and not _same(value, stored[name])]
    if record.metadata is not None:
        found += _in_metadata(record, stored["metadata"])
    if "cells" in columns and not any(name.startswith("metadata") for name in found):
        found += _paths(_cells(columns["cells"]), _cells(stored["cells"]), "cells", levels=1)
    yield from found or (["content_hash"] if stored["content_hash"] != record.content_hash else [])


def _same(value: Column, stored: Any) -> bool:
    """Compare values; SQLite has no booleans of its own."""
    return value == (bool(stored) if isinstance(value, bool) and stored is not None else stored)


def _in_metadata(record: Record, stored: str | None) -> list[str]:
    if record.metadata == stored:
        return []
    if stored is None:
        return ["metadata"]
    content = record.kind.content
    ours, theirs = (content(parsed(text.encode())) for text in (stored, str(record.metadata)))
    return list(_paths(theirs, ours, "metadata", levels=_LEVELS))


_LEVELS = 3
"""How deep within metadata what differs is named."""


def _paths(value: Any, other: Any, path: str, *, levels: int) -> Iterator[str]:
    """Yield the paths of what differs; spelled values are compared, since to Python 1, 1.0 and True are equal."""
    if canonical(value) == canonical(other):
        return
    if not levels or not (isinstance(value, dict) and isinstance(other, dict)):
        yield path
        return
    for name in sorted({*value, *other}):
        if name not in value or name not in other:
            yield f"{path}.{name}"
        else:
            yield from _paths(value[name], other[name], f"{path}.{name}", levels=levels - 1)


def _cells(text: Any) -> Any:
    """Read cells, their numbers by value: PostgreSQL keeps no spelling of theirs."""
    return json.loads(readable(str(text)), parse_float=_number, parse_int=_number)


def _number(text: str) -> str:
    """Spell a number in one way, as no text in a cell is spelled: none has a NUL."""
    digits = format(Decimal(text), "f")
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return "\0" + ("0" if digits == "-0" else digits)
