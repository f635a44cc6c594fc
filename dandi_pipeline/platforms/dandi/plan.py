"""The cheapest way of reading a draft's assets that is still exact, and what each way costs. Pure, no I/O.

All costs are here: requests, bytes as they travel, and seconds of the archive's server. The seconds were measured on
a real server on a quiet machine, with 1,602 assets: a page of 1,000 with metadata 0.54, without 0.092; the newest 100
with metadata 0.065, without 0.027; the newest 20 with metadata 0.025; one asset about as much as one request.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from itertools import pairwise
from math import ceil, log2
from typing import Generic, TypeVar

from dandi_pipeline.errors import TornRead

PAGE_SIZE = 1000
"""The largest page that the server gives; larger sizes are silently capped."""

OVERLAP = timedelta(hours=1)
"""By how much a change may be committed later than the time that it carries, and the archive's clocks may differ.

The archive takes the time of a change when it begins: one that was under way while a draft was read shows up behind
what was seen. Its requests end after 15 s, its background tasks within minutes.
"""

FIRST_PAGES = (20, 100)
"""Rows with metadata that newest first asks for, one size after the other, before it goes on without metadata."""

SHARES = 4
"""Rounds of sweeps in which the content of each dandiset is read once; in the others it is listed."""

UNFORESEEN = 10
"""Assets that may have been edited in place in a draft that moved: no count tells of them."""

PROBE = 100
"""Rows of a page that is read to find out where something has left a draft."""

REMOVALS = 0.1
"""The share of changed drafts that something has left: 24 of 219 in random batches on a real server."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a way of reading takes. `weight` compares ways: waiting and receiving count as the client's share."""

    requests: int
    received_bytes: float
    server_seconds: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.requests + other.requests,
            self.received_bytes + other.received_bytes,
            self.server_seconds + other.server_seconds,
        )

    @property
    def weight(self) -> float:
        """Seconds: the server's, and those of one client that waits for each answer and reads it."""
        return self.server_seconds + self.requests * WAITING + self.received_bytes / BYTES_A_SECOND


NOTHING = Cost(0, 0, 0.0)

WAITING = 0.004
"""A request's share of the time until an answer begins, wherever it is from: several are waited for at once."""

BYTES_A_SECOND = 20_000_000
"""What arrives and is read in a second."""

REQUEST_SECONDS, FULL_SECONDS, BARE_SECONDS = 0.013, 0.00053, 0.000075
"""What the server needs for a request, and for each row with and without metadata."""

FULL_BYTES = 280
BARE_BYTES = 80
SINGLE_BYTES = 1_300
MANIFEST_BYTES = 2_400
VERSION_BYTES = 1_800
LISTED_BYTES = 100
"""What travels for an asset in a full page, in a bare one, alone, in a manifest; for a version; for a listed dandiset.

Means over 22,553 real assets of 135 dandisets; compressed, but for manifests.
"""


def cost_of_pages(rows: int, size: int, *, metadata: bool) -> Cost:
    """Return what a list of `rows` takes in pages of `size`."""
    pages = max(1, ceil(rows / size))
    row_bytes, row_seconds = (FULL_BYTES, FULL_SECONDS) if metadata else (BARE_BYTES, BARE_SECONDS)
    return Cost(pages, rows * row_bytes, pages * REQUEST_SECONDS + rows * row_seconds)


def cost_of_singles(assets: int) -> Cost:
    """Return what `assets` take that are asked for one by one."""
    return Cost(assets, assets * SINGLE_BYTES, assets * (REQUEST_SECONDS + FULL_SECONDS))


def cost_of_manifest(listed: int) -> Cost:
    """Return what the bulk file of a version of `listed` assets takes, of which the API server sees nothing."""
    return Cost(1, listed * MANIFEST_BYTES, 0.0)


def cost_of_contents(differing: int, listed: int) -> Cost:
    """Return the least that the metadata of `differing` assets of a draft of `listed` may take: alone or in pages."""
    if not differing:
        return NOTHING
    rows = min(listed, ceil(differing / PAGE_SIZE) * PAGE_SIZE)
    return min(cost_of_singles(differing), cost_of_pages(rows, PAGE_SIZE, metadata=True), key=lambda cost: cost.weight)


