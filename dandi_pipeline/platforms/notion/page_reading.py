"""Reads the pages of one data source: each shown once and whole, and none taken for gone that is there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from dandi_pipeline.errors import ResourceMissing
from dandi_pipeline.http.payload import mapping, text
from dandi_pipeline.platforms.contract import Complete, Observation, Observed, Planned, ReadRequest, Record
from dandi_pipeline.platforms.notion.api import NotionApi, Query
from dandi_pipeline.platforms.notion.completion import completed, is_whole
from dandi_pipeline.platforms.notion.content import Json
from dandi_pipeline.platforms.notion.records import PAGE, page_record
from dandi_pipeline.platforms.notion.walk import Walk

CONFIRMATIONS = 3
"""Walks at most that look whether an earlier one has let pages slip through."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How far readings go back behind the last one, and how many rows they ask for at a time."""

    overlap: timedelta
    page_size: int


class PageReading:
    """One reading of a data source's pages. `cut_short` tells afterwards whether the request's limit ended it."""

    def __init__(self, api: NotionApi, data_source: str, request: ReadRequest, manner: Manner) -> None:
        self.cut_short = False
        self._api = api
        self._id = data_source
        self._request = request
        self._page_size = manner.page_size
        self._known = request.known[PAGE.name]
        self._where = f"data source {data_source}"
        self._shown: set[str] = set()

    def edited_since(self, bound: str) -> Iterator[Observation]:
        """Yield the pages edited since an instant."""
        yield Planned(f"pages edited since {bound[:16]}", 2)
        yield from self._confirmed(Walk(self._query(), where=self._where, edited_since=bound), bound)

    def everything(self, bound: str | None) -> Iterator[Observation]:
        """Yield every page, then that these are all; `bound` is where an incremental reading would begin."""
        yield Planned("every page", 1 + ceil(len(self._known) / self._page_size))
        walk = Walk(self._query(), where=self._where)
        yield from self._confirmed(walk, bound)
        if not self.cut_short:
            yield from self._not_gone(walk.requests)
            yield Complete(PAGE)

    def _query(self) -> Query:
        return self._api.query(self._id, page_size=self._page_size)

    def _confirmed(self, walk: Walk, bound: str | None) -> Iterator[Observation]:
        """Yield what a walk shows; where it followed cursors walk again, until nothing more turns up.

        What slips through is new, or edited since `bound`, or known and asked for before it counts as gone.
        """
        yield from self._walked(walk)
        for _ in range(CONFIRMATIONS):
            if not walk.followed_cursors or self.cut_short:
                return
            shown = len(self._shown)
            walk = Walk(self._query(), where=self._where, edited_since=bound)
            yield from self._walked(walk)
            if len(self._shown) == shown:
                return

    def _walked(self, walk: Walk) -> Iterator[Observation]:
        """Yield each page once, also where it is shown twice, as at the seams of queries.

        What comes again with the next page of rows counts as it is then. What comes again later was edited since:
        it is left to the next check, which sees the data source edited after this one's token.
        """
        waiting: dict[str, Json] = {}
        for rows in walk.pages():
            fresh = {text(row, "id", where=self._where): row for row in rows}
            yield from self._show([row for identifier, row in waiting.items() if identifier not in fresh])
            waiting = {identifier: row for identifier, row in fresh.items() if identifier not in self._shown}
            if self.cut_short:
                return
        yield from self._show(list(waiting.values()))

    def _show(self, rows: Sequence[Json]) -> Iterator[Observation]:
        """Yield rows as records, those with truncated values once these have been completed."""
        rows = self._within_limit(rows)
        self._shown.update(text(row, "id", where=self._where) for row in rows)
        cut = [row for row in rows if not is_whole(row, where=self._where)]
        yield Observed([self._record(row) for row in rows if is_whole(row, where=self._where)])
        for page in self._request.workers.map(lambda row: completed(self._api, row, where=self._where), cut):
            if page is not None:
                yield Observed([self._record(page)])

    def _within_limit(self, rows: Sequence[Json]) -> Sequence[Json]:
        limit = self._request.limit
        if limit is None or len(self._shown) + len(rows) <= limit:
            return rows
        self.cut_short = True
        return rows[: limit - len(self._shown)]

    def _record(self, row: Json) -> Record:
        return page_record(row, where=f"page {row.get('id')} of {self._where}")

    # What no walk showed

    def _not_gone(self, requests: int) -> Iterator[Observation]:
        """Yield the known pages that a complete walk did not show though they are there.

        What seems to be gone is asked for, page by page, or where that costs more than another walk, by another walk.
        """
        missing = [key[0] for key in self._known if key[0] not in self._shown]
        if len(missing) > requests:
            yield from self._walked(Walk(self._query(), where=self._where))
            return
        for page in self._request.workers.map(self._page_if_there, missing):
            if page is not None:
                yield from self._show([page])

    def _page_if_there(self, identifier: str) -> Json | None:
        """Return a page that a query of this data source should show, None for one that is gone from it."""
        try:
            page = self._api.page(identifier)
        except ResourceMissing:
            return None
        parent = mapping(page, "parent", where=f"page {identifier}")
        elsewhere = parent.get("data_source_id", self._id) != self._id
        return None if page.get("in_trash") or page.get("is_archived") or elsewhere else page
