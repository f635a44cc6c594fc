"""The archive on a real socket: `SimulatedArchive` serves a world, counts what it is asked, and can fail.

Answers close their connection, as the real server's do, unless `keep_alive` is set.
"""

import gzip
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

from dandi_pipeline_tests.simulators import wire
from dandi_pipeline_tests.simulators.faults import Fault, spoil
from dandi_pipeline_tests.simulators.messages import GZIP_FROM, Reply
from dandi_pipeline_tests.simulators.traffic import Traffic
from dandi_pipeline_tests.simulators.wire import Sending, Served, part

from .api import Api, meaning
from .control import Control
from .faults import EFFECTS, Faults, detour
from .generated import generated_world
from .kinds import KINDS
from .manifests import Manifests
from .messages import Request
from .world import World

BeforeResponse = Callable[[str, Mapping[str, str]], None]

_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True)
class Costs:
    """Seconds that each row of an answer occupies one of the server's workers.

    Measured on the real server with one core: `Costs(full=0.0038, bare=0.0006, single=0.03)`.
    """

    full: float = 0.0
    bare: float = 0.0
    single: float = 0.0
    listing: float = 0.0
    workers: int = 3

    def of(self, kind: str, rows: int) -> float:
        """How long an answer of this kind takes."""
        each = {
            "assets_full": self.full,
            "assets_bare": self.bare,
            "asset": self.single,
            "asset_info": self.single,
            "dandisets": self.listing,
        }
        return each.get(kind, 0.0) * rows


class SimulatedArchive(Served):
    """A served archive; a context manager that serves while it is open.

    `world` may be changed at any time. `before_response(kind, params)` is called before each answer is computed,
    with what the path names and the query, so that a test can change the world between two pages of a walk.
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        port: int = 0,
        keep_alive: bool = False,
        costs: Costs | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(port=port)
        self.world = world or generated_world(seed=seed)
        self.requests = Traffic(KINDS)
        self.faults = Faults(seed)
        self.manifests = Manifests(self.world)
        self.before_response: BeforeResponse | None = None
        self.keep_alive = keep_alive
        self._api = Api(self.world)
        self._control = Control(self)
        self._costs = costs or Costs()
        self._workers = threading.BoundedSemaphore(costs.workers) if costs else nullcontext()

    @property
    def api_url(self) -> str:
        """What a client takes for `DANDI_API_URL`."""
        return f"{self.url}/api"

    @property
    def bucket_url(self) -> str:
        """Where the bulk copies lie: `{bucket_url}/dandisets/{id}/{version}/assets.jsonld`."""
        return f"{self.url}/bucket"

    def respond(self, request: wire.Request) -> Sending:
        """Answer a request; those under `/control/` are neither counted nor ever spoilt."""
        asked = Request.parse(request.target, request.headers)
        if asked.path.startswith("/control/") or request.method != "GET":
            return self._sending(self._control.answer(request.method, asked, request.body), asked)
        kind, params = ("manifest", {}) if asked.path.startswith("/bucket/") else meaning(asked)
        with self.requests.serving(kind):
            reply = self._answer(kind, params, asked, self.faults.hitting(kind, request.target))
            self.stopping.wait(reply.delivery.wait)
            sending = self._sending(reply.delivered(wait=0.0), asked)
            self.requests.sent(kind, request.target, sending)
        return sending

    def _answer(self, kind: str, params: Mapping[str, str], request: Request, faults: list[Fault]) -> Reply:
        """Answer a request at its cost, with the faults that hit it."""
        if self.before_response:
            self.before_response(kind, params)
        with self._workers:
            asked = detour(request, faults)
            reply = self.manifests.answer(asked) if kind == "manifest" else self._api.answer(asked)
            self.stopping.wait(self._costs.of(kind, reply.rows))
        return spoil(reply, faults, EFFECTS)

    def _sending(self, reply: Reply, request: Request) -> Sending:
        message = _Message.of(reply, request)
        headers = {"Server": "gunicorn", "Content-Type": reply.content_type, **reply.headers, **_SECURITY_HEADERS}
        if "Transfer-Encoding" not in headers:
            headers["Content-Length"] = str(message.length)
        if message.encoding:
            headers["Content-Encoding"] = message.encoding
        ends = not self.keep_alive or len(message.sent) < message.length
        return Sending.made(reply.status, headers, message.sent, reply.delivery, ends_connection=ends)


@dataclass(frozen=True)
class _Message:
    """A body as it goes over the wire: the length announced, and what is really sent of it."""

    length: int
    sent: bytes
    encoding: str | None = None

    @classmethod
    def of(cls, reply: Reply, request: Request) -> "_Message":
        delivery = reply.delivery
        if delivery.reset:
            return cls(0, b"")
        if reply.headers.get("Transfer-Encoding") == "chunked":
            return cls(0, b"0\r\n\r\n")
        body, encoding = reply.body, None
        if _is_compressed(reply, request):
            body, encoding = gzip.compress(body, 6, mtime=0), "gzip"
            body = part(body, delivery.gzip_cut_at)
        return cls(len(body), part(body, delivery.cut_at), encoding)


def _is_compressed(reply: Reply, request: Request) -> bool:
    """Whether the client takes gzip and it is worth it; what has an ETag is a stored file and never is."""
    return request.accepts_gzip and len(reply.body) >= GZIP_FROM and "ETag" not in reply.headers
