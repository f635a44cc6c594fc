"""Airtable on a real socket: `SimulatedAirtable` serves a world, limits and counts what it is asked, and can fail."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from email.utils import format_datetime
from types import TracebackType

import orjson

from dandi_pipeline_tests.simulators.dandi.messages import Reply

from .api import BASES_PER_PAGE, Api, Meaning, meaning
from .control import Control
from .faults import Faults, spoil
from .generated import generated_world
from .iterators import TIME_TO_LIVE, Iterators
from .limits import Gate, Limits
from .refusals import Refusal
from .traffic import Traffic
from .transport import Request, Sending, Transport
from .world import TOKEN, World

BeforeResponse = Callable[[str, Mapping[str, str]], None]


class SimulatedAirtable:
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
        self.world = world or generated_world(seed=seed)
        self.token = TOKEN
        self.requests = Traffic()
        self.faults = Faults(seed)
        self.gate = Gate(limits or Limits())
        self.iterators = Iterators(self.world.clock, iterator_life)
        self.before_response: BeforeResponse | None = None
        self._api = Api(self.world, self.gate, self.iterators, bases_per_page=bases_per_page)
        self._control = Control(self)
        self._transport = Transport(self._respond, port=port)

    @property
    def api_url(self) -> str:
        """Where the API is, without a slash at the end."""
        return f"{self._transport.origin}/v0"

    @property
    def control_url(self) -> str:
        """Where other processes change the world and read the counters (see `control`)."""
        return f"{self._transport.origin}/control"

    def __enter__(self) -> "SimulatedAirtable":
        self._transport.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._transport.__exit__(kind, error, traceback)

    def _respond(self, request: Request) -> Sending:
        if request.path.startswith("/control/"):
            return Sending.of(self._control.answer(request), request)
        asked = meaning(request.method, request.path)
        with self.requests.serving(asked.kind):
            if self.before_response:
                self.before_response(asked.kind, dict(request.query))
            faults = self.faults.hitting(asked.kind, request.target)
            reply = self._dated(spoil(self._answer(asked, request), faults))
            sending = Sending.of(reply, request)
            status = 0 if reply.delivery.reset else reply.status
            self.requests.answered(asked.kind, request.target, status, len(sending.body))
        return sending

    def _answer(self, asked: Meaning, request: Request) -> Reply:
        try:
            url = self._transport.origin + request.target
            return Reply(200, orjson.dumps(self._api.answer(asked, request, url)))
        except Refusal as refusal:
            return refusal.reply

    def _dated(self, reply: Reply) -> Reply:
        date = format_datetime(self.world.clock.now(), usegmt=True)
        return Reply(reply.status, reply.body, reply.content_type, {"Date": date, **reply.headers}, reply.delivery)
