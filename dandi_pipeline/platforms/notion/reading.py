"""Reads one data source: what was edited since the last reading, or every page, which alone finds what is gone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from dandi_pipeline.errors import ResourceMissing, TornRead
from dandi_pipeline.http.instants import moment_of
from dandi_pipeline.http.payload import mapping, text
from dandi_pipeline.platforms.contract import (
    Complete,
    Listed,
    Observation,
    Observed,
    Planned,
    ReadRequest,
    Record,
    Settled,
)
from dandi_pipeline.platforms.notion.api import NotionApi
from dandi_pipeline.platforms.notion.completion import completed, is_whole
from dandi_pipeline.platforms.notion.content import Json
from dandi_pipeline.platforms.notion.records import PAGE, PAGES, SCHEMA, page_record, schema_record, shape_of
from dandi_pipeline.platforms.notion.tokens import StateToken, parse_token, token_of
from dandi_pipeline.platforms.notion.walk import Walk


@dataclass(frozen=True, slots=True)
class Sight:
    """What a check saw of a data source: `Listed.row`, in a form that is easy to use."""

    data_source: Json
    token: StateToken


@dataclass(frozen=True, slots=True)
class Manner:
    """How far readings go back behind the last one, and how many rows they ask for at a time."""

    overlap: timedelta
    page_size: int


class DataSourceReading:
    """One reading of one data source, as `ReadRequest` asks for it.

    What a query shows is whole, so records are shown with their content also where only differences are asked for.
    """

    def __init__(self, api: NotionApi, listed: Listed, request: ReadRequest, manner: Manner) -> None:
        self._api = api
        self._id = listed.key
        self._sight: Sight = listed.row["sight"]
        self._request = request
        self._manner = manner
        self._known = request.known[PAGE.name]
        self._where = f"data source {listed.key}"
        self._shown: set[str] = set()
        self._cut_short = False

    def observations(self) -> Iterator[Observation]:
        """Yield everything asked for; raise `TornRead` if the schema changed between the check and the end."""
        schema = self._sight.data_source
        yield Observed([schema_record(schema, where=self._where)])
        yield Complete(SCHEMA)
        yield shape_of(schema, where=self._where)
        since = self._edited_since()
        yield from self._every_page() if since is None else self._pages_since(since)
        self._require_same_schema()
        yield Settled(self._sight.token.stored, [] if self._cut_short else [PAGES])

    def _edited_since(self) -> str | None:
        """Return the bound of an incremental reading, None where every page must be read.

        Every page spells out the names and options of its properties, so a change of these changes all pages and
        moves no page's time. A preview has no token to go by, so it goes by the newest edit that it knows.
        """
        if self._request.full:
            return None
        stored = parse_token(self._request.tokens.get(PAGES))
        if stored is not None:
            newest = stored.newest if stored.rows == self._sight.token.rows else None
        elif not self._request.fetch:
            newest = max((str(edited) for _, edited in self._known.values()), default=None)
        else:
            newest = None
        return None if newest is None else _spelled_before(newest, self._manner.overlap)

    def _pages_since(self, since: str) -> Iterator[Observation]:
        yield Planned(f"pages edited since {since[:16]}", 2)
        yield from self._walked(self._walk(since))

    def _every_page(self) -> Iterator[Observation]:
        yield Planned("every page", 1 + ceil(len(self._known) / self._manner.page_size))
        walk = self._walk(None)
        yield from self._walked(walk)
        if not self._cut_short:
            yield from self._not_gone(walk.requests)
            yield Complete(PAGE)

    def _walk(self, since: str | None) -> Walk:
        query = self._api.query(self._id, page_size=self._manner.page_size)
        return Walk(query, where=self._where, edited_since=since)

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
            if self._cut_short:
                return
        yield from self._show(list(waiting.values()))

    def _show(self, rows: Sequence[Json]) -> Iterator[Observation]:
        """Yield rows as records, those with truncated values once these have been completed."""
        rows = self._within_limit(rows)
        whole = {text(row, "id", where=self._where): is_whole(row, where=self._where) for row in rows}
        self._shown.update(whole)
        yield Observed([self._record(row) for row in rows if whole[row["id"]]])
        cut = [row for row in rows if not whole[row["id"]]]
        for row in self._request.workers.map(lambda row: completed(self._api, row, where=self._where), cut):
            if row is not None:
                yield Observed([self._record(row)])

    def _within_limit(self, rows: Sequence[Json]) -> Sequence[Json]:
        limit = self._request.limit
        if limit is None or len(self._shown) + len(rows) <= limit:
            return rows
        self._cut_short = True
        return rows[: limit - len(self._shown)]

    def _record(self, row: Json) -> Record:
        return page_record(row, where=f"page {row.get('id')} of {self._where}")

    # What the walk did not show

    def _not_gone(self, requests: int) -> Iterator[Observation]:
        """Yield the known pages that a complete walk did not show though they are there.

        A row may slip through where cursors are positions. So what seems to be gone is asked for, page by page, or
        where that costs more than another walk, by another walk.
        """
        missing = [key[0] for key in self._known if key[0] not in self._shown]
        if len(missing) > requests:
            yield from self._walked(self._walk(None))
        else:
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

    def _require_same_schema(self) -> None:
        """Raise `TornRead` unless the data source says of itself what it said at the check.

        The newest edit need not be the same: what was edited meanwhile is later than the token, and found next time.
        """
        token = self._sight.token
        now = token_of(
            self._api.data_source(self._id).data_source,
            token.newest,
            server_date=None,
            overlap=self._manner.overlap,
        )
        if (now.rows, now.rest) != (token.rows, token.rest):
            raise TornRead(f"{self._where} changed while it was read: its properties or its title are others now")


def _spelled_before(newest: str, overlap: timedelta) -> str:
    """Return the instant `overlap` before another, as filters take it."""
    return (moment_of(newest) - overlap).strftime("%Y-%m-%dT%H:%M:%S.000Z")
