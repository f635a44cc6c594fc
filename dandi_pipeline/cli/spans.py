"""Spans of time in words, and why a source is due or not."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dandi_pipeline.orchestration.standing import Standing

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def in_words(span: timedelta) -> str:
    """Return a span in its largest unit, e.g. "15 min"."""
    seconds = max(0, int(span.total_seconds()))
    for size, unit in _UNITS:
        if seconds >= 2 * size or seconds == size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def why(standing: "Standing", now: datetime) -> str:
    """Say why a source is due or not, e.g. "last looked at 2 h ago, every 15 min"."""
    if standing.checked is None:
        return "never synced"
    if standing.emptied:
        return "the mirror holds nothing of it"
    if standing.missing:
        return f"the mirror lacks {standing.missing:,} of its {standing.partitions:,} partitions"
    due = "" if standing.is_due(now) else f", due in {in_words(standing.checked + standing.every - now)}"
    return f"last looked at {in_words(now - standing.checked)} ago, every {in_words(standing.every)}{due}"
