"""The cheapest way of reading a draft's assets that is still exact. Pure, no I/O.

Costs are the server's CPU seconds an asset, measured on a real server: 3.6-4 s for a page of 1,000 with
metadata, 0.6 s for one without, 20-40 ms for a single asset.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import ceil

PAGE_SIZE = 1000
"""The largest page that the server gives; larger sizes are silently capped."""

FULL_COST = 0.0036
BARE_COST = 0.0006
SINGLE_COST = 0.030

FULL_BYTES = 280
BARE_BYTES = 80
SINGLE_BYTES = 1_300
MANIFEST_BYTES = 2_400
VERSION_BYTES = 1_800
LISTED_BYTES = 100
"""What travels for an asset in a full page, in a bare one, alone, in a manifest; for a version; for a listed dandiset.

Means over 22,553 real assets of 135 dandisets; compressed, but for manifests.
"""

SMALL_PAGES = 3
"""A known draft of up to this many pages is read in full, which also catches changes that move no timestamp."""

MANIFEST_COST = 0.020
"""One more request, which the API server never sees."""

MANIFEST_ASSET_COST = 0.0002
"""What an asset in a manifest takes: 2.4 kB to receive and to read, of which most may be of no use."""


class Manner(Enum):
    """How a version's assets are read.

    FULL: pages with metadata. BARE: pages without, then whatever differs from what is known. BULK: pages without,
    metadata from the archive's own bulk copy, and what that cannot vouch for from the API.
    """

    FULL = "full pages"
    BARE = "bare pages"
    BULK = "bare pages and the manifest"


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """The manner, how many requests list the version that way, what travels for them, and why it was chosen."""

    manner: Manner
    requests: int
    received_bytes: int
    reason: str

    def __str__(self) -> str:
        return f"{self.manner.value} ({self.reason})"


def plan_reading(
    *, known: int, listed: int, full: bool, fetch: bool, manifests: bool, page_size: int = PAGE_SIZE
) -> ReadPlan:
    """Choose how to read a version of `listed` assets, `known` of them in the mirror.

    A full reading that was asked for is one of the API: a manifest cannot show what changed silently since.
    """
    manner, reason = _choice(known, listed, full, fetch, manifests, page_size)
    each = FULL_BYTES if manner is Manner.FULL else BARE_BYTES
    return ReadPlan(manner, max(1, ceil(listed / page_size)), listed * each, reason)


def _choice(known: int, listed: int, full: bool, fetch: bool, manifests: bool, page_size: int) -> tuple[Manner, str]:
    pages = max(1, ceil(listed / page_size))
    missing = max(0, listed - known)
    if not fetch:
        return Manner.BARE, "comparing only"
    if full:
        return Manner.FULL, "asked for"
    if manifests and missing > known and listed * BARE_COST + cost_of_manifest(listed) < listed * FULL_COST:
        return Manner.BULK, f"{missing} of {listed} unknown"
    if pages <= SMALL_PAGES:
        return Manner.FULL, f"{'small' if known else 'new'}: {pages} page{'s' * (pages > 1)}"
    if listed * BARE_COST + cost_of_fetching(missing, listed) >= listed * FULL_COST:
        return Manner.FULL, f"{missing} of {listed} unknown"
    return Manner.BARE, f"{known} known, {missing} more listed"


def cost_of_manifest(listed: int) -> float:
    """Return what the manifest of a version of `listed` assets costs."""
    return MANIFEST_COST + listed * MANIFEST_ASSET_COST


def cost_of_fetching(differing: int, listed: int) -> float:
    """Return the least the server can need for `differing` assets of a draft of `listed`: alone or in pages."""
    pages = ceil(differing / PAGE_SIZE)
    return min(differing * SINGLE_COST, min(pages * PAGE_SIZE, listed) * FULL_COST)


@dataclass(frozen=True, slots=True)
class FetchPlan:
    """Page numbers to read again with metadata, the rest of the asset ids to fetch one by one, and what that costs."""

    pages: tuple[int, ...]
    singles: tuple[str, ...]
    cost: float
    received_bytes: int

    @property
    def requests(self) -> int:
        """How many requests it takes."""
        return len(self.pages) + len(self.singles)


def plan_fetching(differing: Mapping[int, Sequence[str]], page_rows: Mapping[int, int]) -> FetchPlan:
    """For each page (of `page_rows` assets) choose the cheaper: the page with metadata, or its differing ids alone."""
    pages: list[int] = []
    singles: list[str] = []
    cost = 0.0
    for page, asset_ids in sorted(differing.items()):
        whole, alone = page_rows[page] * FULL_COST, len(asset_ids) * SINGLE_COST
        cost += min(whole, alone)
        if alone > whole:
            pages.append(page)
        else:
            singles += asset_ids
    received_bytes = sum(page_rows[page] for page in pages) * FULL_BYTES + len(singles) * SINGLE_BYTES
    return FetchPlan(tuple(pages), tuple(singles), cost, received_bytes)
