"""How many requests a sync will send, as far as a check tells."""

from collections.abc import Mapping
from math import ceil

from dandi_pipeline.sync.planning import SyncPlan

BESIDE_PAGES = 2
"""Requests that a partition's reading takes beside its pages: what it is, and whether it held still."""


def estimated_requests(plan: SyncPlan, held: Mapping[str, int], *, page_size: int) -> int:
    """Return about how many requests bring the stale partitions: their pages, if each were read whole.

    How large one is, its row in the listing says, or the `held` records of it.
    """
    total = 0
    for item in plan.stale:
        listed = item.listed.record_count if item.listed else 0
        total += BESIDE_PAGES + ceil(max(listed, held.get(item.key, 0)) / page_size)
    return total
