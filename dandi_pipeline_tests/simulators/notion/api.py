"""The endpoints: which addresses there are, who is asking in which version, and what is answered."""

import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import unquote

from dandi_pipeline_tests.simulators.wire import Request

from . import sorting
from .computed import Computer
from .errors import QUERY_GUIDANCE, ApiError, invalid, not_found
from .filters import predicate
from .limits import Limiter
from .paging import Behaviour, Pager, Piece
from .parameters import identifier, json_body, page_in_body, page_in_query
from .property_items import property_item
from .records import Connection, Database, DataSource, Page, Row
from .versions import DATA_SOURCES, LEGACY, SPOKEN
from .views import Views, title_of
from .workspace import Workspace, find_property

PREFIX = "/v1"
Captured = Mapping[str, str]

_QUERY_KEYS = ("filter", "sorts", "start_cursor", "page_size", "result_type", "is_archived")
_SEARCH_KEYS = ("query", "sort", "filter", "start_cursor", "page_size")


@dataclass(frozen=True)
class Caller:
    """Who asks, in which version, and how objects are shown to them."""

    connection: Connection
    version: str
    views: Views


@dataclass(frozen=True)
class _Route:
    kind: str
    method: str
    pattern: re.Pattern[str]
    answer: Callable[["Api", Request, Captured, Caller], dict[str, Any]]
    versions: Sequence[str] = SPOKEN


