"""Faults that the archive can be told to have: those of any platform, its own errors, and what its pages can have."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

from dandi_pipeline_tests.simulators import faults as neutral
from dandi_pipeline_tests.simulators.faults import Effect, Fault
from dandi_pipeline_tests.simulators.messages import JSON, Reply

from .messages import Request


class Faults(neutral.Faults):
    """The faults now in force: entries of `EFFECTS` and `DETOURS`."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__([*EFFECTS, *DETOURS], seed)


def detour(request: Request, faults: list[Fault]) -> Request:
    """Return the request that is really answered in place of this one."""
    for fault in faults:
        if fault.effect in DETOURS:
            request = DETOURS[fault.effect](request)
    return request


def _status(reply: Reply, *, status: int = 503, retry_after: int | None = None, as_date: bool = False) -> Reply:
    """Answer with an error status; `retry_after` seconds are spelled as a number or as an HTTP date."""
    headers = dict(reply.headers)
    if retry_after is not None:
        until = datetime.now(timezone.utc) + timedelta(seconds=retry_after)
        headers["Retry-After"] = format_datetime(until, usegmt=True) if as_date else str(retry_after)
    body = b'{"detail":"Invalid token."}' if status == 401 else b'{"detail":"Out of order."}'
    return replace(reply, status=status, body=body, content_type=JSON, headers=headers)


def _wrong_count(reply: Reply, *, by: int = 1) -> Reply:
    page = reply.json()
    return reply.saying({**page, "count": (page["count"] or 0) + by}) if "count" in page else reply


def _foreign_next(reply: Reply, *, host: str = "http://elsewhere.invalid") -> Reply:
    page = reply.json()
    if "next" not in page:
        return reply
    path = re.sub(r"^https?://[^/]+", "", page["next"] or "/api/dandisets/?page=2")
    return reply.saying({**page, "next": f"{host}{path}"})


def _page_before(request: Request) -> Request:
    return request.asking(page=str(max(1, int(request.query.get("page", "1")) - 1)))


def _page_after(request: Request) -> Request:
    return request.asking(page=str(int(request.query.get("page", "1")) + 1))


EFFECTS: Mapping[str, Effect] = {
    **neutral.EFFECTS,
    "status": _status,
    "wrong_count": _wrong_count,
    "foreign_next": _foreign_next,
}
"""What a fault does to a reply."""

DETOURS: Mapping[str, Callable[[Request], Request]] = {
    "page_repeated": _page_before,
    "page_skipped": _page_after,
}
"""What a fault does to a request before it is answered."""
