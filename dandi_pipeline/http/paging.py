"""Turns the pages of a list: by numbers, by cursors or by the Link header, and not for ever.

What a page holds is the platform's; here is only where the next one is, and whether the last one led on at all.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, TypeVar

from requests.utils import parse_header_links

from dandi_pipeline.errors import UnexpectedPayload
from dandi_pipeline.http.client import Answer

Position = TypeVar("Position", bound=Hashable)
Row = TypeVar("Row")


class Turning:
    """Watches the pages of one list turn. Up to `empty` in a row may be empty and yet lead on.

    A platform that leaves out what a credential may not see may leave out all of a page. With `repeating` a row may
    be shown again, and a page of nothing else counts as an empty one.
    """

    def __init__(self, where: str, *, empty: int = 0, repeating: bool = False) -> None:
        self._where = where
        self._empty = empty
        self._repeating = repeating
        self._rows: set[int] = set()
        self._positions: set[Hashable] = set()
        self._in_vain = 0

    def turned(self, rows: Sequence[Any], position: Hashable | None) -> None:
        """Take note of a page, and of the position at which the list goes on, None where it ends.

        Raises `UnexpectedPayload` where it goes on at a position that it has been at, or after a page without a row
        that was not shown before: it would go on for ever.
        """
        known = len(self._rows)
        self._rows.update(hash(repr(row)) for row in rows)
        if position is None:
            return
        self._in_vain = self._in_vain + 1 if len(self._rows) == known else 0
        tolerated = self._empty if self._repeating or not rows else 0
        if position in self._positions:
            raise self._endless(known, "leads to a page that was read before")
        if self._in_vain > tolerated:
            raise self._endless(known, "brings nothing new and says that there is more")
        self._positions.add(position)

    def _endless(self, rows: int, what: str) -> UnexpectedPayload:
        return UnexpectedPayload(
            f"{self._where}: after {rows:,} rows a page {what}; the list does not end, and nothing was written for it:"
            " try again later, or tell the platform's support"
        )


def follow(
    page: Callable[[Position], tuple[Sequence[Row], Position | None]],
    start: Position,
    *,
    where: str,
    empty: int = 0,
    repeating: bool = False,
) -> Iterator[Sequence[Row]]:
    """Yield the rows of a list, page by page. `page` returns those at a position, and the next one, None at the end.

    A position is whatever the platform pages by: a number, a cursor, an address. Raises `UnexpectedPayload` for a
    list that does not end, see `Turning`.
    """
    turning, position = Turning(where, empty=empty, repeating=repeating), start
    while True:
        rows, following = page(position)
        turning.turned(rows, following)
        yield rows
        if following is None:
            return
        position = following


def next_link(answer: Answer) -> str | None:
    """Return the address of the next page as the answer's Link header has it (RFC 8288), None after the last."""
    for link in parse_header_links(answer.headers.get("Link", "")):
        if "next" in link.get("rel", "").lower().split():
            return str(link["url"])
    return None
