"""Reads one table: what changed since the mark that the mirror holds, or all of it."""

from collections.abc import Iterator, Sequence
from math import ceil

from dandi_pipeline.platforms.airtable.api import AirtableApi, Question
from dandi_pipeline.platforms.airtable.fields import shape_of
from dandi_pipeline.platforms.airtable.mark import Mark, changed_since
from dandi_pipeline.platforms.airtable.records import RECORD, RECORDS, schema_record, table_record
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
        left = self._request.limit
        for records in pages:
            if left is not None and len(records) > left:
                self._cut_short = True
                yield records[:left]
                return
            left = None if left is None else left - len(records)
            yield records
