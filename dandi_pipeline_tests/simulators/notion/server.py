"""The workspace on a real socket: `SimulatedNotion` serves a world, counts what it is asked, and can fail."""

import threading
from collections.abc import Callable, Mapping
from email.utils import format_datetime
from types import TracebackType
from typing import Any

import orjson

from dandi_pipeline_tests.simulators.dandi.messages import Reply
from dandi_pipeline_tests.simulators.dandi.traffic import Traffic

from .api import KINDS, PREFIX, Api, find_route, new_request_id
from .control import CONTROL, Control
from .errors import ApiError
from .faults import NotionFaults, spoil
from .generated import generated_world
from .limits import Limiter, Limits
from .paging import Behaviour
from .wire import Request, Send, WireServer
from .world import TOKEN, World

BeforeResponse = Callable[[str, Mapping[str, str]], None]

_JSON = "application/json; charset=utf-8"


class Counters(Traffic):
    """What the service was asked, by its own kinds of requests."""

    def counts(self) -> dict[str, Any]:
        """Return all counts as plain data; `rate_limited` is how many 429s were sent."""
        counts = super().counts()
        with self._lock:
            by_kind = {kind: self.by_kind[kind] for kind in (*KINDS, "unknown")}
        return {**counts, "by_kind": by_kind, "rate_limited": counts["by_status"].get("429", 0)}


class SimulatedNotion:
    """A served workspace; a context manager that serves while it is open.

    `world`, `behaviour`, `limiter` and `faults` may be changed at any time. `before_response(kind, params)` is called
    before each answer is computed, with what the path names, so that a test can change the world between two pages.
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        port: int = 0,
        limits: Limits | None = None,
        behaviour: Behaviour | None = None,
        keep_alive: bool = True,
        seed: int = 0,
    ) -> None:
        self.world = world or generated_world(seed=seed)
        self.token = TOKEN
        self.behaviour = behaviour or Behaviour()
        self.limiter = Limiter(limits or Limits())
        self.faults = NotionFaults(seed)
        self.requests = Counters()
        self.before_response: BeforeResponse | None = None
        self.keep_alive = keep_alive
        self.stopping = threading.Event()
        self._api = Api(self.world, self.limiter, self.behaviour, seed)
        self._control = Control(self)
        self._server = WireServer(self, port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> "SimulatedNotion":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return self._server.url

    @property
    def api_url(self) -> str:
        """What stands for `https://api.notion.com/v1`."""
        return self.url + PREFIX

    def expire_cursors(self) -> None:
        """Let every cursor given so far be invalid."""
        with self.world.lock:
            self._api.pager.expire_cursors()

    def serve(self, request: Request, send: Send) -> None:
        """Answer a request; those under `/control/` are neither counted nor ever spoilt."""
        if request.path.startswith(CONTROL):
            send(self._control.answer(request), lambda size: None)
            return
        route, captured = find_route(request)
        kind = route.kind if route else "unknown"
        with self.requests.serving(kind):
            faults = self.faults.hitting(kind, request.target)
            if self.before_response:
                self.before_response(kind, captured)
            reply = spoil(self._answer(request), faults)
            status = 0 if reply.delivery.reset else reply.status
            send(reply, lambda size: self.requests.answered(kind, request.target, status, size))

    def _answer(self, request: Request) -> Reply:
        request_id = new_request_id()
        status, more = 200, dict[str, str]()
        try:
            body = self._api.answer(request)
            if body["object"] == "list":
                body["request_id"] = request_id
        except ApiError as error:
            status, body, more = error.status, error.body(request_id), error.headers
        headers = {
            "Server": "cloudflare",
            "Date": format_datetime(self.world.clock.now(), usegmt=True),
            "x-notion-request-id": request_id,
            "cf-ray": f"{request_id[:8]}-EWR",
            **more,
        }
        return Reply(status, orjson.dumps(body), _JSON, headers)
