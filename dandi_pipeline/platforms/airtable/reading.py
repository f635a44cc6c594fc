"""Reads one table: what changed since the mark that the mirror holds, or all of it."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from math import ceil

from dandi_pipeline.canonical import canonical, digest_of
from dandi_pipeline.errors import ContractError, PlatformFailing, ResourceMissing, TornRead
from dandi_pipeline.instants import canonical_instant, moment_of
from dandi_pipeline.model import Complete, Listed, Observation, Observed, Planned, ReadRequest, Record, Settled
from dandi_pipeline.platforms.airtable.api import AirtableApi, FilterRefused, Json, Question, SchemaMoved
from dandi_pipeline.platforms.airtable.records import (
    RECORD,
    RECORDS,
    edited_fields,
    layout_of,
    schema_record,
    shape_of,
    sorted_cells,
    table_record,
)

GRIDS = (timedelta(days=30), timedelta(days=1), timedelta(hours=1))
"""How far back a mark may reach: as far as the changes since then fit one page, or else the last."""

_log = logging.getLogger(__name__)

_UNFILTERED = "unfiltered"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FAR = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Mark:
    """The state of a table, as the module says. `since` is None where the table's filter does not work.

    Such a table counts as unchanged until its schema changes or a sweep reads it: only reading all of it could tell.
    """

    layout: str
    since: datetime | None
    recent: str
    schema: str

    def __str__(self) -> str:
        since = _UNFILTERED if self.since is None else canonical_instant(self.since.isoformat())
        return f"{self.layout} {since} {self.recent} {self.schema}"

    @classmethod
    def of_token(cls, token: str | None) -> "Mark | None":
        """Return the mark that a state token spells; None for none, or what stands for a hidden table."""
        words = (token or "").split(" ")
        if len(words) != 4:
            return None
        layout, since, recent, schema = words
        return cls(layout, None if since == _UNFILTERED else moment_of(since), recent, schema)


def changed_since(moment: datetime) -> str:
    """Return the formula for records edited or created after a moment; one never edited may have no other stamp."""
    spelled = moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    bound = f"DATETIME_PARSE('{spelled}')"
    return f"OR(IS_AFTER(LAST_MODIFIED_TIME(),{bound}),IS_AFTER(CREATED_TIME(),{bound}))"


@dataclass(frozen=True, slots=True)
class Check:
    """How a table stands, and since when nothing has changed in it (or now, if something may have)."""

    mark: Mark
    modified: datetime


def check_table(api: AirtableApi, table: Json, *, now: datetime, overlap: timedelta) -> Check:
    """Ask a table what has changed, in one request if that fits a page.

    `now` is the server's time, not later than that of the requests. A table that gives no usable answer counts as
    changed, so that its own reading fails and no other's. Raises `SchemaMoved` if `table`, its schema, is out of date.
    """
    where = f"table {api.base_id}/{table['id']}"
    layout, schema = layout_of(table, where=where), digest_of(canonical(table))
    fields, latest = edited_fields(table, where=where), now - overlap
    try:
        since, rows = _recent(api, table["id"], fields, latest, now)
    except FilterRefused:
        since, rows = None, []
    except (SchemaMoved, ResourceMissing):
        raise
    except (PlatformFailing, TornRead, ContractError) as failure:
        _log.warning("%s; the table is taken for changed", failure)
        return Check(Mark(layout, _on_grid(latest, GRIDS[-1]), f"unchecked@{now.isoformat()}", schema), now)
    recent = digest_of(*sorted(canonical([row["id"], *sorted_cells(row.get("fields", {}))]) for row in rows))
    return Check(Mark(layout, since, recent, schema), now if rows or since is None else since)


def _recent(
    api: AirtableApi, table_id: str, fields: Sequence[str], latest: datetime, now: datetime
) -> tuple[datetime | None, list[Json]]:
    """Return a moment on a grid and the records changed since; None where the filter lets through what it must not.

    A filter that lets too much through is harmless as long as that fits a page, and found out where it does not:
    records changed in the future are asked for, of which there are none.
    """
    for grid in GRIDS:
        since = _on_grid(latest, grid)
        question = Question(table_id, changed_since(since), fields)
        page = api.page(question)
        if page.offset is None:
            return since, list(page.rows)
    if api.page(Question(table_id, changed_since(now + _FAR), fields[:1]), size=1).rows:
        return None, []
    return since, [row for rows in api.pages(question) for row in rows]


def _on_grid(moment: datetime, grid: timedelta) -> datetime:
    """Return the last moment of a grid up to another moment."""
    return _EPOCH + (moment - _EPOCH) // grid * grid


class TableReading:
    """One reading of one table, as `ReadRequest` asks for it.

    It is never torn: it settles under the token of the listing before it, from which whatever has changed since
    differs. Deletions, and changes that no filter sees, are found by reading everything, and only then.
    """

    def __init__(self, api: AirtableApi, listed: Listed, request: ReadRequest) -> None:
        self._api = api
        self._listed = listed
        self._request = request
        self._where = f"table {listed.key}"
        self._shape = shape_of(listed.row, where=self._where)
        self._types = {column.cell: column.type for column in self._shape.columns}
        self._cut_short = False

    def observations(self) -> Iterator[Observation]:
        """Yield the schema, then the records as they come in."""
        question, plan = self._question()
        yield plan
        yield Observed([schema_record(self._listed.row, where=self._where)])
        yield self._shape
        for records in self._within_limit(self._pages(question)):
            yield Observed(records)
        if question.formula is None and not self._cut_short:
            yield Complete(RECORD)
        yield Settled(self._listed.token, [] if self._cut_short else [RECORDS])

    def _question(self) -> tuple[Question, Planned]:
        """Return which records to ask for, and why."""
        table_id = self._listed.row["id"]
        stored, now = Mark.of_token(self._request.tokens.get(RECORDS)), Mark.of_token(self._listed.token)
        if self._request.full:
            reason = "asked for"
        elif now is None or now.since is None:
            reason = "the table cannot be filtered by when records changed"
        elif stored is None or stored.since is None:
            reason = "no mark to begin from"
        elif stored.layout != now.layout:
            reason = "its fields changed"
        else:
            # The stored one lies later where the grid is coarser now: what was edited since then fits a page. It also
            # does where a server's clock was ahead when it was stored; nothing edited before that may be passed over.
            since = min(stored.since, now.since)
            return Question(table_id, changed_since(since)), Planned(f"records changed since {since}", 1)
        pages = max(1, ceil(len(self._request.known[RECORD.name]) / self._api.page_size))
        return Question(table_id), Planned(f"all records ({reason})", pages)

    def _pages(self, question: Question) -> Iterator[Sequence[Record]]:
        for rows in self._api.pages(question):
            yield [table_record(row, self._types, where=self._where) for row in rows]

    def _within_limit(self, pages: Iterator[Sequence[Record]]) -> Iterator[Sequence[Record]]:
        """Yield pages until the request's limit is reached, and note whether anything was left out."""
        left = self._request.max_records
        for records in pages:
            if left is not None and len(records) > left:
                self._cut_short = True
                yield records[:left]
                return
            left = None if left is None else left - len(records)
            yield records
