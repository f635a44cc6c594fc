"""Compares what a reading shows with what the mirror holds, as it streams in."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from dandi_pipeline.errors import TornRead
from dandi_pipeline.platforms.contract import Complete, Key, Known, Observed, Outdated, Record, RecordKind, Unchanged
from dandi_pipeline.sync.report import Tally

Stage = Callable[[Sequence[Record]], None]


class Comparison:
    """Hands every new or different record to `stage` and remembers what was seen, to tell what is gone.

    A key that is shown twice means that records moved between two pages: `TornRead`.
    """

    def __init__(self, partition: str, known: Mapping[str, Known], stage: Stage) -> None:
        self._partition = partition
        self._known = known
        self._stage = stage
        self._seen: dict[str, set[Key]] = {name: set() for name in known}
        self._complete: list[Complete] = []
        self._added: Counter[str] = Counter()
        self._updated: Counter[str] = Counter()

    def take(self, observation: Observed | Unchanged | Outdated | Complete) -> None:
        """Account for one observation."""
        if isinstance(observation, Complete):
            self._complete.append(observation)
        elif isinstance(observation, Observed):
            self._compare(observation.records)
        else:
            self._mark(observation.kind, observation.keys)
            if isinstance(observation, Outdated):
                self._count(observation.kind, observation.keys)

    def gone(self) -> Iterator[tuple[RecordKind, list[Key]]]:
        """Yield, for each complete listing, the known keys that it no longer shows, if there are any."""
        for complete in self._complete:
            seen, width = self._seen[complete.kind.name], len(complete.prefix)
            known = self._known[complete.kind.name]
            if keys := [key for key in known if key[:width] == complete.prefix and key not in seen]:
                yield complete.kind, keys

    def tallies(self) -> dict[str, Tally]:
        """Return what would become of the records of each kind."""
        deleted: Counter[str] = Counter()
        for kind, keys in self.gone():
            deleted[kind.name] += len(keys)
        return {
            name: Tally(
                checked=len(seen),
                added=self._added[name],
                updated=self._updated[name],
                deleted=deleted[name],
                unchanged=len(seen) - self._added[name] - self._updated[name],
            )
            for name, seen in self._seen.items()
        }

    def _compare(self, records: Sequence[Record]) -> None:
        differing = []
        for record in records:
            self._mark(record.kind, [record.key])
            known = self._known[record.kind.name].get(record.key)
            if known == record.fingerprint:
                continue
            differing.append(record)
            if known is None or known[0] != record.content_hash:
                self._count(record.kind, [record.key])
        if differing:
            self._stage(differing)

    def _mark(self, kind: RecordKind, keys: Sequence[Key]) -> None:
        seen = self._seen[kind.name]
        for key in keys:
            if key in seen:
                raise TornRead(f"{self._partition}: {kind.name} {'/'.join(key)[:200]!r} was listed twice")
            seen.add(key)

    def _count(self, kind: RecordKind, keys: Sequence[Key]) -> None:
        known = self._known[kind.name]
        updated = sum(key in known for key in keys)
        self._updated[kind.name] += updated
        self._added[kind.name] += len(keys) - updated
