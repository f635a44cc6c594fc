"""When a partition that failed is tried again: soon at first, then ever more rarely, never given up."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from dandi_pipeline.mirror import PartitionState

FIRST_DELAY = timedelta(minutes=5)
LONGEST_DELAY = timedelta(hours=6)


def retry_at(states: Iterable[PartitionState], now: datetime) -> datetime | None:
    """Return when a partition, of whose parts these are the states, is due again; None if none has failed."""
    return max((moment for state in states if (moment := _retry_part_at(state, now))), default=None)


def _retry_part_at(state: PartitionState, now: datetime) -> datetime | None:
    if state.failed_at is None or state.attempts < 1:
        return None
    if state.failed_at > now:
        # The clock was set back. What it once said would keep the partition waiting until it says so again.
        return now
    delay: timedelta = FIRST_DELAY * 2 ** min(state.attempts - 1, 16)
    return state.failed_at + min(delay, LONGEST_DELAY)
