"""Reads one data source: what was edited since the last reading, or every page, which alone finds what is gone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from dandi_pipeline.errors import TornRead
from dandi_pipeline.http.instants import moment_of
from dandi_pipeline.platforms.contract import Complete, Listed, Observation, Observed, Planned, ReadRequest, Settled
from dandi_pipeline.platforms.notion.api import NotionApi
from dandi_pipeline.platforms.notion.content import Json
from dandi_pipeline.platforms.notion.page_reading import Manner, PageReading
from dandi_pipeline.platforms.notion.records import PAGES, SCHEMA, is_trashed, schema_record, shape_of
from dandi_pipeline.platforms.notion.tokens import StateToken, parse_token, token_of


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

    def __init__(self, api: NotionApi, listed: Listed, request: ReadRequest, manner: Manner) -> None:
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
