"""The workspace on a real socket: `SimulatedNotion` serves a world, counts what it is asked, and can fail."""

from collections.abc import Callable, Mapping
from email.utils import format_datetime

import orjson

from dandi_pipeline_tests.simulators.faults import Faults, spoil
from dandi_pipeline_tests.simulators.messages import Reply
from dandi_pipeline_tests.simulators.traffic import Traffic
from dandi_pipeline_tests.simulators.wire import Request, Sending, Served

from .api import KINDS, PREFIX, Api, find_route, new_request_id
from .control import CONTROL, Control
from .errors import ApiError
from .faults import EFFECTS
from .generated import generated_world
from .limits import Limiter, Limits
from .paging import Behaviour
from .world import TOKEN, World

BeforeResponse = Callable[[str, Mapping[str, str]], None]

_JSON = "application/json; charset=utf-8"


class SimulatedNotion(Served):
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
        seed: int = 0,
    ) -> None:
        super().__init__(port=port)
        self.world = world or generated_world(seed=seed)
        self.token = TOKEN
        self.behaviour = behaviour or Behaviour()
        self.limiter = Limiter(limits or Limits())
        self.faults = Faults(EFFECTS, seed)
        self.requests = Traffic((*KINDS, "unknown"))
        self.before_response: BeforeResponse | None = None
        self._api = Api(self.world, self.limiter, self.behaviour, seed)
        self._control = Control(self)

    @property
    def api_url(self) -> str:
        """What stands for `https://api.notion.com/v1`."""
        return self.url + PREFIX

    def expire_cursors(self) -> None:
        """Let every cursor given so far be invalid."""
        with self.world.lock:
            self._api.pager.expire_cursors()

    def respond(self, request: Request) -> Sending:
        """Answer a request; those under `/control/` are neither counted nor ever spoilt."""
        if request.path.startswith(CONTROL):
            return Sending.of(self._control.answer(request), request)
        route, captured = find_route(request)
        kind = route.kind if route else "unknown"
        with self.requests.serving(kind):
            faults = self.faults.hitting(kind, request.target)
            if self.before_response:
                self.before_response(kind, captured)
            sending = Sending.of(spoil(self._answer(request), faults, EFFECTS), request)
            self.requests.sent(kind, request.target, sending)
        return sending

    def _answer(self, request: Request) -> Reply:
        request_id = new_request_id()
        status, more = 200, dict[str, str]()
        try:
            # Every answer carries one, single objects too: ramnes/notion-sdk-py, tests/cassettes/test_data_sources_
            # retrieve.yaml, test_databases_retrieve.yaml, test_pages_retrieve.yaml (July 2026).
            body = {**self._api.answer(request), "request_id": request_id}
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
