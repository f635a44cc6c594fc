"""Lets another process change the workspace and read its counters, over the workspace's own socket.

| request | does |
|---|---|
| `POST /control/ops` `{"op": "edit_page", "arguments": {…}}` | one operation of `World`; answers what it returns |
| `POST /control/clock` `{"set": instant}` or `{"advance": seconds}` | sets the clock, or moves it ahead |
| `GET /control/requests` | the counters, `rate_limited` (429s sent) among them |
| `POST /control/requests/reset` | starts them anew |
| `GET /control/snapshot[?token=…&version=…]` | what a perfect mirror would hold |
| `GET /control/faults` | how often faults struck |
| `POST /control/faults` `{"effect": "status", "status": 503, "times": 2, …}` | puts a fault in force |
| `POST /control/faults/clear` | takes all away |
| `POST /control/limits` `{"requests": 180, "window": 60, …}` | sets the limits (see `Limits`), with fresh windows |
| `POST /control/blocked` `{"token": …, "blocked": true}` | blocks a connection, or lets it in again |
| `POST /control/behaviour` `{"short_pages": 0.3, …}` | changes the behaviour (see `Behaviour`) |
| `POST /control/cursors/expire` | makes every cursor given so far invalid |

What is refused is answered by 400 and `{"detail": …}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from dandi_pipeline_tests.simulators.messages import Reply
from dandi_pipeline_tests.simulators.wire import Request

from .records import Connection, Database, DataSource, Page, Property, User
from .versions import LATEST
from .views import Views, shown_id
from .world import OPERATIONS, TOKEN

if TYPE_CHECKING:
    from .server import SimulatedNotion

CONTROL = "/control/"


class Control:
    """Answers requests under `/control/`."""

    def __init__(self, notion: SimulatedNotion) -> None:
        self._notion = notion
        self._actions: Mapping[tuple[str, str], Callable[[Request, Any], object]] = {
            ("POST", "ops"): self._operate,
            ("POST", "clock"): self._set_clock,
            ("GET", "requests"): lambda request, body: notion.requests.counts(),
            ("POST", "requests/reset"): lambda request, body: notion.requests.reset(),
            ("GET", "snapshot"): self._snapshot,
            ("GET", "faults"): lambda request, body: {"struck": notion.faults.struck()},
            ("POST", "faults"): lambda request, body: notion.faults.add(**body),
            ("POST", "faults/clear"): lambda request, body: notion.faults.clear(),
            ("POST", "limits"): lambda request, body: notion.limiter.set(replace(notion.limiter.limits, **body)),
            ("POST", "blocked"): self._block,
            ("POST", "behaviour"): self._behave,
            ("POST", "cursors/expire"): lambda request, body: notion.expire_cursors(),
        }

    def answer(self, request: Request) -> Reply:
        name = request.path.removeprefix(CONTROL).strip("/")
        action = self._actions.get((request.method, name))
        if action is None:
            return Reply(404, orjson.dumps({"detail": f"no control at {request.method} {request.path}"}))
        try:
            result = action(request, orjson.loads(request.body or b"{}"))
        except (ValueError, TypeError, KeyError) as refusal:
            return Reply(400, orjson.dumps({"detail": str(refusal)}))
        return Reply(200, orjson.dumps(result))

    def _operate(self, request: Request, body: Mapping[str, Any]) -> object:
        if body["op"] not in OPERATIONS:
            raise ValueError(f"no operation is called {body['op']!r}")
        return self._shown(getattr(self._notion.world, body["op"])(**body.get("arguments", {})))

    def _shown(self, result: object) -> object:
        """Return what an operation returned as the API would show it."""
        world = self._notion.world
        views = Views(world, world.connections[TOKEN], LATEST)
        with world.lock:
            if isinstance(result, Page | DataSource):
                return views.row(result)
            if isinstance(result, Database):
                return views.database(result)
            if isinstance(result, User):
                return views.user(result)
            if isinstance(result, Property):
                return {"id": shown_id(result), "name": result.name, "type": result.type}
            return {"token": result.token} if isinstance(result, Connection) else result

    def _set_clock(self, request: Request, body: Mapping[str, Any]) -> None:
        clock = self._notion.world.clock
        if "set" in body:
            clock.set(datetime.fromisoformat(body["set"].replace("Z", "+00:00")))
        clock.advance(body.get("advance", 0))

    def _snapshot(self, request: Request, body: object) -> object:
        token, version = request.values("token"), request.values("version")
        return self._notion.world.snapshot((token or [TOKEN])[-1], version=(version or [LATEST])[-1])

    def _block(self, request: Request, body: Mapping[str, Any]) -> None:
        limiter = self._notion.limiter
        change = limiter.block if body["blocked"] else limiter.unblock
        change(body.get("token", TOKEN))

    def _behave(self, request: Request, body: Mapping[str, Any]) -> None:
        changed = replace(self._notion.behaviour, **body)
        vars(self._notion.behaviour).update(vars(changed))