class ReadStrategy(Enum):
    """How a version's assets are read.

    NEWEST: pages of what was changed last, until they reach what is known. FULL: all pages with metadata. BARE: all
    pages without, then whatever differs from what is known. BULK: all pages without, metadata from the archive's own
    bulk copy, and what that cannot vouch for from the API.
    """

    NEWEST = "newest first"
    FULL = "full pages"
    BARE = "bare pages"
    BULK = "bare pages and the manifest"


@dataclass(frozen=True, slots=True)
class Draft:
    """What is known of a version before it is read.

    `listed` assets are in it, `known` in the mirror. `recent`, if they are exactly what the version was when it was
    last read, is how many of them newest first would show again; None otherwise. `zarrs` and `undigested` blobs, which
    lack their sha256, may change without a trace.
    """

    listed: int
    known: int = 0
    recent: int | None = None
    zarrs: int = 0
    undigested: int = 0

    @property
    def missing(self) -> int:
        """How many assets there are to be more than are known."""
        return max(0, self.listed - self.known)


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """The manner, what is asked for at once, and why it was chosen.

    Newest first, pages with metadata of the sizes `first_pages` are asked for, each in place of the one before, as long
    as they do not reach what is known, then up to `bare_pages` without.
    """

    manner: ReadStrategy
    cost: Cost
    reason: str
    first_pages: tuple[int, ...] = ()
    bare_pages: int = 0

    def __str__(self) -> str:
        return f"{self.manner.value} ({self.reason})"


def plan_reading(
    draft: Draft, *, full: bool = False, fetch: bool = True, manifests: bool = False, page_size: int = PAGE_SIZE
) -> ReadPlan:
    """Choose how to read a version's assets; `fetch=False` asks only which differ.

    A full reading that was asked for is one of the API: a manifest cannot show what changed silently since.
    """
    listed = draft.listed
    whole_full = cost_of_pages(listed, page_size, metadata=True)
    whole_bare = cost_of_pages(listed, page_size, metadata=False)
    pages = f"{whole_bare.requests} page{'s' * (whole_bare.requests > 1)}"
    if full and fetch:
        return ReadPlan(ReadStrategy.FULL, whole_full, "asked for")
    differing = draft.missing + draft.undigested + (UNFORESEEN if draft.recent is not None else 0)
    ways = [
        (whole_full.weight, ReadPlan(ReadStrategy.FULL, whole_full, f"{'known' if draft.known else 'new'}: {pages}")),
        (
            (whole_bare + cost_of_contents(differing, listed)).weight,
            ReadPlan(ReadStrategy.BARE, whole_bare, f"{draft.known} known, {draft.missing} more listed"),
        ),
    ]
    if manifests and draft.missing > draft.known:
        reason = f"{draft.missing} of {listed} unknown"
        ways.append(((whole_bare + cost_of_manifest(listed)).weight, ReadPlan(ReadStrategy.BULK, whole_bare, reason)))
    if draft.recent is not None and not full:
        ways.append(_newest(draft, draft.recent, whole_bare, page_size))
    if not fetch:
        ways = [way for way in ways if way[1].manner in (ReadStrategy.BARE, ReadStrategy.NEWEST)]
    return min(ways, key=lambda way: way[0])[1]


def _newest(draft: Draft, recent: int, whole_bare: Cost, page_size: int) -> tuple[float, ReadPlan]:
    """Return newest first, and what it weighs with all that it cannot see."""
    new = draft.missing + UNFORESEEN
    expected = min(draft.listed, recent + new)
    sizes = tuple(min(size, page_size) for size in FIRST_PAGES if size >= expected)
    bare = cost_of_pages(expected, page_size, metadata=False)
    pages = cost_of_pages(min(sizes[0], draft.listed), sizes[0], metadata=True) if sizes else bare
    content = NOTHING if sizes else cost_of_contents(min(new, draft.listed), draft.listed)
    unseen = (cost_of_zarrs(draft.zarrs) if draft.zarrs else NOTHING) + cost_of_contents(draft.undigested, draft.listed)
    weight = (pages + content + unseen).weight + REMOVALS * whole_bare.weight
    reason = f"{draft.known} known, {recent} of them to be seen again, {draft.missing} more listed"
    first = pages if sizes else cost_of_pages(min(page_size, draft.listed), page_size, metadata=False)
    return weight, ReadPlan(ReadStrategy.NEWEST, first, reason, tuple(dict.fromkeys(sizes)), bare.requests + 1)


