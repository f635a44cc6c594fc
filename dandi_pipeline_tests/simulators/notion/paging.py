"""Cuts lists into pages, and remembers where each cursor stands.

A cursor stands either in the list as it was when its first page was asked for ("snapshot"), or at a position in the
list as it is now ("live"): there, what is added or removed before it makes rows come twice or not at all.
"""

import random
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from .errors import invalid

LARGEST = 100
_REMEMBERED = 10_000
_INCOMPLETE = {"type": "incomplete", "incomplete_reason": "query_result_limit_reached"}


@dataclass
class Behaviour:
    """What the service does where its contract leaves it free, or sets a limit; may be changed at any time."""

    cursors: str = "snapshot"
    """Where cursors of queries and searches stand: "snapshot" or "live"."""
    row_cap: int = 10_000
    """How many rows one query or search shows at most."""
    short_pages: float = 0.0
    """How likely a page of a query or search holds fewer rows than it could, even none."""
    says_complete: bool = False
    """Whether a list that is not capped says so, too."""
    slow_above: int | None = None
    """Queries for larger pages than this take too long: 504."""

    def __post_init__(self) -> None:
        if self.cursors not in ("snapshot", "live"):
            raise ValueError(f'cursors stand in a "snapshot" or "live", not {self.cursors!r}')


@dataclass(frozen=True)
class Position:
    """Where a cursor of one list stands; `members` are the ids it goes through, None if it is live."""

    listing: str
    members: tuple[str, ...] | None
    capped: bool
    offset: int


@dataclass(frozen=True)
class Piece:
    """One page of a list: the ids on it, how to go on, and whether the whole is cut at the cap."""

    ids: Sequence[str]
    next_cursor: str | None
    capped: bool


class Pager:
    """Pages through lists of ids. Cursors can be used again, for the list that they were given for."""

    def __init__(self, behaviour: Behaviour, seed: int = 0) -> None:
        self._behaviour = behaviour
        self._chance = random.Random(seed)
        self._positions: OrderedDict[str, Position] = OrderedDict()

    def expire_cursors(self) -> None:
        """Let every cursor given so far be invalid."""
        self._positions.clear()

    def piece(
        self, listing: Any, cursor: str | None, size: int, members: Callable[[], Sequence[str]], *, free: bool
    ) -> Piece:
        """Return the page at a cursor, or the first; `listing` is any JSON that tells the list from others.

        A `free` list is cut at the cap, its pages may be short and its cursors are of the kind in force; others
        are as regular as their members.
        """
        name = orjson.dumps(listing, option=orjson.OPT_SORT_KEYS).decode()
        at = self._position(name, cursor)
        if at is None or at.members is None:
            everything = tuple(members())
            cap = self._behaviour.row_cap if free else len(everything)
            at = Position(name, everything[:cap], len(everything) > cap, at.offset if at else 0)
        return self._cut(at, self._length(size) if free else size, live=free and self._behaviour.cursors == "live")

    def envelope_status(self, piece: Piece) -> dict[str, Any]:
        """Return what a list says of its completeness: usually nothing."""
        if piece.capped:
            return {"request_status": _INCOMPLETE}
        return {"request_status": {"type": "complete"}} if self._behaviour.says_complete else {}

    def _position(self, listing: str, cursor: str | None) -> Position | None:
        if cursor is None:
            return None
        position = self._positions.get(cursor)
        if position is None or position.listing != listing:
            raise invalid(f"The start_cursor provided is invalid: {cursor}")
        return position

    def _length(self, size: int) -> int:
        short = self._chance.random() < self._behaviour.short_pages
        return self._chance.randrange(size) if short else size

    def _cut(self, at: Position, size: int, *, live: bool) -> Piece:
        members = at.members or ()
        end = at.offset + size
        if end >= len(members):
            return Piece(members[at.offset :], None, at.capped)
        following = Position(at.listing, None if live else members, at.capped, end)
        return Piece(members[at.offset : end], self._remember(following), at.capped)

    def _remember(self, position: Position) -> str:
        cursor = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        self._positions[cursor] = position
        while len(self._positions) > _REMEMBERED:
            self._positions.popitem(last=False)
        return cursor
