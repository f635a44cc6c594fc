"""Notion's endpoints, as the sync needs them: paths, paging, what errors mean, and the checks on what comes back."""

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dandi_pipeline.errors import (
    AccessRefused,
    ContractError,
    CredentialRejected,
    PipelineError,
    PlatformFailing,
    ResourceMissing,
    UnexpectedPayload,
)
from dandi_pipeline.http import Answer, HttpClient, Turning, follow
from dandi_pipeline.http import path as path_of
from dandi_pipeline.http.client import ErrorAnswer, Overburdened, Refusal, wrong_address
from dandi_pipeline.http.payload import boolean, instant, mappings, optional_mapping, optional_text, text
from dandi_pipeline.platforms.notion.records import Json

_BLOCKED = "public_api_request_blocked"


class Struggling(PlatformFailing):
    """Notion could not answer just now: the same again may work, and of a query a smaller page may."""


class CursorInvalid(ContractError):
    """A cursor is not (any more) taken: the list must be begun again."""


def refusal_for(token_env: str) -> Refusal:
    """Return the judge of error answers to a connection whose token is in the environment variable `token_env`."""

    def refusal(answer: ErrorAnswer) -> PipelineError | None:
        body = answer.members or {}
        said = f"{answer.where}: {_message(body) or answer.excerpt}"
        if answer.status == 401:
            return CredentialRejected(f"{said}; set {token_env} to the token of a Notion connection")
        if answer.status in (403, 404):
            return _unseen(answer, body, said, token_env)
        if answer.status == 429 and _reason(body) == _BLOCKED:
            return CredentialRejected(
                f"{said}; Notion blocks the connection behind {token_env}, and asking again makes it worse:"
                " find out why from Notion's support before the next sync"
            )
        if answer.status == 400 and "start_cursor" in str(body.get("message")):
            return CursorInvalid(said)
        if answer.status == 409 or (answer.status in (503, 504) and "/query" in answer.where):
            return Struggling(f"{said}; try again later")
        return None

    return refusal


def _unseen(answer: ErrorAnswer, body: Mapping[str, Any], said: str, token_env: str) -> PipelineError:
    """Return why something cannot be seen, as far as Notion says so in its own words."""
    if answer.status == 403 and body:
        return AccessRefused(
            f"{said}; the connection behind {token_env} lacks a capability: let it read content"
            " (*Capabilities* in the connection's settings), which sharing alone does not"
        )
    if answer.status == 404 and body.get("code") == "object_not_found":
        return ResourceMissing(said)
    return wrong_address(answer)


def _message(body: Mapping[str, Any]) -> str:
    """Return what an error says, without the `request_id` beside it, which is another one each time."""
    message = body.get("message")
    return f"{body.get('code')}: {' '.join(message.split())[:300]}" if isinstance(message, str) else ""


def _reason(body: Mapping[str, Any]) -> object:
    additional = body.get("additional_data")
    return additional.get("rate_limit_reason") if isinstance(additional, dict) else None


VERSION = "2026-03-11"

LARGEST_PAGE = 100

SMALLEST_PAGE = 10
"""A struggling query is not asked for less than this; Notion says that it kills what takes more than 60 seconds."""

ATTEMPTS = 6

MOST_EMPTY = 1_000
"""Pages in a row that may show nothing new and yet lead on: what a connection may not see is left out of them, and a
query shows up to 10,000 rows, at least 10 at a time."""

RESTARTS = 5
"""How often a list is begun again because its cursor was refused, before it is given up."""

_SEGMENT = re.compile(r"(?!\.{1,2}$)(?:[A-Za-z0-9_.!~*'()-]|%[0-9A-Fa-f]{2})+")
"""A property's id: whatever JavaScript's encodeURIComponent can spell (`'i6%2F`, `F%5D)%3F`), which a path takes as it
is, but for `.` and `..`, which lead elsewhere in one."""


@dataclass(frozen=True, slots=True)
class Stand:
    """What a data source says of itself, and when the server said so."""

    data_source: Json
    server_date: datetime | None


@dataclass(frozen=True, slots=True)
class RowPage:
    """One page of a query's rows. `cut` tells that the query shows no more than the first so many."""

    rows: Sequence[Json]
    next_cursor: str | None
    cut: bool