class Api:
    """Answers requests from a world. What it answers gets its request id from the server."""

    def __init__(self, workspace: Workspace, limiter: Limiter, behaviour: Behaviour, seed: int = 0) -> None:
        self._workspace = workspace
        self._limiter = limiter
        self._behaviour = behaviour
        self.pager = Pager(behaviour, seed)

    def answer(self, request: Request) -> dict[str, Any]:
        """Return the JSON that answers a request, from one state of the world, or raise `ApiError`."""
        with self._workspace.lock:
            connection = self._connection(request)
            self._limiter.admit(connection.token)
            version = _version(request)
            route, captured = find_route(request)
            if route is None or version not in route.versions:
                raise ApiError(400, "Invalid request URL.", code="invalid_request_url")
            if not connection.reads_content and route.kind not in ("me", "users"):
                raise ApiError(403, "Insufficient permissions for this endpoint.")
            caller = Caller(connection, version, Views(self._workspace, connection, version))
            return route.answer(self, request, captured, caller)

    def _connection(self, request: Request) -> Connection:
        connection = self._workspace.connections.get(request.bearer or "")
        if connection is None:
            raise ApiError(401, "API token is invalid.")
        return connection

    # Finding what an address names

    def _database(self, captured: Captured, caller: Caller) -> Database:
        found = identifier(captured["id"], "database")
        database = self._workspace.databases.get(found)
        if database is None or not self._workspace.sees(caller.connection, found):
            raise not_found("database", found)
        if caller.version == LEGACY and len(database.data_source_ids) != 1:
            raise _many_data_sources(database)
        return database

    def _data_source(self, captured: Captured, caller: Caller) -> DataSource:
        found = identifier(captured["id"], "data_source")
        source = self._workspace.data_sources.get(found)
        if source is None or not self._workspace.sees(caller.connection, found):
            raise not_found("data_source", found)
        return source

    def _page(self, captured: Captured, caller: Caller) -> Page:
        found = identifier(captured["id"], "page")
        page = self._workspace.pages.get(found)
        if page is None or not self._workspace.sees(caller.connection, found):
            raise not_found("page", found)
        return page

    # Endpoints

    def show_me(self, request: Request, captured: Captured, caller: Caller) -> dict[str, Any]:
        return caller.views.bot()

    def list_users(self, request: Request, captured: Captured, caller: Caller) -> dict[str, Any]:
        if not caller.connection.sees_user_details:
            raise ApiError(403, "Insufficient permissions for this endpoint.")
        cursor, size = page_in_query(request)
        users = {user.id: user for user in self._workspace.users.values() if user.kind != "group"}
        piece = self.pager.piece(["users"], cursor, size, lambda: list(users), free=False)
        return _list("user", [caller.views.user(users[each]) for each in piece.ids], piece.next_cursor)

    def show_database(self, request: Request, captured: Captured, caller: Caller) -> dict[str, Any]:
        return caller.views.database(self._database(captured, caller))

    def show_data_source(self, request: Request, captured: Captured, caller: Caller) -> dict[str, Any]:
        return caller.views.data_source(self._data_source(captured, caller))

    def show_page(self, request: Request, captured: Captured, caller: Caller) -> dict[str, Any]:
        page = self._page(captured, caller)
        return caller.views.page(page, _wanted(request, self._workspace.schema(page)))

    def show_property(self, request: Request, captured: Captured, caller: Caller) -> dict[str, Any]:
        page = self._page(captured, caller)
        prop = find_property(self._workspace.schema(page), unquote(captured["property"]))
        if prop is None:
            raise not_found("property", captured["property"])
        cursor, size = page_in_query(request)
        computer = Computer(self._workspace, caller.connection, reach=None)
        address = f"http://{request.headers.get('host', '')}{request.path}"
        return property_item(self.pager, computer, page, prop, cursor, size, address)

    def show_blocks(self, request: Request, captured: Captured, caller: Caller) -> dict[str, Any]:
        page = self._page(captured, caller)
        cursor, size = page_in_query(request)
        blocks = {block["id"]: block for block in caller.views.paragraphs(page)}
        piece = self.pager.piece(["blocks", page.id], cursor, size, lambda: list(blocks), free=False)
        return _list("block", [blocks[each] for each in piece.ids if each in blocks], piece.next_cursor)

    def query_database(self, request: Request, captured: Captured, caller: Caller) -> dict[str, Any]:
        (only,) = self._database(captured, caller).data_source_ids
        return self._query(request, self._workspace.data_sources[only], caller)

    def query_data_source(self, request: Request, captured: Captured, caller: Caller) -> dict[str, Any]:
        return self._query(request, self._data_source(captured, caller), caller)

    def _query(self, request: Request, source: DataSource, caller: Caller) -> dict[str, Any]:
        body = json_body(request, _QUERY_KEYS)
        cursor, size = page_in_body(body)
        if self._behaviour.slow_above is not None and size > self._behaviour.slow_above:
            raise ApiError(504, "The request took too long.", additional=QUERY_GUIDANCE)
        shown = _wanted(request, source.properties)
        asked = {name: value for name, value in body.items() if name not in ("start_cursor", "page_size")}
        piece = self._piece(
            ["query", source.id, asked], cursor, size, partial(self._queried, source, asked, caller), caller
        )
        return self._rows(piece, map(self._workspace.row, piece.ids), caller, shown)

    def _queried(self, source: DataSource, asked: Mapping[str, Any], caller: Caller) -> list[str]:
        """Return the ids of all that a query finds, in its order: what is archived only if that is asked for."""
        passes = _kind_filter(asked.get("result_type"), "data_source")
        archived = bool(asked.get("is_archived", False))
        rows: list[Row] = [
            row
            for row in self._workspace.rows(source)
            if passes(row) and (isinstance(row, DataSource) or row.is_archived == archived)
        ]
        if "filter" in asked:
            allows = predicate(asked["filter"], source.properties, self._workspace.clock.now())
            rows = [row for row in rows if allows(row)]
        computer = Computer(self._workspace, caller.connection)
        ordered = sorting.in_order(rows, asked.get("sorts", []), source.properties, computer)
        return [row.id for row in ordered]

    def search(self, request: Request, captured: Captured, caller: Caller) -> dict[str, Any]:
        body = json_body(request, _SEARCH_KEYS)
        cursor, size = page_in_body(body)
        asked = {name: value for name, value in body.items() if name not in ("start_cursor", "page_size")}
        piece = self._piece(["search", asked], cursor, size, partial(self._searched, asked, caller), caller)
        return self._rows(piece, map(self._indexed().get, piece.ids), caller)

    def _searched(self, asked: Mapping[str, Any], caller: Caller) -> list[str]:
        """Return the ids of all that search finds: not what is not indexed."""
        wanted = asked.get("filter", {})
        container = "database" if caller.version == LEGACY else "data_source"
        passes = _kind_filter(wanted.get("value"), container)
        in_trash = bool(wanted.get("in_trash", False))
        words = str(asked.get("query", "")).lower()
        rows = [
            row
            for row in self._indexed().values()
            if passes(row) and (isinstance(row, Page) and row.in_trash) == in_trash and words in title_of(row).lower()
        ]
        sort = asked.get("sort", {"timestamp": "last_edited_time", "direction": "descending"})
        return [row.id for row in sorting.in_order(rows, [sort], {}, Computer(self._workspace, caller.connection))]

    def _indexed(self) -> dict[str, Row]:
        everything: dict[str, Row] = {**self._workspace.pages, **self._workspace.data_sources}
        return {each: row for each, row in everything.items() if each not in self._workspace.unindexed}

    def _piece(
        self, listing: list[Any], cursor: str | None, size: int, members: Callable[[], Sequence[str]], caller: Caller
    ) -> Piece:
        return self.pager.piece([caller.connection.token, *listing], cursor, size, members, free=True)

    def _rows(
        self, piece: Piece, found: Iterable[Row | None], caller: Caller, shown: frozenset[str] | None = None
    ) -> dict[str, Any]:
        """Return a page of rows as they are now; what is gone by now, or hidden from the caller, is missing from it."""
        results = [
            self._show(row, caller, shown)
            for row in found
            if row is not None and self._workspace.sees(caller.connection, row.id)
        ]
        return _list("page_or_data_source", results, piece.next_cursor) | self.pager.envelope_status(piece)

    def _show(self, row: Row, caller: Caller, shown: frozenset[str] | None) -> dict[str, Any]:
        if caller.version == LEGACY and isinstance(row, DataSource):
            return caller.views.database(self._workspace.databases[row.database_id])
        return caller.views.row(row, shown)


