"""The archive's two ways of paging: one that counts always, and a lazy one that counts on page 1 only."""

from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import urlencode

import orjson

from dandi_pipeline_tests.simulators.messages import Reply

from .messages import Rejection, Request

PAGE_SIZE, LARGEST_PAGE_SIZE = 100, 1000

Row = TypeVar("Row")


def counted_page(request: Request, rows: Sequence[Row], serialise: Callable[[Row], bytes]) -> Reply:
    """Answer one page with `count`; a page past the end is 404."""
    page, size = _page_number(request), page_size(request)
    if page > max(1, -(-len(rows) // size)):
        raise _invalid_page()
    return _page(request, rows, serialise, page, size, len(rows))


def lazy_page(request: Request, rows: Sequence[Row], serialise: Callable[[Row], bytes]) -> Reply:
    """Answer one page, with `count` on page 1 and null later; a page past the end is empty."""
    page, size = _page_number(request), page_size(request)
    return _page(request, rows, serialise, page, size, len(rows) if page == 1 else None)


def page_size(request: Request) -> int:
    """How many rows a page has: what is asked, at most 1000, and 100 if what is asked is no positive number."""
    asked = request.query.get("page_size", "")
    return min(int(asked), LARGEST_PAGE_SIZE) if asked.isdecimal() and int(asked) else PAGE_SIZE


def _page_number(request: Request) -> int:
    asked = request.query.get("page", "1")
    if not asked.isdecimal() or not int(asked):
        raise _invalid_page()
    return int(asked)


def _page(
    request: Request,
    rows: Sequence[Row],
    serialise: Callable[[Row], bytes],
    page: int,
    size: int,
    count: int | None,
) -> Reply:
    start, end = (page - 1) * size, page * size
    head = {
        "count": count,
        "next": _link(request, page + 1) if end < len(rows) else None,
        "previous": _link(request, page - 1) if page > 1 else None,
    }
    shown = rows[start:end]
    body = orjson.dumps(head)[:-1] + b',"results":[' + b",".join(map(serialise, shown)) + b"]}"
    return Reply(200, body, rows=len(shown))


def _link(request: Request, page: int) -> str:
    """The absolute address of another page: parameters sorted, and no `page` for the first."""
    query = {name: value for name, value in request.query.items() if name != "page"}
    if page > 1:
        query["page"] = str(page)
    question = f"?{urlencode(sorted(query.items()))}" if query else ""
    return f"http://{request.headers.get('host', '')}{request.path}{question}"


def _invalid_page() -> Rejection:
    return Rejection(404, {"detail": "Invalid page."})
