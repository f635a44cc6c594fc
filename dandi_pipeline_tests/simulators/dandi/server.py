"""The archive on a real socket: `SimulatedArchive` serves a world, counts what it is asked, and can fail.

Answers close their connection, as the real server's do, unless `keep_alive` is set.
"""

import gzip
import os
import socket
import socketserver
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any

from .api import Api, meaning
from .control import Control
from .faults import Fault, Faults, detour, spoil
from .generated import generated_world
from .manifests import Manifests
from .messages import GZIP_FROM, Reply, Request
from .traffic import Traffic
from .world import World

BeforeResponse = Callable[[str, Mapping[str, str]], None]

_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_SLOW_BODY_PIECES = 20


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


class SimulatedArchive:
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
        self.world = world or generated_world(seed=seed)
        self.requests = Traffic()
        self.faults = Faults(seed)
        self.manifests = Manifests(self.world)
        self.before_response: BeforeResponse | None = None
        self.keep_alive = keep_alive
        self.stopping = threading.Event()
        self._api = Api(self.world)
        self._control = Control(self)
        self._costs = costs or Costs()
        self._workers = threading.BoundedSemaphore(costs.workers) if costs else nullcontext()
        self._server = _Server(self, port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> "SimulatedArchive":
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
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def api_url(self) -> str:
        """What a client takes for `DANDI_API_URL`."""
        return f"{self.url}/api"

    @property
    def bucket_url(self) -> str:
        """Where the bulk copies lie: `{bucket_url}/dandisets/{id}/{version}/assets.jsonld`."""
        return f"{self.url}/bucket"

    def control(self, method: str, request: Request, body: bytes) -> Reply:
        """Answer a request under `/control/`, which is neither counted nor ever spoilt."""
        return self._control.answer(method, request, body)

    def answer(self, kind: str, params: Mapping[str, str], request: Request, faults: list[Fault]) -> Reply:
        """Answer a request at its cost, with the faults that hit it."""
        if self.before_response:
            self.before_response(kind, params)
        with self._workers:
            asked = detour(request, faults)
            reply = self.manifests.answer(asked) if kind == "manifest" else self._api.answer(asked)
            self.stopping.wait(self._costs.of(kind, reply.rows))
        return spoil(reply, faults)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, archive: SimulatedArchive, port: int) -> None:
        self.archive = archive
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """End every connection, those that clients keep open for later among them."""
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # its client was faster

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up; anything else is a mistake of the simulator and is shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        request = self._request()
        if request.path.startswith("/control/"):
            self._send(self.server.archive.control("GET", request, b""), request)
        else:
            self._serve(request)

    def do_POST(self) -> None:
        request = self._request()
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._send(self.server.archive.control("POST", request, body), request)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: `Traffic` remembers every request."""

    def _request(self) -> Request:
        return Request.parse(self.path, {name.lower(): value for name, value in self.headers.items()})

    def _serve(self, request: Request) -> None:
        archive = self.server.archive
        kind, params = meaning(request)
        if request.path.startswith("/bucket/"):
            kind = "manifest"
        with archive.requests.serving(kind):
            faults = archive.faults.hitting(kind, self.path)
            reply = archive.answer(kind, params, request, faults)
            archive.stopping.wait(reply.delivery.wait)
            message = _Message.of(reply, request)
            status = 0 if reply.delivery.reset else reply.status
            archive.requests.answered(kind, self.path, status, len(message.sent))
        self._deliver(reply, message)

    def _send(self, reply: Reply, request: Request) -> None:
        self._deliver(reply, _Message.of(reply, request))

    def _deliver(self, reply: Reply, message: "_Message") -> None:
        """Put an answer on the wire as its delivery says."""
        if reply.delivery.reset:
            self._reset()
            return
        self.close_connection = not self.server.archive.keep_alive or len(message.sent) < message.length
        head = self._head(reply, message)
        if reply.delivery.body_seconds:
            self.connection.sendall(head)
            self._send_slowly(message.sent, reply.delivery.body_seconds)
        else:
            self.connection.sendall(head + message.sent)

    def _head(self, reply: Reply, message: "_Message") -> bytes:
        headers = {
            "Server": "gunicorn",
            "Date": formatdate(usegmt=True),
            "Connection": "close" if self.close_connection else "keep-alive",
            "Content-Type": reply.content_type,
            **reply.headers,
            **_SECURITY_HEADERS,
        }
        if "Transfer-Encoding" not in headers:
            headers["Content-Length"] = str(message.length)
        if message.encoding:
            headers["Content-Encoding"] = message.encoding
        lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _send_slowly(self, body: bytes, seconds: float) -> None:
        size = len(body) // _SLOW_BODY_PIECES + 1
        for start in range(0, len(body), size):
            self.server.archive.stopping.wait(seconds / _SLOW_BODY_PIECES)
            self.connection.sendall(body[start : start + size])

    def _reset(self) -> None:
        """Close so that the client is sent a reset rather than an end: linger for no time at all."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())


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
            body = body[: _share(body, delivery.gzip_cut_at)]
        return cls(len(body), body[: _share(body, delivery.cut_at)], encoding)


def _is_compressed(reply: Reply, request: Request) -> bool:
    """Whether the client takes gzip and it is worth it; what has an ETag is a stored file and never is."""
    return request.accepts_gzip and len(reply.body) >= GZIP_FROM and "ETag" not in reply.headers


def _share(body: bytes, share: float | None) -> int:
    return len(body) if share is None else int(len(body) * share)