def find_route(request: Request) -> tuple[_Route | None, Captured]:
    """Return what a request asks for, and what its path names."""
    path = request.path.removesuffix("/")
    for route in _ROUTES:
        match = route.pattern.fullmatch(path)
        if match and route.method == request.method:
            return route, match.groupdict()
    return None, {}


def new_request_id() -> str:
    return str(uuid.uuid4())


def _version(request: Request) -> str:
    version = request.headers.get("notion-version")
    if version is None:
        message = "Notion-Version header failed validation: Notion-Version header should be defined."
        raise ApiError(400, message, code="missing_version")
    if version not in SPOKEN:
        raise invalid(f"Notion-Version header failed validation: {version!r} is not one of {', '.join(SPOKEN)}.")
    return version


def _wanted(request: Request, schema: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the ids of the properties that `filter_properties` asks for, by id or name; None for all."""
    asked = request.values("filter_properties", "filter_properties[]")
    found = {name: find_property(dict(schema), name) for name in asked}
    for name, prop in found.items():
        if prop is None:
            raise invalid(f"Could not find property with name or id: {name}")
    return frozenset(prop.id for prop in found.values() if prop) if asked else None


def _kind_filter(value: Any, container: str) -> Callable[[Row], bool]:
    if value is None:
        return lambda row: True
    if value not in ("page", container):
        raise invalid(f"body failed validation: {value!r} should be `page` or `{container}`.")
    return lambda row: isinstance(row, Page) == (value == "page")


def _list(kind: str, results: list[dict[str, Any]], next_cursor: str | None) -> dict[str, Any]:
    return {
        "object": "list",
        "results": results,
        "next_cursor": next_cursor,
        "has_more": next_cursor is not None,
        "type": kind,
        kind: {},
    }


def _many_data_sources(database: Database) -> ApiError:
    return invalid(
        f"Databases with multiple data sources are not supported in this API version: {database.id}.",
        error_type="multiple_data_sources_for_database",
        child_data_source_ids=list(database.data_source_ids),
        minimum_api_version=DATA_SOURCES,
    )


def _route(
    kind: str,
    method: str,
    path: str,
    answer: Callable[[Api, Request, Captured, Caller], dict[str, Any]],
    versions: Sequence[str] = SPOKEN,
) -> _Route:
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", PREFIX + path)
    return _Route(kind, method, re.compile(pattern), answer, versions)


_MODERN = tuple(version for version in SPOKEN if version != LEGACY)
_ROUTES = (
    _route("me", "GET", "/users/me", Api.show_me),
    _route("users", "GET", "/users", Api.list_users),
    _route("search", "POST", "/search", Api.search),
    _route("database", "GET", "/databases/{id}", Api.show_database),
    _route("data_source", "GET", "/data_sources/{id}", Api.show_data_source, _MODERN),
    _route("query", "POST", "/data_sources/{id}/query", Api.query_data_source, _MODERN),
    _route("query", "POST", "/databases/{id}/query", Api.query_database, (LEGACY,)),
    _route("page", "GET", "/pages/{id}", Api.show_page),
    _route("property_item", "GET", "/pages/{id}/properties/{property}", Api.show_property),
    _route("blocks", "GET", "/blocks/{id}/children", Api.show_blocks),
)
KINDS = tuple(dict.fromkeys(route.kind for route in _ROUTES))
"""What requests are called in counters and faults; any other is "unknown"."""
