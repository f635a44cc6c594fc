"""Reads one data source: what was edited since the last reading, or every page, which alone finds what is gone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from dandi_pipeline.canonical import canonical, digest_of
from dandi_pipeline.errors import ContractError, ResourceMissing, TornRead
from dandi_pipeline.http import Turning
from dandi_pipeline.http.payload import mapping, text
from dandi_pipeline.instants import moment_of
from dandi_pipeline.model import Complete, Listed, Observation, Observed, Planned, ReadRequest, Record, Settled
from dandi_pipeline.platforms.notion.api import MOST_EMPTY, RESTARTS, CursorInvalid, NotionApi, Query, RowPage
from dandi_pipeline.platforms.notion.records import (
    PAGE,
    PAGES,
    SCHEMA,
    Json,
    content_of,
    is_trashed,
    page_record,
    schema_record,
    shape_of,
)

_NO_ROW = "-"
_SETTLED, _MOVING, _STORED = "settled", "moving", "unsettled"


@dataclass(frozen=True, slots=True)
class StateToken:
    """How a data source stood at a check.

    `newest` is the time of the newest edit in canonical spelling, None without any row; `rows` a hash over what
    shapes the rows (properties and options), `rest` one over all else that the data source says of itself.
    """

    newest: str | None
    rows: str
    rest: str
    settled: bool

    def __str__(self) -> str:
        return self._spelled(_SETTLED if self.settled else _MOVING)

    @property
    def stored(self) -> str:
        """What to store after a reading under this token: equal to a later check's only if it is settled."""
        return self._spelled(_SETTLED if self.settled else _STORED)

    def _spelled(self, word: str) -> str:
        return f"{self.newest or _NO_ROW} {self.rows} {self.rest} {word}"


def token_of(data_source: Json, newest: str | None, *, server_date: datetime | None, overlap: timedelta) -> StateToken:
    """Return the token for a data source and its newest edit, looked at after `server_date`."""
    content = content_of(data_source)
    properties = content.pop("properties", None)
    return StateToken(
        newest=newest,
        rows=digest_of(canonical(properties)),
        rest=digest_of(canonical(content)),
        settled=newest is None or (server_date is not None and moment_of(newest) + overlap <= server_date),
    )


def parse_token(text: str | None) -> StateToken | None:
    """Return a stored token; None for whatever else may be stored in its place (nothing, or that it is hidden)."""
    words = (text or "").split(" ")
    if len(words) != 4 or words[3] not in (_SETTLED, _STORED):
        return None
    newest, rows, rest, word = words
    return StateToken(None if newest == _NO_ROW else newest, rows, rest, word == _SETTLED)


SHOWN = 25
"""References (people, related pages, mentions in a text) that a page's own JSON stops at."""


_LISTS = ("people", "relation")


def is_whole(page: Json, *, where: str) -> bool:
    """Tell whether a page shows all of its values."""
    return not any(map(_may_be_cut, mapping(page, "properties", where=where).values()))


def completed(api: NotionApi, page: Json, *, where: str) -> Json | None:
    """Return the page with every value whole, one request or more for each that is not; None if it vanished."""
    properties = dict(mapping(page, "properties", where=where))
    try:
        for name, value in properties.items():
            if _may_be_cut(value):
                properties[name] = _completed(api, text(page, "id", where=where), value, where)
    except ResourceMissing:
        return None  # or its property did, which the look at the schema after the reading will show
    return {**page, "properties": properties}


def _may_be_cut(value: Any) -> bool:
    """Tell by what Notion says of relations, and for the rest by whether the limit is reached."""
    if not isinstance(value, Mapping):
        return False
    type_name = value.get("type")
    shown = value.get(str(type_name))
    if not isinstance(shown, list):
        return False
    if type_name in ("title", "rich_text"):
        return len([segment for segment in shown if segment.get("type") == "mention"]) >= SHOWN
    if type_name == "relation" and "has_more" in value:
        return bool(value["has_more"])
    return type_name in _LISTS and len(shown) >= SHOWN


def _completed(api: NotionApi, page_id: str, value: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    items = api.property_items(page_id, text(value, "id", where=where))
    whole = {**value, value["type"]: items}
    return {**whole, "has_more": False} if "has_more" in value else whole


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


CONFIRMATIONS = 3
"""Walks at most that look whether an earlier one has let pages slip through."""


@dataclass(frozen=True, slots=True)
class ReadStrategy:
    """How far readings go back behind the last one, and how many rows they ask for at a time."""

    overlap: timedelta
    page_size: int


class PageReading:
    """One reading of a data source's pages. `cut_short` tells afterwards whether the request's limit ended it."""

    def __init__(self, api: NotionApi, data_source: str, request: ReadRequest, manner: ReadStrategy) -> None:
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
        limit = self._request.max_records
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


@dataclass(frozen=True, slots=True)
class Sight:
    """What a check saw of a data source; in `Listed.row` under "sight"."""

    data_source: Json
    token: StateToken


class DataSourceReading:
    """One reading of one data source, as `ReadRequest` asks for it.

    What a query shows is whole, so records are shown with their content also where only differences are asked for.
    Of a data source in the trash no page is read, whatever its query would show: those known are kept and marked.
    """

    def __init__(self, api: NotionApi, listed: Listed, request: ReadRequest, manner: ReadStrategy) -> None:
        self._api = api
        self._id = listed.key
        self._sight: Sight = listed.row["sight"]
        self._request = request
        self._overlap = manner.overlap
        self._pages = PageReading(api, listed.key, request, manner)
        self._stored = parse_token(request.tokens.get(PAGES))
        self._where = f"data source {listed.key}"

    def observations(self) -> Iterator[Observation]:
        """Yield everything asked for; raise `TornRead` if the schema changed between the check and the end."""
        schema = self._sight.data_source
        yield Observed([schema_record(schema, where=self._where)])
        yield Complete(SCHEMA)
        yield shape_of(schema, where=self._where)
        if is_trashed(schema):
            yield Planned("no page: it is in the trash", 0)
        else:
            yield from self._read_pages()
        self._require_same_schema()
        yield Settled(self._sight.token.stored, [] if self._pages.cut_short else [PAGES])

    def _read_pages(self) -> Iterator[Observation]:
        bound = self._bound()
        if bound is not None and self._edits_suffice():
            yield from self._pages.edited_since(bound)
        else:
            yield from self._pages.everything(bound)

    def _bound(self) -> str | None:
        """Return the instant from which on edits may be unknown, None where there is none to go by."""
        if self._stored is None or self._stored.newest is None:
            return None
        return _spelled_before(self._stored.newest, self._overlap)

    def _edits_suffice(self) -> bool:
        """Tell whether pages changed only where their times moved.

        Every page spells out the names and options of its properties, so a change of these changes all pages and
        moves no page's time.
        """
        if self._request.full or self._stored is None:
            return False
        return self._stored.rows == self._sight.token.rows

    def _require_same_schema(self) -> None:
        """Raise `TornRead` unless the data source says of itself what it said at the check.

        The newest edit need not be the same: what was edited meanwhile is later than the token, and found next time.
        """
        token = self._sight.token
        data_source = self._api.data_source(self._id).data_source
        now = token_of(data_source, token.newest, server_date=None, overlap=self._overlap)
        if (now.rows, now.rest) != (token.rows, token.rest):
            raise TornRead(f"{self._where} changed while it was read: its properties or its title are others now")


def _spelled_before(newest: str, overlap: timedelta) -> str:
    """Return the instant `overlap` before another, as filters take it."""
    return (moment_of(newest) - overlap).strftime("%Y-%m-%dT%H:%M:%S.000Z")
