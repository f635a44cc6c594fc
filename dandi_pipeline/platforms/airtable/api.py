"""One base's endpoints: its schema, lists of records page by page, and what the error answers mean."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from dandi_pipeline.errors import (
    AccessRefused,
    ContractError,
    CredentialRejected,
    PipelineError,
    QuotaExhausted,
    TornRead,
    UnexpectedPayload,
)
from dandi_pipeline.http import HttpClient, follow
from dandi_pipeline.http import path as path_of
from dandi_pipeline.http.client import ErrorAnswer, Refusal, wrong_address
from dandi_pipeline.http.payload import array, mappings, optional_text, text


class IteratorLost(TornRead):
    """The server has forgotten the list whose next page was asked for; it must be begun anew."""


class SchemaMoved(TornRead):
    """A field that the schema had a moment ago does not exist any more."""


class FilterRefused(ContractError):
    """The table takes no filter by the time of modification."""


def error_type(body: bytes) -> str:
    """Return the type of error that a body names, "" if none: a word, an object, or the first of a list."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    if isinstance(payload, dict) and isinstance(payload.get("errors"), list) and payload["errors"]:
        payload = payload["errors"][0]
    error = payload.get("error") if isinstance(payload, dict) else None
    named = error.get("type") if isinstance(error, dict) else error
    return named if isinstance(named, str) else ""


def refusals(token_env: str, *, has_token: bool) -> Refusal:
    """Return what decides about error answers; statuses that mean the same everywhere it leaves to the client."""
    remedy = "check the token" if has_token else "it is not set"

    def refusal(answer: ErrorAnswer) -> PipelineError | None:
        if answer.status == 401:
            return CredentialRejected(f"{answer.where}: Airtable takes no token from {token_env}: {remedy}")
        if answer.status in (403, 404) and not error_type(answer.body):
            return wrong_address(answer)
        if answer.status == 403:
            return AccessRefused(
                f"{answer.where}: not for the token in {token_env} (or it does not exist); give it the scopes"
                " data.records:read and schema.bases:read and the base among its resources"
            )
        meaning = _MEANINGS.get(error_type(answer.body))
        return meaning(answer) if meaning and answer.status in (422, 429) else None

    return refusal


def _quota(answer: ErrorAnswer) -> PipelineError:
    return QuotaExhausted(
        f"{answer.where}: the workspace has no API calls left this month; raise its plan, or wait for the next month"
        " (every client of the workspace counts)"
    )


def _iterator_lost(answer: ErrorAnswer) -> PipelineError:
    return IteratorLost(f"{answer.where}: the list expired on the server before its last page was read")


def _schema_moved(answer: ErrorAnswer) -> PipelineError:
    return SchemaMoved(f"{answer.where}: the table's fields changed while it was checked")


def _filter_refused(answer: ErrorAnswer) -> PipelineError:
    return FilterRefused(f"{answer.where}: the table cannot be filtered by when records changed ({answer.excerpt})")


_MEANINGS: Mapping[str, Callable[[ErrorAnswer], PipelineError]] = {
    "PUBLIC_API_BILLING_LIMIT_EXCEEDED": _quota,
    "LIST_RECORDS_ITERATOR_NOT_AVAILABLE": _iterator_lost,
    "INVALID_OFFSET_VALUE": _iterator_lost,
    "UNKNOWN_FIELD_NAME": _schema_moved,
    "INVALID_FILTER_BY_FORMULA": _filter_refused,
}


Json = Mapping[str, Any]

LIST_ATTEMPTS = 3
"""How often a list is begun that the server keeps forgetting."""


MOST_EMPTY = 10
"""Pages in a row that may show nothing new and yet lead on: those of a filter may hold no record that passes it."""


_TABLE_ID = re.compile(r"tbl[A-Za-z0-9]{14}", re.ASCII)


