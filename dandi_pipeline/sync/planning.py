"""Which partitions are stale, what that will cost, and what may be deleted. Pure, no I/O."""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from dandi_pipeline.errors import MassDeletionRefused, PipelineError
from dandi_pipeline.mirror import HIDDEN_TOKEN
from dandi_pipeline.model import Hidden, Listed, LookupResult
from dandi_pipeline.sync.options import SyncOptions

NEW = "new"

HIDDEN_LOOK_UPS = 10
"""How many partitions that are known to be hidden a check looks up at most: a few requests, however many there are."""

StoredTokens = Mapping[str, Mapping[str, str | None]]
"""For each partition the mirror knows, the token each part was stored under (None: stale).

A part of which nothing was ever stored, since every attempt failed, is left out.
"""


@dataclass(frozen=True, slots=True)
class Stale:
    """A partition to sync and why. `listed` is None for one that the listing no longer shows.

    `tokens` holds, for each part, the token under which the mirror had it when this was planned.
    """

    key: str
    reason: str
    parts: tuple[str, ...]
    listed: Listed | None = None
    tokens: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def new(self) -> bool:
        """Whether the mirror holds nothing of it."""
        return self.reason == NEW


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """What a check found: how many partitions were looked at, and the stale ones, largest first.

    `unread` is why the listing could not be read whole, where rows of it do not even say which partition they are.
    """

    checked: int
    stale: tuple[Stale, ...]
    unread: PipelineError | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The stale partitions' keys, sorted."""
        return tuple(sorted(item.key for item in self.stale))


def plan_listed(
    listing: Sequence[Listed],
    stored: StoredTokens,
    parts: Sequence[str],
    options: SyncOptions,
    *,
    recheck_hidden: bool = True,
) -> SyncPlan:
    """Plan from a complete listing: what differs from its stored token, and what is no longer listed.

    `recheck_hidden` asks about partitions known to be hidden again, one request each: nothing in a listing can
    tell when such a one goes. That is up to `HIDDEN_LOOK_UPS` of them, drawn anew each time so that none is left out
    for ever, or all of them in a full sync. What a listing lacks that was not read whole may be what was not read: it
    is left alone.
    """
    named = [listed for listed in listing if listed.key]
    unread = next((listed.failure for listed in listing if not listed.key), None)
    stale = [item for listed in named if (item := judge(listed, stored.get(listed.key), parts, options))]
    if options.since is None and unread is None:
        hidden = _most_hidden(options, recheck=recheck_hidden)
        stale += absent(stored, {listed.key for listed in named}, parts, hidden=hidden)
    return SyncPlan(checked=len(named), stale=tuple(sorted(stale, key=_largest_first)), unread=unread)


def judge(
    listed: Listed, tokens: Mapping[str, str | None] | None, parts: Sequence[str], options: SyncOptions
) -> Stale | None:
    """Return why `listed` must be synced, or None if the mirror has it under the same token (or out of scope)."""
    if options.since is not None and listed.modified < options.since:
        return None
    if not tokens:
        return Stale(listed.key, NEW, tuple(parts), listed)
    if options.full:
        return Stale(listed.key, "full sync asked for", tuple(parts), listed, tokens)
    differing = tuple(part for part in parts if tokens.get(part) != listed.token)
    if not differing:
        return None
    return Stale(listed.key, _reason([tokens.get(part) for part in differing]), differing, listed, tokens)


def _most_hidden(options: SyncOptions, *, recheck: bool) -> int | None:
    """Return how many hidden partitions are looked up at most; None is all."""
    if not recheck:
        return 0
    return None if options.full else HIDDEN_LOOK_UPS


