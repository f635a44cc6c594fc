"""Faults that the service can be told to have: the sibling's, with errors as Notion words them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from dandi_pipeline_tests.simulators.dandi.faults import EFFECTS, Fault, Faults
from dandi_pipeline_tests.simulators.dandi.messages import Reply

from .errors import QUERY_GUIDANCE, ApiError
from .limits import CONNECTION

_SHARED = ("reset", "slow_start", "slow_body", "cut_body", "cut_gzip", "html", "without_field", "with_value")


class NotionFaults(Faults):
    """The faults now in force; which requests chance picks is the same for the same seed.

    `add("status", status=503, kind="query", times=2)` answers with an error; 429 and 529 take `retry_after`
    (seconds) and 429 a `reason`. The others are in `NOTION_EFFECTS` too.
    """

    def add(self, effect: str, **details: Any) -> None:
        if effect not in NOTION_EFFECTS:
            raise ValueError(f"no fault is called {effect!r}; there are {', '.join(sorted(NOTION_EFFECTS))}")
        super().add(effect, **details)


def spoil(reply: Reply, faults: list[Fault]) -> Reply:
    """Return the reply with every fault's effect on it, in the order in which they were added."""
    for fault in faults:
        reply = NOTION_EFFECTS[fault.effect](reply, **fault.options)
    return reply


def _status(
    reply: Reply,
    *,
    status: int = 503,
    retry_after: int | None = None,
    reason: str = CONNECTION,
    code: str | None = None,
) -> Reply:
    """Answer with an error; a 503 gives the guidance that queries get."""
    additional: dict[int, dict[str, Any]] = {429: {"rate_limit_reason": reason}, 503: QUERY_GUIDANCE}
    error = ApiError(status, "Out of order.", code=code, additional=additional.get(status), retry_after=retry_after)
    body = orjson.dumps(error.body(reply.headers["x-notion-request-id"]))
    return replace(reply, status=status, body=body, headers={**reply.headers, **error.headers})


NOTION_EFFECTS: Mapping[str, Callable[..., Reply]] = {
    **{name: EFFECTS[name] for name in _SHARED},
    "status": _status,
}
"""What a fault does to a reply."""
