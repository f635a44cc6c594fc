"""Drives one reading of a partition: from the platform, through the comparison, watched by the progress."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import TypeVar

from dandi_pipeline.errors import (
    AccessRefused,
    ContractError,
    PartitionMoved,
    PipelineError,
    ResourceMissing,
    TornRead,
    TransientError,
    foreseen,
)
from dandi_pipeline.model import (
    Complete,
    Expected,
    Key,
    Known,
    Listed,
    LookupResult,
    Observation,
    Observed,
    Outdated,
    Planned,
    Platform,
    ReadRequest,
    Record,
    RecordKind,
    Settled,
    Shape,
    Unchanged,
    Workers,
)
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.planning import Stale
from dandi_pipeline.sync.progress import Progress, Stage
from dandi_pipeline.sync.report import Tally

StageRecords = Callable[[Sequence[Record]], None]


class Comparison:
    """Hands every new or different record to `stage` and remembers what was seen, to tell what is gone.

    `see` is handed every record that comes with its content, equal or not. A key that is shown twice means that
    records moved between two pages: `TornRead`.
    """

    def __init__(
        self, partition: str, known: Mapping[str, Known], stage: StageRecords, *, see: StageRecords | None = None
    ) -> None:
        self._partition = partition
        self._known = known
        self._stage = stage
        self._see = see
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
        if self._see is not None:
            self._see(records)
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


Result = TypeVar("Result")

TakeShape = Callable[[Shape], None]


class Interrupted(TransientError):
    """The sync was told to stop; what was not committed stays stale."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What all readings of one sync share. Setting `stopping` ends them before their next observation.

    `guard` raises `MassDeletionRefused` for a listing by which too much would be gone.
    """

    platform: Platform
    options: SyncOptions
    progress: Progress
    workers: Workers
    stopping: Event
    guard: Callable[[Sequence[Listed]], None]


READ_ATTEMPTS = 3
"""Readings of a partition that keeps changing, before it is given up for this sync."""

MOST_OVERTAKEN = 10
"""How often other syncs may commit a partition first, before this one gives it up; each time it is up to date then."""


def look_up(platform: Platform, key: str) -> LookupResult:
    """Return how a partition stands; one whose answer cannot be read is listed as failed."""
    try:
        with foreseen(key):
            return platform.look_up(key)
    except ContractError as error:
        return Listed.failed(key, error)


def attempt_partition(
    tools: Tools,
    item: Stale,
    read: Callable[[LookupResult, bool], Result],
    failed: Callable[[PipelineError], Result],
) -> Result:
    """Return what `attempt_reading` returns, or what `failed` makes of the error, whatever that is."""
    try:
        with foreseen(item.key):
            return attempt_reading(tools, item, read)
    except PipelineError as error:
        return failed(error)


def attempt_reading(tools: Tools, item: Stale, read: Callable[[LookupResult, bool], Result]) -> Result:
    """Return what `read(sighting, last)` returns, called again with a new sighting while the partition moves.

    It may move on the platform while it is read, or in the mirror, where another sync got there first. What the
    last attempt raises is the caller's. That a partition is gone or hidden which was listed a moment ago is believed
    only once a listing lacks it: a platform in trouble answers 404 and 401 as well. Of one that was not listed the
    plan's own listing said so.
    """
    platform = tools.platform
    sighting = item.listed or look_up(platform, item.key)
    torn = overtaken = 0
    while True:
        if isinstance(sighting, Listed) and sighting.failure is not None:
            raise sighting.failure
        try:
            return read(sighting, torn == READ_ATTEMPTS - 1)
        except (TornRead, PartitionMoved, AccessRefused, ResourceMissing) as error:
            overtaken += isinstance(error, PartitionMoved)
            torn += not isinstance(error, PartitionMoved)
            if torn == READ_ATTEMPTS or overtaken == MOST_OVERTAKEN:
                raise
            sighting = look_up(platform, item.key)
            if item.listed and not isinstance(sighting, Listed):
                listing = platform.list_partitions()
                # A row that does not say which partition it is of may be this one's.
                if any(listed.key in (item.key, "") for listed in listing):
                    raise
                tools.guard(listing)


class Reading:
    """One reading of a partition through a `Comparison`, watched by the sync's progress.

    `stage` is handed the records that differ, `see` all that come with content, `shape` how they read as a table.
    """

    def __init__(
        self,
        tools: Tools,
        listed: Listed,
        parts: tuple[str, ...],
        known: Mapping[str, Known],
        tokens: Mapping[str, str | None],
        stage: StageRecords,
        *,
        shape: TakeShape,
        see: StageRecords | None = None,
        fetch: bool = True,
    ) -> None:
        self.comparison = Comparison(listed.key, known, stage, see=see)
        self.plan = ""
        self._shape = shape
        self._tools = tools
        self._listed = listed
        self._bulk = tools.platform.description.bulk.name
        self._request = ReadRequest(
            parts=parts,
            known=known,
            tokens=tokens,
            workers=tools.workers,
            full=tools.options.full,
            round=tools.options.round,
            fetch=fetch,
            max_records=tools.options.max_records,
        )

    def run(self) -> Settled:
        """Read to the end; raise `TornRead` if the partition changed, `Interrupted` if the sync is stopping."""
        key = self._listed.key
        try:
            for observation in self._observations():
                if self._tools.stopping.is_set():
                    raise Interrupted(f"{key}: stopped before it was read whole; it stays stale")
                if isinstance(observation, Settled):
                    return observation
                self._take(observation)
        finally:
            self._tools.progress.end(Stage.CHECK_RECORDS, key)
        raise TornRead(f"{key}: the reading ended without a verdict")

    def _observations(self) -> Iterable[Observation]:
        """Return what the platform shows, as it comes in, or all of it at once where the tuning says so."""
        observations = self._tools.platform.read(self._listed, self._request)
        return observations if self._tools.options.tuning.streaming else list(observations)

    def _take(self, observation: Planned | Expected | Shape | Observed | Unchanged | Outdated | Complete) -> None:
        progress, key = self._tools.progress, self._listed.key
        if isinstance(observation, Planned):
            self.plan = ", then ".join(plan for plan in (self.plan, observation.plan) if plan)
        elif isinstance(observation, Expected):
            progress.begin(Stage.CHECK_RECORDS, key, observation.records)
        elif isinstance(observation, Shape):
            self._shape(observation)
        else:
            self.comparison.take(observation)
            progress.advance(Stage.CHECK_RECORDS, key, self._shown(observation))

    def _shown(self, observation: Observed | Unchanged | Outdated | Complete) -> int:
        """Return how many bulk records an observation shows."""
        if isinstance(observation, Observed):
            return sum(record.kind.name == self._bulk for record in observation.records)
        if isinstance(observation, Complete) or observation.kind.name != self._bulk:
            return 0
        return len(observation.keys)
