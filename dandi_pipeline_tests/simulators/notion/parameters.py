"""Reads what a request asks for from its path, query and JSON body, and refuses what the API refuses."""

import re
import uuid
from collections.abc import Collection
from typing import Any

import orjson

from dandi_pipeline_tests.simulators.wire import Request

from .errors import ApiError, invalid
from .paging import LARGEST

_UUID = re.compile(r"[0-9a-f]{32}")


def identifier(text: str, noun: str) -> str:
    """Return an id as the API spells it, dashed; dashes may be missing from what is given."""
    bare = text.lower().replace("-", "")
    if not _UUID.fullmatch(bare):
        raise invalid(f"path failed validation: path.{noun}_id should be a valid uuid, instead was `{text!r}`.")
    return str(uuid.UUID(bare))


def json_body(request: Request, allowed: Collection[str]) -> dict[str, Any]:
    """Return the body of a POST, which is an object of the allowed keys; none at all is an empty one."""
    try:
        body = orjson.loads(request.body or b"{}")
    except orjson.JSONDecodeError:
        raise ApiError(400, "Error parsing JSON body.", code="invalid_json") from None
    if not isinstance(body, dict):
        raise invalid("body failed validation: body should be an object.")
    for name in body.keys() - set(allowed):
        raise invalid(f"body failed validation: body.{name} should be not present, instead was `{body[name]}`.")
    return body


def page_size(value: Any, where: str) -> int:
    """Return how many rows a page may hold: what is asked for, 100 if nothing is."""
    if value is None:
        return LARGEST
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(f"{where} failed validation: {where}.page_size should be a number, instead was `{value!r}`.")
    if not 1 <= value <= LARGEST:
        raise invalid(f"{where} failed validation: {where}.page_size should be ≤ `{LARGEST}`, instead was `{value}`.")
    return value


def page_in_query(request: Request) -> tuple[str | None, int]:
    """Return the cursor and page size of a GET, which stand in its query."""
    sizes, cursors = request.values("page_size"), request.values("start_cursor")
    size: Any = sizes[-1] if sizes else None
    cursor = cursors[-1] if cursors else None
    return cursor, page_size(int(size) if size and size.isdecimal() else size, "query")


def page_in_body(body: dict[str, Any]) -> tuple[str | None, int]:
    """Return the cursor and page size of a POST, which stand in its body."""
    return body.get("start_cursor"), page_size(body.get("page_size"), "body")
