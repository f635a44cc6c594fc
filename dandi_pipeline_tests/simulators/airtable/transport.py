"""Sockets and HTTP: reads requests of any method and sends replies as their delivery says. It knows no platform."""

import gzip
import os
import socket
import socketserver
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from dandi_pipeline_tests.simulators.dandi.messages import GZIP_FROM, Delivery, Reply

_SLOW_BODY_PIECES = 20


@dataclass(frozen=True)
class Request:
    """A request. `target` is its path and query as sent, `headers` have lower-case names."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True)

    @property
    def bearer(self) -> str | None:
        """The token in `Authorization: Bearer …`."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme.lower() == "bearer" else None


@dataclass(frozen=True)
class Sending:
    """An answer as it goes over the wire: `body` is all of it that is sent."""

    head: bytes
    body: bytes
    delivery: Delivery

    @classmethod
    def of(cls, reply: Reply, request: Request) -> "Sending":
        """Compress the body if the client takes that and it is worth it; a faulty delivery may cut it short."""
        body, headers = reply.body, {"Content-Type": reply.content_type, **reply.headers}
        if "gzip" in request.headers.get("accept-encoding", "") and len(body) >= GZIP_FROM:
            body = gzip.compress(body, 6, mtime=0)
            headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(body))
        cut_at = reply.delivery.cut_at
        headers["Connection"] = "keep-alive" if cut_at is None else "close"
        return cls(_head(reply.status, headers), _part(body, cut_at), reply.delivery)

    @property
    def ends_connection(self) -> bool:
        return self.delivery.cut_at is not None


Respond = Callable[[Request], Sending]


class Transport:
    """Serves HTTP on the loopback interface while open; `respond` is called from many threads at once."""

    def __init__(self, respond: Respond, *, port: int = 0) -> None:
        self.stopping = threading.Event()
        self._server = _Server(respond, self.stopping, port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "Transport":
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


class _Server(socketserver.ThreadingTCPServer):
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


def _part(body: bytes, share: float | None) -> bytes:
    return body if share is None else body[: int(len(body) * share)]


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
