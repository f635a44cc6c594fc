"""Lets another process change the account and read its counters, over the API's own socket.

| request | does |
|---|---|
| `POST /control/ops` `{"op": "edit_record", "arguments": {…}}` | one operation of `World`; answers the id it returns |
| `POST /control/clock` `{"to": instant, "advance": seconds, "hold": true}` | sets the world's clock; answers the time |
| `GET /control/requests` | the counters (see `traffic` and `Gate`) |
| `POST /control/requests/reset` | starts them anew, with them the rate limits |
| `GET /control/snapshot[?token=…]` | what a perfect mirror would hold |
| `GET /control/limits`, `POST /control/limits` `{"per_base": null, …}` | the limits; changes those given |
| `POST /control/iterators/forget` | loses every list in the making |
| `GET /control/faults` | how often faults struck |
| `POST /control/faults` `{"effect": "status", "status": 503, "times": 2, …}` | puts a fault in force |
| `POST /control/faults/clear` | takes all away |

What is refused is answered by 400 and `{"detail": …}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import orjson

from dandi_pipeline_tests.simulators.messages import Reply
from dandi_pipeline_tests.simulators.wire import Request

from .instants import spelled, understood

if TYPE_CHECKING:
    from .server import SimulatedAirtable

OPERATIONS = frozenset(
    {
        "add_token",
        "add_base",
        "revoke_base",
        "grant_base",
        "set_blank_when_never_edited",
        "add_table",
        "rename_table",
        "remove_table",
        "misfilter",
        "add_view",
        "add_field",
        "rename_field",
        "retype_field",
        "change_options",
        "remove_field",
        "add_record",
        "edit_record",
        "delete_record",
        "recompute",
        "comment",
    }
)
"""The operations of `World` that can be asked for by name."""


class Control:
    """Answers requests under `/control/`."""

    def __init__(self, airtable: SimulatedAirtable) -> None:
        self._airtable = airtable
        self._actions: Mapping[tuple[str, str], Callable[[Request, Any], object]] = {
            ("POST", "ops"): self._operate,
            ("POST", "clock"): self._set_clock,
            ("GET", "requests"): lambda request, body: self._counts(),
            ("POST", "requests/reset"): lambda request, body: self._reset(),
            ("GET", "snapshot"): lambda request, body: airtable.world.snapshot(dict(request.query).get("token")),
            ("GET", "limits"): lambda request, body: asdict(airtable.gate.limits),
            ("POST", "limits"): self._limit,
            ("POST", "iterators/forget"): lambda request, body: airtable.iterators.forget_all(),
            ("GET", "faults"): lambda request, body: {"struck": airtable.faults.struck()},
            ("POST", "faults"): lambda request, body: airtable.faults.add(**body),
            ("POST", "faults/clear"): lambda request, body: airtable.faults.clear(),
        }

    def answer(self, request: Request) -> Reply:
        """Do what is asked and answer its result as JSON."""
        action = self._actions.get((request.method, request.path.removeprefix("/control/").strip("/")))
        if action is None:
            return _reply(404, {"detail": f"no control at {request.method} {request.path}"})
        try:
            return _reply(200, action(request, orjson.loads(request.body or b"{}")))
        except (ValueError, TypeError, KeyError) as refusal:
            return _reply(400, {"detail": str(refusal)})

    def _operate(self, request: Request, body: Mapping[str, Any]) -> object:
        if body["op"] not in OPERATIONS:
            raise ValueError(f"no operation is called {body['op']!r}")
        result: object = getattr(self._airtable.world, body["op"])(**body.get("arguments", {}))
        return result

    def _set_clock(self, request: Request, body: Mapping[str, Any]) -> object:
        clock = self._airtable.world.clock
        if "to" in body:
            clock.set(understood(body["to"]))
        clock.advance(body.get("advance", 0))
        if body.get("hold"):
            clock.hold()
        return spelled(clock.now())

    def _counts(self) -> object:
        gate = self._airtable.gate
        return {
            **self._airtable.requests.counts(),
            "refused_for_rate": gate.refused_for_rate,
            "refused_for_billing": gate.refused_for_billing,
            "calls_by_month": gate.calls_by_month,
        }

    def _reset(self) -> None:
        self._airtable.requests.reset()
        self._airtable.gate.reset()

    def _limit(self, request: Request, body: Mapping[str, Any]) -> object:
        self._airtable.gate.limits = replace(self._airtable.gate.limits, **body)
        return asdict(self._airtable.gate.limits)


def _reply(status: int, value: object) -> Reply:
    return Reply(status, orjson.dumps(value))
