"""Walks through a data source's rows, oldest first, as far as they go and whatever happens meanwhile.

Two things stand in the way of simply following cursors. A query shows at most 10,000 rows and then says that it is
incomplete. And a cursor may be no more than a position: a row that vanishes in front of it makes another one slip
through. Both are met by beginning again, with a new query, at the minute in which the last row was created, which
never changes. Cursors are followed only through minutes in which many rows were created at once, and whoever walks
is told, so that they can look again.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from dandi_pipeline.errors import ContractError, TornRead
from dandi_pipeline.http import Turning
from dandi_pipeline.http.payload import text
from dandi_pipeline.platforms.notion.api import MOST_EMPTY, RESTARTS, Query, RowPage
from dandi_pipeline.platforms.notion.content import Json
from dandi_pipeline.platforms.notion.refusals import CursorInvalid

MOST_REPEATED = 0.25
"""A new query shows the rows of its first minute again: up to this share of a page is taken for the safety."""


class Walk:
    """One walk; `pages` yields the rows as they come, those at the seams of two queries twice.

    `edited_since` leaves out what was last edited before it. `requests` counts the pages read so far;
    `followed_cursors` tells whether any row may have slipped through.
    """

    def __init__(self, query: Query, *, where: str, edited_since: str | None = None) -> None:
        self.requests = 0
        self.followed_cursors = False
        self._query = query
        self._where = where
        self._edited_since = edited_since
        self._start: str | None = None
        self._cursor: str | None = None
        self._reached: str | None = None
        self._rows_of_query = 0
        self._restarts = 0
        self._turning = Turning(where, empty=MOST_EMPTY)

    def pages(self) -> Iterator[list[Json]]:
        """Yield every row, page by page; raise `TornRead` where cursors are refused again and again."""
        while True:
            page = self._next_page()
            self._turning.turned([row.get("id") for row in page.rows], page.next_cursor)
            yield list(page.rows)
            if page.next_cursor is None and not page.cut:
                return
            self._go_on(page)

    def _next_page(self) -> RowPage:
        while True:
            try:
                page = self._query.page(self._body(), self._cursor)
            except CursorInvalid as refused:
                self._restarts += 1
                if self._cursor is None or self._restarts > RESTARTS:
                    raise TornRead(f"{self._where}: its cursors are refused again and again ({refused})") from None
                self._begin_at(self._reached)
                continue
            self.requests += 1
            self._rows_of_query += len(page.rows)
            if page.rows:
                self._reached = _created(page.rows[-1], self._where)
            return page

    def _go_on(self, page: RowPage) -> None:
        """Begin a new query at the minute reached if that leads on, and cheaply; else follow the cursor."""
        leads_on = (self._reached or "") > (self._start or "")
        again = sum(_created(row, self._where) == self._reached for row in page.rows)
        cheaply = again <= max(1, MOST_REPEATED * self._query.page_size)
        if leads_on and (cheaply or page.next_cursor is None):
            self._begin_at(self._reached)
        elif page.next_cursor is not None:
            self._cursor = page.next_cursor
            self.followed_cursors = True
        else:
            raise ContractError(
                f"{self._where}: more than {self._rows_of_query:,} pages were created in the minute {self._reached},"
                " and Notion shows no more of them to one query; the data source cannot be read whole"
            )

    def _begin_at(self, minute: str | None) -> None:
        self._start, self._cursor, self._rows_of_query = minute, None, 0
        self._turning = Turning(self._where, empty=MOST_EMPTY)

    def _body(self) -> Mapping[str, Any]:
        bounds = [("created_time", self._start), ("last_edited_time", self._edited_since)]
        conditions = [{"timestamp": name, name: {"on_or_after": bound}} for name, bound in bounds if bound is not None]
        sorts = [{"timestamp": "created_time", "direction": "ascending"}]
        return {"sorts": sorts, **({"filter": {"and": conditions}} if conditions else {})}


def _created(row: Json, where: str) -> str:
    return text(row, "created_time", where=where)