@dataclass(frozen=True, slots=True)
class BaseSchema:
    """A base's tables as the schema shows them, at `now` by the server's clock.

    `unread` is what is wrong with rows that do not even say which table they are: any table may be one of these.
    """

    tables: Sequence[Json]
    now: datetime
    unread: UnexpectedPayload | None = None

    def table(self, table_id: str) -> Json | None:
        """Return a table's row; None if the base has no such table."""
        return next((row for row in self.tables if row["id"] == table_id), None)


@dataclass(frozen=True, slots=True)
class Question:
    """Which records of a table are asked for, and which of their fields; None asks for all."""

    table_id: str
    formula: str | None = None
    fields: Sequence[str] | None = None

    @property
    def body(self) -> Json:
        """The question as `listRecords` takes it. Fields go by their ids: renaming one changes no answer."""
        asked = {"filterByFormula": self.formula, "fields": self.fields}
        return {"returnFieldsByFieldId": True, **{name: value for name, value in asked.items() if value is not None}}


@dataclass(frozen=True, slots=True)
class Page:
    """Some records of a list, and the offset of the next page; None after the last."""

    rows: Sequence[Json]
    offset: str | None


class AirtableApi:
    """Reads one base. Every method raises `PipelineError`s only."""

    def __init__(self, client: HttpClient, base_id: str, *, page_size: int) -> None:
        self.base_id = base_id
        self.client = client
        self.page_size = page_size

    def schema(self) -> BaseSchema:
        """Return the base's tables, and the server's time."""
        where = f"schema of base {self.base_id}"
        answer = self.client.get_json(path_of("meta", "bases", self.base_id, "tables"))
        if answer.server_date is None:
            raise UnexpectedPayload(f"{where}: the answer has no Date, without which no change can be dated")
        tables: list[Json] = []
        unread = None
        for row in array(answer.payload, "tables", where=where):
            try:
                table = text(row, "id", where=where)
                if not _TABLE_ID.fullmatch(table):
                    raise UnexpectedPayload(f"{where}: {table[:40]!r} is no table's id; nothing was written for it")
            except UnexpectedPayload as odd:
                unread = odd
            else:
                tables.append(row)
        return BaseSchema(tables, answer.server_date, unread)

    def page(self, question: Question, *, offset: str | None = None, size: int | None = None) -> Page:
        """Return one page of a list, the first unless an `offset` continues one.

        Always asked by POST, whose parameters may be of any length: an address is refused beyond 16,000 characters.
        """
        position = {} if offset is None else {"offset": offset}
        path = path_of(self.base_id, question.table_id, "listRecords")
        answer = self.client.post_json(path, {**question.body, "pageSize": size or self.page_size, **position})
        where = f"records of table {self.base_id}/{question.table_id}"
        rows = mappings(answer.payload, "records", where=where)
        for row in rows:
            text(row, "id", where=where)
        return Page(rows, optional_text(answer.payload, "offset", where=where))

    def pages(self, question: Question) -> Iterator[Sequence[Json]]:
        """Yield a whole list, each record once; raise `IteratorLost` if the server forgets it again and again.

        Which records are in a list is settled at its first page, their values are as of each page. A list that
        was begun anew may therefore show a record that has gone since, as one page does while the next is read.
        """
        shown: set[str] = set()
        for attempt in range(1, LIST_ATTEMPTS + 1):
            try:
                for rows in self._walk(question):
                    yield [row for row in rows if row["id"] not in shown] if attempt > 1 else rows
                    shown.update(row["id"] for row in rows)
                return
            except IteratorLost:
                if attempt == LIST_ATTEMPTS:
                    raise

    def _walk(self, question: Question) -> Iterator[Sequence[Json]]:
        def page(offset: str) -> tuple[Sequence[Json], str | None]:
            found = self.page(question, offset=offset or None)
            return found.rows, found.offset

        return follow(page, "", where=f"table {question.table_id}", empty=MOST_EMPTY)