class NotionApi:
    """Reads one workspace through one connection. Every method raises `PipelineError`s only.

    `first_backoff` is how long to wait at most, in seconds, before a struggling query is asked again; doubled each
    time.
    """

    def __init__(
        self,
        client: HttpClient,
        *,
        first_backoff: float = 1,
        sleep: Callable[[float], None] = time.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._client = client
        self._first_backoff = first_backoff
        self._sleep = sleep
        self._uniform = uniform

    def data_source(self, identifier: str) -> Stand:
        """Return a data source, schema and all; `ResourceMissing` where it is not there or not shared."""
        answer = self._client.get_json(path_of("data_sources", identifier))
        return Stand(_object(answer), answer.server_date)

    def data_sources_of(self, database: str) -> list[str]:
        """Return the ids of a database's data sources; `ResourceMissing` where it is not there or not shared."""
        answer = self._client.get_json(path_of("databases", database))
        listed = mappings(_object(answer), "data_sources", where=answer.where)
        return [text(item, "id", where=answer.where) for item in listed]

    def newest_edit(self, data_source: str) -> str | None:
        """Return the time of a data source's newest edit in canonical spelling, None if it shows no page."""
        query = self.query(data_source, page_size=1, properties=("title",))
        for rows in query.follow({"sorts": [{"timestamp": "last_edited_time", "direction": "descending"}]}):
            if rows:
                return instant(rows[0], "last_edited_time", where=f"newest page of data source {data_source}")
            # What the connection may not see is left out of a page, even all of it.
            query.page_size = LARGEST_PAGE
        return None

    def query(self, data_source: str, *, page_size: int, properties: Sequence[str] = ()) -> "Query":
        """Return a query of a data source's pages, of all `properties` or of those with these ids."""
        wanted = "&".join(f"filter_properties[]={identifier}" for identifier in properties)
        path = f"{path_of('data_sources', data_source, 'query')}{'?' if wanted else ''}{wanted}"
        return Query(self._struggling, path, page_size)

    def page(self, identifier: str) -> Json:
        """Return one page, which may be in the trash; `ResourceMissing` where it is not there or not shared."""
        return _object(self._client.get_json(path_of("pages", identifier)))

    def property_items(self, page: str, property_id: str) -> list[Any]:
        """Return every item of a property whose value a page shows only the beginning of."""
        where = f"property {property_id[:40]!r} of page {page}"
        if not _SEGMENT.fullmatch(property_id):
            raise UnexpectedPayload(f"{where}: its id is no such id; nothing was written for it")
        results = self._listed(f"{path_of('pages', page, 'properties')}/{property_id}")
        return [item.get(text(item, "type", where=where)) for items in results for item in items]

    def shared_data_sources(self) -> Iterator[Json]:
        """Yield the data sources that search finds: most of those shared with the connection, not surely all."""
        body = {"filter": {"property": "object", "value": "data_source"}, "page_size": LARGEST_PAGE}

        def page(cursor: str) -> tuple[Sequence[Json], str | None]:
            answer = self._client.post_json("search", body | ({"start_cursor": cursor} if cursor else {}))
            return _results(answer), _next_cursor(answer)

        for found in follow(page, "", where="search for data sources", empty=MOST_EMPTY):
            yield from found

    def _listed(self, path: str) -> Iterator[Sequence[Json]]:
        def page(cursor: str) -> tuple[Sequence[Json], str | None]:
            answer = self._client.get_json(path, {"page_size": LARGEST_PAGE, "start_cursor": cursor or None})
            return _results(answer), _next_cursor(answer)

        # A text may mention one page a hundred times.
        return follow(page, "", where=path, empty=MOST_EMPTY, repeating=True)

    def _struggling(self, path: str, bodies: Iterator[Mapping[str, Any]]) -> Answer:
        """Ask until there is an answer, each time with the next of `bodies`, backing off in between."""
        for attempt in range(ATTEMPTS - 1):
            try:
                return self._client.post_json(path, next(bodies), divisible=True)
            except Overburdened:
                continue  # it has been waited for
            except Struggling:
                seconds = self._uniform(0, self._first_backoff * 2**attempt)
                self._sleep(seconds)
                self._client.metrics.add(retries=1, seconds_slept=seconds)
        return self._client.post_json(path, next(bodies))


class Query:
    """Asks a data source for pages of its rows: smaller ones from then on whenever Notion struggles with a large one.

    A page too large is answered by 504 after a minute, or by a 503 that advises to reduce it.
    """

    def __init__(self, ask: Callable[[str, Iterator[Mapping[str, Any]]], Answer], path: str, page_size: int) -> None:
        self.page_size = page_size
        self._ask = ask
        self._path = path

    def page(self, body: Mapping[str, Any], cursor: str | None) -> RowPage:
        """Return the page at a cursor, or the first one; rows are pages only, never a wiki's data sources."""
        asked = {**body, **({"start_cursor": cursor} if cursor else {})}
        answer = self._ask(self._path, self._smaller_and_smaller(asked))
        status = optional_mapping(answer.payload, "request_status", where=answer.where) or {}
        return RowPage(
            rows=[row for row in _results(answer) if row.get("object") == "page"],
            next_cursor=_next_cursor(answer),
            cut=status.get("type") == "incomplete",
        )

    def follow(self, body: Mapping[str, Any]) -> Iterator[Sequence[Json]]:
        """Yield the rows page by page, from the beginning again where a cursor is refused."""
        cursor, restarts, turning = None, 0, Turning(self._path, empty=MOST_EMPTY)
        while True:
            try:
                page = self.page(body, cursor)
            except CursorInvalid as refused:
                restarts += 1
                if restarts > RESTARTS:
                    raise Struggling(f"{refused}; try again later") from None
                cursor, turning = None, Turning(self._path, empty=MOST_EMPTY)
                continue
            turning.turned([row.get("id") for row in page.rows], page.next_cursor)
            yield page.rows
            cursor = page.next_cursor
            if cursor is None:
                return

    def _smaller_and_smaller(self, body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        while True:
            yield {**body, "page_size": self.page_size}
            self.page_size = max(min(SMALLEST_PAGE, self.page_size), self.page_size // 2)


def _object(answer: Answer) -> Json:
    if not isinstance(answer.payload, dict):
        raise UnexpectedPayload(f"{answer.where}: is not a JSON object; nothing was written for it")
    return _of_itself(answer.payload)


def _results(answer: Answer) -> list[Json]:
    return [_of_itself(item) for item in mappings(answer.payload, "results", where=answer.where)]


def _of_itself(item: Json) -> Json:
    """Return an object without the `request_id` that any may carry: the exchange's, and another one at each reading.

    So in the cassettes of ramnes/notion-sdk-py (version 2025-09-03, July 2026): data sources, databases and pages.
    """
    return {name: value for name, value in item.items() if name != "request_id"}


def _next_cursor(answer: Answer) -> str | None:
    """Return where a list goes on; one that says it does without saying where breaks the contract."""
    if not boolean(answer.payload, "has_more", where=answer.where):
        return None
    cursor = optional_text(answer.payload, "next_cursor", where=answer.where)
    if cursor is None:
        raise UnexpectedPayload(f"{answer.where}: has more but no 'next_cursor'; nothing was written for it")
    return cursor