def absent(stored: StoredTokens, listed: Collection[str], parts: Sequence[str], *, hidden: int | None) -> list[Stale]:
    """Return the partitions that the mirror holds and the listing lacks, to be looked up.

    They may be gone or hidden; of those known to be hidden at most so many are returned, or all.
    """
    lacking = [key for key in stored if key not in listed]
    known = [key for key in lacking if HIDDEN_TOKEN in stored[key].values()]
    if hidden is not None and len(known) > hidden:
        known = random.sample(known, hidden)
    unknown = [key for key in lacking if HIDDEN_TOKEN not in stored[key].values()]
    return [Stale(key, "no longer listed", tuple(parts), tokens=stored[key]) for key in unknown] + [
        Stale(key, "hidden", tuple(parts), tokens=stored[key]) for key in known
    ]


def plan_looked_up(
    sightings: Sequence[LookupResult], stored: StoredTokens, parts: Sequence[str], options: SyncOptions
) -> SyncPlan:
    """Plan from partitions asked for one by one."""
    stale = []
    for sighting in sightings:
        if isinstance(sighting, Listed):
            item = judge(sighting, stored.get(sighting.key), parts, options)
        else:
            reason = "hidden" if isinstance(sighting, Hidden) else "gone"
            tokens = stored.get(sighting.key)
            item = None if tokens is None else Stale(sighting.key, reason, tuple(parts), tokens=tokens)
        stale += [item] if item else []
    return SyncPlan(checked=len(sightings), stale=tuple(sorted(stale, key=_largest_first)))


def batches(keys: Sequence[str], size: int) -> list[tuple[str, ...]]:
    """Cut a backlog into runs of at most `size` partitions."""
    return [tuple(keys[start : start + size]) for start in range(0, len(keys), size)]


def _reason(tokens: Sequence[str | None]) -> str:
    if None in tokens:
        return "never read completely"
    return "visible again" if HIDDEN_TOKEN in tokens else "changed"


def _largest_first(item: Stale) -> tuple[int, str]:
    """Order the work so that the longest reading does not start last."""
    return (-item.listed.record_count if item.listed else 0, item.key)


HOW_TO_ALLOW = "nothing was deleted: if it is meant, run again with --allow-mass-deletion"

RECORD_SHARE, RECORD_FLOOR = 0.5, 1_000
"""A partition may lose this share of its bulk records at once, or this many."""

PARTITION_SHARE, PARTITION_FLOOR = 0.2, 10
"""A source may lose this share of its partitions at once, or this many."""


def guard_records(partition: str, noun: str, *, going: int, held: int) -> None:
    """Raise `MassDeletionRefused` if a partition would lose more of its records than is usual."""
    if going > RECORD_FLOOR and going > held * RECORD_SHARE:
        raise MassDeletionRefused(f"{partition}: {going:,} of {held:,} {noun}s would be deleted; {HOW_TO_ALLOW}")


def guard_partitions(source: str, noun: str, *, going: int, held: int, listed: int) -> None:
    """Raise `MassDeletionRefused` if a source lists nothing at all, or suddenly far less than before."""
    if held and not listed:
        raise MassDeletionRefused(f"{source} lists no {noun} at all, while the mirror holds {held:,}; {HOW_TO_ALLOW}")
    if going > PARTITION_FLOOR and going > held * PARTITION_SHARE:
        raise MassDeletionRefused(f"{source} no longer lists {going:,} of {held:,} {noun}s; {HOW_TO_ALLOW}")


BESIDE_PAGES = 2
"""Requests that a partition's reading takes beside its pages: what it is, and whether it held still."""


def estimated_requests(
    plan: SyncPlan, held: Mapping[str, int], *, page_size: int, max_records: int | None = None
) -> int:
    """Return about how many requests bring the stale partitions: their pages, if each were read whole.

    How large one is, its row in the listing says, or the `held` records of it; no more than `max_records` are read.
    """
    total = 0
    for item in plan.stale:
        records = max(item.listed.record_count if item.listed else 0, held.get(item.key, 0))
        total += BESIDE_PAGES + ceil((records if max_records is None else min(records, max_records)) / page_size)
    return total