def cost_of_zarrs(zarrs: int) -> Cost:
    """Return what a version's list of its `zarrs` takes."""
    return cost_of_pages(zarrs, PAGE_SIZE, metadata=has_metadata(zarrs))


def has_metadata(zarrs: int) -> bool:
    """Tell whether a version's list of its `zarrs` is asked for with their metadata: only while they are few."""
    return zarrs <= FIRST_PAGES[-1]


def plan_search(gone: int, listed: int, *, page_size: int = PAGE_SIZE) -> int | None:
    """Return the size of the pages by which to search for `gone` assets that have left, or None to list the rest whole.

    In order of path a page shows how many of the known paths before it have left, so each is found by halving.
    """
    size = min(PROBE, page_size)
    probes = min(ceil(listed / size), gone * (1 + ceil(log2(max(2, listed / size)))))
    search = cost_of_pages(probes * size, size, metadata=False)
    return size if search.weight < cost_of_pages(listed, page_size, metadata=False).weight else None


class Search:
    """Finds out which of `paths`, in order, a list of `count` no longer has; it has all others, and nothing else.

    A page of the list, `size` rows by path, shows at which of the paths it begins and ends, so how many before it have
    left. Where two pages agree on that nothing between them has, elsewhere the page in the middle tells more.
    """

    def __init__(self, paths: Sequence[str], count: int, size: int) -> None:
        self.paths, self.count, self.size = paths, count, size
        self.pages = ceil(count / size)
        self.gone: set[str] = set()
        self._left: list[tuple[int, int, int, int]] = []
        self._keep(-1, -1, count, len(paths))

    def next_page(self) -> int | None:
        """Return the number of the page to read next; None once all is found."""
        if not self._left:
            return None
        before, _, after, _ = self._left[-1]
        return (before + after) // 2 // self.size + 1

    def take(self, number: int, places: Sequence[int], *, where: str) -> None:
        """Take page `number`: which of the paths it shows. Raises `TornRead` if they cannot be the next page's."""
        before, start, after, end = self._left.pop()
        first = (number - 1) * self.size
        if any(one >= two for one, two in pairwise([start, *places, end])):
            raise TornRead(f"{where}: is not in order, or not between what was read before")
        for one, two in pairwise(places):
            self.gone.update(self.paths[one + 1 : two])
        self._keep(before, start, first, places[0])
        self._keep(first + len(places) - 1, places[-1], after, end)

    def _keep(self, before: int, start: int, after: int, end: int) -> None:
        """Keep what lies between two rows of the list, at these paths, if something there has left."""
        if after - before == 1:
            self.gone.update(self.paths[start + 1 : end])
        elif after - before != end - start:
            self._left.append((before, start, after, end))


Page = TypeVar("Page", bound=Hashable)


@dataclass(frozen=True, slots=True)
class FetchPlan(Generic[Page]):
    """Pages to read again with metadata, the rest of the asset ids to fetch one by one, and what that costs."""

    pages: tuple[Page, ...]
    singles: tuple[str, ...]
    cost: Cost


def plan_fetching(differing: Mapping[Page, Sequence[str]], page_rows: Mapping[Page, int]) -> FetchPlan[Page]:
    """For each page (of `page_rows` assets) choose the cheaper: the page with metadata, or its differing ids alone."""
    pages: list[Page] = []
    singles: list[str] = []
    cost = NOTHING
    for page, asset_ids in differing.items():
        whole = cost_of_pages(page_rows[page], PAGE_SIZE, metadata=True)
        alone = cost_of_singles(len(asset_ids))
        if alone.weight > whole.weight:
            pages.append(page)
            cost += whole
        elif asset_ids:
            singles += asset_ids
            cost += alone
    return FetchPlan(tuple(pages), tuple(singles), cost)
