"""Replays the change feed: applied to the rows of before, it must give the rows of now."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dandi_pipeline.mirror import Change, Mirror
from dandi_pipeline_tests.end_to_end.equality import Rows

Tables = Mapping[str, Rows]

_TABLE_OF = {"dandiset": "dandisets", "version": "versions", "asset": "assets"}

_NOT_CONTENT = {"dandisets": "draft_modified", "versions": "modified"}
"""What background validation moves with nothing else changed: rewritten without an entry in the feed."""


def all_changes(mirror: Mirror, *, source: str = "dandi", after: int = 0) -> list[Change]:
    """Return every change beyond the sequence `after`, however many there are."""
    found: list[Change] = []
    while page := mirror.changes(after=found[-1].sequence if found else after, source=source):
        found += page
    return found


def counted(changes: Sequence[Change]) -> dict[str, int]:
    """Return how many changes there are of each sort, e.g. {"asset insert": 2}."""
    return dict(Counter(f"{change.record} {change.kind}" for change in changes))


def replay_problems(before: Tables, changes: Sequence[Change], now: Tables) -> list[str]:
    """Return what does not fit: a change whose `before` is not what was there, or a row that comes out different."""
    rows = {(table, key): _content(table, row) for table, held in before.items() for key, row in held.items()}
    problems = []
    for change in changes:
        table = _TABLE_OF[change.record]
        image = change.after if change.after is not None else change.before
        place = (table, _key(table, image or {}))
        if rows.pop(place, None) != _content(table, change.before):
            problems.append(f"change {change.sequence}: {change.kind} of {place} does not start from what was there")
        if change.after is not None:
            rows[place] = _content(table, change.after)
    expected = {(table, key): _content(table, row) for table, held in now.items() for key, row in held.items()}
    problems += [f"{place}: the feed does not lead to its row" for place in _unequal(rows, expected)]
    return problems


def _unequal(left: Mapping[Any, Any], right: Mapping[Any, Any]) -> list[Any]:
    return [place for place in {**left, **right} if left.get(place) != right.get(place)]


def _key(table: str, image: Mapping[str, Any]) -> tuple[str, ...]:
    names = {"dandisets": ("dandiset_id",), "versions": ("dandiset_id", "version")}
    return tuple(image[name] for name in names.get(table, ("dandiset_id", "version", "path")))


def _content(table: str, row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {name: value for name, value in row.items() if name not in ("source", _NOT_CONTENT.get(table))}
