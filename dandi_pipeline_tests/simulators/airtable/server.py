"""Airtable on a real socket: `SimulatedAirtable` serves a world, limits and counts what it is asked, and can fail."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from email.utils import format_datetime

import orjson

from dandi_pipeline_tests.simulators.faults import spoil
from dandi_pipeline_tests.simulators.messages import Reply
from dandi_pipeline_tests.simulators.traffic import Traffic
from dandi_pipeline_tests.simulators.wire import Request, Sending, Served

from .api import BASES_PER_PAGE, KINDS, Api, Meaning, meaning
from .control import Control
from .faults import EFFECTS, Faults
from .generated import generated_world
from .iterators import TIME_TO_LIVE, Iterators
from .limits import Gate, Limits
from .refusals import Refusal
from .world import TOKEN, World

BeforeResponse = Callable[[str, Mapping[str, str]], None]


class SimulatedAirtable(Served):
    """A served account; a context manager that serves while it is open.

    `world` may be changed at any time, `gate.limits` replaced. `before_response(kind, query)` is called before
    each answer is computed, so that a test can change the world between two pages of a list.
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        port: int = 0,
        limits: Limits | None = None,
        iterator_life: timedelta = TIME_TO_LIVE,
        bases_per_page: int = BASES_PER_PAGE,
        seed: int = 0,
    ) -> None:
        super().__init__(port=port)
        self.world = world or generated_world(seed=seed)
        self.token = TOKEN
        self.requests = Traffic(KINDS)
        self.faults = Faults(seed)
        self.gate = Gate(limits or Limits())
        self.iterators = Iterators(self.world.clock, iterator_life)
        self.before_response: BeforeResponse | None = None
        self._api = Api(self.world, self.gate, self.iterators, bases_per_page=bases_per_page)
        self._control = Control(self)

    @property
    def api_url(self) -> str:
        """Where the API is, without a slash at the end."""
        return f"{self.url}/v0"

    @property
    def control_url(self) -> str:
        """Where other processes change the world and read the counters (see `control`)."""
        return f"{self.url}/control"

    def respond(self, request: Request) -> Sending:
        """Answer a request; those under `/control/` are neither counted nor ever spoilt."""
        if request.path.startswith("/control/"):
            return Sending.of(self._control.answer(request), request)
        asked = meaning(request.method, request.path)
        with self.requests.serving(asked.kind):
            if self.before_response:
                self.before_response(asked.kind, dict(request.query))
            faults = self.faults.hitting(asked.kind, request.target)
            sending = Sending.of(self._dated(spoil(self._answer(asked, request), faults, EFFECTS)), request)
            self.requests.sent(asked.kind, request.target, sending)
        return sending

    def _answer(self, asked: Meaning, request: Request) -> Reply:
        try:
            url = self.url + request.target
            return Reply(200, orjson.dumps(self._api.answer(asked, request, url)))
        except Refusal as refusal:
            return refusal.reply

    def _dated(self, reply: Reply) -> Reply:
        date = format_datetime(self.world.clock.now(), usegmt=True)
        return Reply(reply.status, reply.body, reply.content_type, {"Date": date, **reply.headers}, reply.delivery)
