"""The endpoints: which path means what, who may ask it, and the answer's JSON."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import orjson

from dandi_pipeline_tests.simulators.wire import Request

from . import webhooks
from .iterators import Iterators
from .limits import Gate
from .listing import Question, body_of_query, list_page, shown_record
from .model import Base, Table, Token
from .refusals import Refusal, hidden, invalid, lacking_scope, unauthenticated
from .snapshot import base_row, table_schema
from .world import World

LONGEST_URL = 16_000
"""In characters. Longer ones "will be rejected" (support.airtable.com); the status, 414, is an assumption."""
BASES_PER_PAGE = 1_000

KINDS = ("whoami", "bases", "tables", "records", "record", "webhooks", "webhook", "payloads", "refresh", "unknown")
"""The kinds of request; both forms of listing records are `records`."""


@dataclass(frozen=True)
class Meaning:
    """What a path is understood to ask."""

    kind: str
    base: str | None = None
    table: str | None = None
    item: str | None = None


_SEGMENT = "([^/]+)"
_PATHS: tuple[tuple[re.Pattern[str], str, frozenset[str]], ...] = tuple(
    (re.compile(f"/v0/{path.replace('*', _SEGMENT)}"), kind, frozenset(methods.split()))
    for path, kind, methods in (
        ("meta/whoami", "whoami", "GET"),
        ("meta/bases", "bases", "GET"),
        ("meta/bases/*/tables", "tables", "GET"),
        ("bases/*/webhooks", "webhooks", "GET POST"),
        ("bases/*/webhooks/()*", "webhook", "DELETE"),
        ("bases/*/webhooks/()*/payloads", "payloads", "GET"),
        ("bases/*/webhooks/()*/refresh", "refresh", "POST"),
        ("*/*/listRecords", "records", "POST"),
        ("*/*", "records", "GET"),
        ("*/*/*", "record", "GET"),
    )
)
_SCOPES: Mapping[str, str] = {
    "bases": "schema.bases:read",
    "tables": "schema.bases:read",
    "records": "data.records:read",
    "record": "data.records:read",
    **dict.fromkeys(("webhooks", "webhook", "payloads", "refresh"), "webhook:manage"),
}
_WEBHOOK_KINDS = frozenset({"webhooks", "webhook", "payloads", "refresh"})


def meaning(method: str, path: str) -> Meaning:
    """Return what a method and a path ask; the kind is `unknown` if nothing."""
    for pattern, kind, methods in _PATHS:
        match = pattern.fullmatch(path)
        if match and method in methods:
            base, table, item = ([unquote(segment) or None for segment in match.groups()] + [None] * 3)[:3]
            return Meaning(kind, base, table, item)
    return Meaning("unknown")


class Api:
    """Answers requests from a world, within the limits of a gate."""

    def __init__(self, world: World, gate: Gate, iterators: Iterators, *, bases_per_page: int = BASES_PER_PAGE) -> None:
        self._world = world
        self._gate = gate
        self._iterators = iterators
        self._bases_per_page = bases_per_page
        self._answers: Mapping[str, Callable[[Meaning, Token, Request], object]] = {
            "whoami": lambda asked, token, request: {"id": token.user_id, "scopes": sorted(token.scopes)},
            "bases": self._bases,
            "tables": self._tables,
            "records": self._records,
            "record": self._record,
            "webhooks": self._webhooks,
            "webhook": lambda asked, token, request: webhooks.delete_webhook(*self._webhook(asked, token)),
            "payloads": lambda asked, token, request: webhooks.list_payloads(
                *self._webhook(asked, token), dict(request.query)
            ),
            "refresh": lambda asked, token, request: webhooks.refresh_webhook(*self._webhook(asked, token)),
        }

    def answer(self, asked: Meaning, request: Request, url: str) -> object:
        """Return the answer's JSON, or raise a `Refusal`."""
        with self._world.lock:
            if len(url) > LONGEST_URL:
                raise Refusal(414, "REQUEST_URI_TOO_LONG", f"The URL has more than {LONGEST_URL} characters")
            token = self._world.tokens.get(request.bearer or "")
            if token is None:
                raise unauthenticated()
            for_data = asked.kind not in ("whoami", "bases", "tables")
            self._gate.admit(self._world.clock.now(), user_id=token.user_id, base_id=asked.base, for_data=for_data)
            if asked.kind == "unknown":
                raise Refusal(404, "NOT_FOUND", shape="word")
            if asked.kind in _SCOPES and _SCOPES[asked.kind] not in token.scopes:
                raise lacking_scope()
            return self._answers[asked.kind](asked, token, request)

    def _bases(self, asked: Meaning, token: Token, request: Request) -> object:
        shown = [base for base in self._world.bases.values() if base.id in token.bases]
        offset = dict(request.query).get("offset", "")
        start = next((number for number, base in enumerate(shown) if offset == f"itr{base.id[3:]}/{base.id}"), 0)
        end = start + self._bases_per_page
        rest = {"offset": f"itr{shown[end].id[3:]}/{shown[end].id}"} if end < len(shown) else {}
        return {"bases": [base_row(base) for base in shown[start:end]], **rest}

    def _tables(self, asked: Meaning, token: Token, request: Request) -> object:
        return {"tables": [table_schema(table) for table in self._base(asked, token).tables.values()]}

    def _records(self, asked: Meaning, token: Token, request: Request) -> object:
        table = self._table(asked, token)
        body = body_of_query(request.query) if request.method == "GET" else self._list_body(request)
        return list_page(self._world, self._iterators, table, body)

    def _list_body(self, request: Request) -> Mapping[str, Any]:
        beside = dict(request.query)
        if beside.keys() - {"timeZone", "userLocale"}:
            raise invalid("listRecords takes its parameters in the body")
        return {**_json(request), **beside}

    def _record(self, asked: Meaning, token: Token, request: Request) -> object:
        table = self._table(asked, token)
        if not re.fullmatch(r"rec\w{14}", asked.item or "", re.ASCII):
            raise Refusal(404, "MODEL_ID_NOT_FOUND", f"{asked.item} is no record")
        if asked.item not in table.records:
            raise Refusal(404, "NOT_FOUND", shape="word")
        by_id = dict(request.query).get("returnFieldsByFieldId") in ("true", "1")
        return shown_record(self._world, table, table.records[asked.item], Question(by_id=by_id))

    def _webhooks(self, asked: Meaning, token: Token, request: Request) -> object:
        base = self._creators_base(asked, token)
        if request.method == "GET":
            return webhooks.list_webhooks(self._world, base)
        return webhooks.create_webhook(self._world, base, _json(request))

    def _webhook(self, asked: Meaning, token: Token) -> tuple[World, Base, str]:
        return self._world, self._creators_base(asked, token), asked.item or ""

    def _creators_base(self, asked: Meaning, token: Token) -> Base:
        base = self._base(asked, token)
        if base.permission != "create":
            raise lacking_scope()
        return base

    def _base(self, asked: Meaning, token: Token) -> Base:
        if asked.base not in token.bases or asked.base not in self._world.bases:
            raise hidden()
        return self._world.bases[asked.base]

    def _table(self, asked: Meaning, token: Token) -> Table:
        table = self._base(asked, token).find_table(asked.table or "")
        if table is None:
            raise hidden()
        return table


def _json(request: Request) -> Mapping[str, Any]:
    try:
        body = orjson.loads(request.body or b"{}")
    except orjson.JSONDecodeError:
        raise Refusal(400, "BAD_REQUEST", "The request body can't be parsed as valid JSON") from None
    if not isinstance(body, dict):
        raise invalid("the body must be an object")
    return body
