"""Faults that the API can be told to have; which requests chance picks is the same for the same seed.

Requests are matched by kind (see `api`), by a pattern for path and query, and so on as `Fault` says. The effects:

| effect | options |
|---|---|
| `status` | `status` (503), `type`, `message`, `shape` (see `refusals`), `retry_after` seconds |
| `slow_start`, `slow_body` | `seconds` |
| `cut_body` | `at`, the share of the body that is sent |
| `reset` | |
| `html` | `status` |
| `without_field`, `with_value`, `as_string` | `name`, dotted; `value` |
"""

from collections.abc import Mapping
from typing import Any

from dandi_pipeline_tests.simulators import faults as neutral
from dandi_pipeline_tests.simulators.faults import Effect
from dandi_pipeline_tests.simulators.messages import Reply

from .refusals import SHAPES, USUAL_TYPES, Refusal

_SHARED = (
    *("reset", "slow_start", "slow_body", "cut_body", "html", "without_field", "with_value", "as_string", "as_written"),
    *("odd_row", "with_header"),
)


def _status(
    reply: Reply,
    *,
    status: int = 503,
    type: str | None = None,
    message: str = "",
    shape: str = "worded",
    retry_after: int | None = None,
) -> Reply:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Refusal(status, type or USUAL_TYPES.get(status, "SERVER_ERROR"), message, shape, headers).reply


EFFECTS: Mapping[str, Effect] = {
    "status": _status,
    **{name: neutral.EFFECTS[name] for name in _SHARED},
}


class Faults(neutral.Faults):
    """The faults now in force: entries of `EFFECTS`."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(EFFECTS, seed)

    def add(self, effect: str, **details: Any) -> None:
        """Put a fault in force: what `Fault` takes, any other keyword being an option of the effect."""
        if details.get("shape", "worded") not in SHAPES:
            raise ValueError(f"no error has the shape {details['shape']!r}; there are {', '.join(SHAPES)}")
        super().add(effect, **details)
