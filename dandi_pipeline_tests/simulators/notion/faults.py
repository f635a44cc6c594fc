"""Faults that the service can be told to have: those of any platform, with errors as Notion words them.

`add("status", status=503, kind="query", times=2)` answers with an error; 429 and 529 take `retry_after` (seconds)
and 429 a `reason`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from dandi_pipeline_tests.simulators import faults as neutral
from dandi_pipeline_tests.simulators.faults import Effect
from dandi_pipeline_tests.simulators.messages import Reply

from .errors import QUERY_GUIDANCE, ApiError
from .limits import CONNECTION

_SHARED = ("reset", "slow_start", "slow_body", "cut_body", "cut_gzip", "html", "without_field", "with_value")


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


EFFECTS: Mapping[str, Effect] = {
    **{name: neutral.EFFECTS[name] for name in (*_SHARED, "as_written", "odd_row", "with_header")},
    "status": _status,
}
"""What a fault does to a reply."""
