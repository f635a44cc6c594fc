"""Sockets and HTTP: reads requests of any method and sends replies as their delivery says. It knows no platform."""

import gzip
import http.client
import os
import socket
import socketserver
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from .messages import GZIP_FROM, Delivery, Reply

_SLOW_BODY_PIECES = 20


@dataclass(frozen=True)
class Request:
    """A request as it was read. `target` is its path and query as sent, `headers` have lower-case names."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def path(self) -> str:
        """The path, still percent-encoded."""
        return urlsplit(self.target).path

    @property
    def query(self) -> list[tuple[str, str]]:
        """Names and values in the query, in their order."""
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True)

    def values(self, *names: str) -> list[str]:
        """Return every value of a query parameter, whichever of these names it goes by."""
        return [value for name, value in self.query if name in names]

    @property
    def bearer(self) -> str | None:
        """The token in `Authorization: Bearer …`."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme.lower() == "bearer" else None

    @property
    def accepts_gzip(self) -> bool:
        """Whether the body of the answer may be compressed."""
        return "gzip" in self.headers.get("accept-encoding", "")


@dataclass(frozen=True)
class Sending:
    """An answer as it goes over the wire: `body` is all of it that is sent."""

    status: int
    head: bytes
    body: bytes
    delivery: Delivery
    ends_connection: bool

    @classmethod
    def of(cls, reply: Reply, request: Request) -> "Sending":
        """Compress the body if the client takes that and it is worth it; a faulty delivery may cut it short."""
        body, headers, delivery = reply.body, {"Content-Type": reply.content_type, **reply.headers}, reply.delivery
        if request.accepts_gzip and len(body) >= GZIP_FROM:
            body = part(gzip.compress(body, 6, mtime=0), delivery.gzip_cut_at)
            headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(body))
        sent = part(body, delivery.cut_at)
        return cls.made(reply.status, headers, sent, delivery, ends_connection=sent is not body)

    @classmethod
    def made(
        cls, status: int, headers: Mapping[str, str], body: bytes, delivery: Delivery, *, ends_connection: bool
    ) -> "Sending":
        """Send a body as it is, below a status line and headers; a date is given where there is none."""
        connection = "close" if ends_connection else "keep-alive"
        named = {"Date": formatdate(usegmt=True), "Connection": connection, **headers}
        lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Overloaded')}"]
        lines += [f"{name}: {value}" for name, value in named.items()]
        return cls(status, "\r\n".join([*lines, "", ""]).encode("latin-1"), body, delivery, ends_connection)


Respond = Callable[[Request], Sending]


class Transport:
    """Serves HTTP on the loopback interface while open; `respond` is called from many threads at once."""

    def __init__(self, respond: Respond, *, port: int = 0) -> None:
        self.stopping = threading.Event()
        self._server = _Server(respond, self.stopping, port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Serve no more, and end every connection."""
        self.stopping.set()
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()
        self._thread.join()


class Served:
    """What serves while it is open; `stopping` is set when it ends, and ends what is slow on purpose."""

    def __init__(self, *, port: int) -> None:
        self._transport = Transport(self.respond, port=port)
        self.stopping = self._transport.stopping

    def respond(self, request: Request) -> Sending:
        """Answer a request."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return self._transport.origin

    def __enter__(self: "Itself") -> "Itself":
        self._transport.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._transport.stop()


Itself = TypeVar("Itself", bound=Served)


class _Server(socketserver.ThreadingTCPServer):
    """Listens on 127.0.0.1; one thread for each connection."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, respond: Respond, stopping: threading.Event, port: int) -> None:
        self.respond = respond
        self.stopping = stopping
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
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        self._send(self.server.respond(Request(self.command, self.path, headers, body)))

    def do_POST(self) -> None:
        self.do_GET()

    def do_PATCH(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: whoever answers counts."""

    def _send(self, sending: Sending) -> None:
        self.server.stopping.wait(sending.delivery.wait)
        self.close_connection = self.close_connection or sending.ends_connection
        if sending.delivery.reset:
            self._reset()
        elif sending.delivery.body_seconds:
            self._send_slowly(sending)
        else:
            self.connection.sendall(sending.head + sending.body)

    def _send_slowly(self, sending: Sending) -> None:
        self.connection.sendall(sending.head)
        size = len(sending.body) // _SLOW_BODY_PIECES + 1
        for start in range(0, len(sending.body), size):
            self.server.stopping.wait(sending.delivery.body_seconds / _SLOW_BODY_PIECES)
            self.connection.sendall(sending.body[start : start + size])

    def _reset(self) -> None:
        """Close so that the client is sent a reset rather than an end: linger for no time at all."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())


def part(body: bytes, share: float | None) -> bytes:
    """Return the first share of a body; the body itself if none is given."""
    return body if share is None else body[: int(len(body) * share)]
