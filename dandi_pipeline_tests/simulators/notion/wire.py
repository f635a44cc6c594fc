"""A server on a real socket that hands each request to a service and sends the reply as its delivery says.

Nothing here knows Notion.
"""

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
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from dandi_pipeline_tests.simulators.dandi.messages import GZIP_FROM, Reply

_SLOW_BODY_PIECES = 20


@dataclass(frozen=True)
class Request:
    """A request as it was read. `headers` have lower-case names; `target` is path and query."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def path(self) -> str:
        """The path, still percent-encoded."""
        return urlsplit(self.target).path

    def query(self, *names: str) -> list[str]:
        """Return every value of a query parameter, whichever of these names it goes by."""
        parameters = parse_qsl(urlsplit(self.target).query, keep_blank_values=True)
        return [value for name, value in parameters if name in names]


Send = Callable[[Reply, Callable[[int], None]], None]
"""Sends a reply, after having told a function how many bytes of body go out."""


class Service(Protocol):
    """What answers."""

    stopping: threading.Event
    keep_alive: bool

    def serve(self, request: Request, send: Send) -> None: ...


class WireServer(socketserver.ThreadingTCPServer):
    """Listens on 127.0.0.1; one thread for each connection."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, service: Service, port: int) -> None:
        self.service = service
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.server_address[1]}"

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
    server: WireServer

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        request = Request(self.command, self.path, headers, body)

        def send(reply: Reply, sending: Callable[[int], None]) -> None:
            self._send(reply, request, sending)

        self.server.service.serve(request, send)

    def do_POST(self) -> None:
        self.do_GET()

    def do_PATCH(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: the service remembers what it wants to."""

    def _send(self, reply: Reply, request: Request, sending: Callable[[int], None]) -> None:
        self.server.service.stopping.wait(reply.delivery.wait)
        if reply.delivery.reset:
            sending(0)
            self._reset()
            return
        body, encoding = _encoded(reply, request)
        sent = body if reply.delivery.cut_at is None else body[: int(len(body) * reply.delivery.cut_at)]
        self.close_connection = not self.server.service.keep_alive or sent is not body
        sending(len(sent))
        self.connection.sendall(self._head(reply, len(body), encoding))
        self._send_body(sent, reply.delivery.body_seconds)

    def _head(self, reply: Reply, length: int, encoding: str | None) -> bytes:
        headers = {
            "Date": formatdate(usegmt=True),
            "Connection": "close" if self.close_connection else "keep-alive",
            "Content-Type": reply.content_type,
            "Content-Length": str(length),
            **({"Content-Encoding": encoding} if encoding else {}),
            **reply.headers,
        }
        phrase = http.client.responses.get(reply.status, "Overloaded")
        lines = [f"HTTP/1.1 {reply.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _send_body(self, body: bytes, seconds: float) -> None:
        size = len(body) // _SLOW_BODY_PIECES + 1 if seconds else len(body) or 1
        for start in range(0, len(body), size):
            self.server.service.stopping.wait(seconds / _SLOW_BODY_PIECES)
            self.connection.sendall(body[start : start + size])

    def _reset(self) -> None:
        """Close so that the client is sent a reset rather than an end: linger for no time at all."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())


def _encoded(reply: Reply, request: Request) -> tuple[bytes, str | None]:
    """Compress the body if the client takes it and it is worth it."""
    if "gzip" not in request.headers.get("accept-encoding", "") or len(reply.body) < GZIP_FROM:
        return reply.body, None
    compressed = gzip.compress(reply.body, 6, mtime=0)
    if reply.delivery.gzip_cut_at is not None:
        compressed = compressed[: int(len(compressed) * reply.delivery.gzip_cut_at)]
    return compressed, "gzip"
