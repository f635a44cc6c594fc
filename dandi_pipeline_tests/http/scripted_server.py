"""A server on a real socket that answers exactly what a test wrote down, down to resets and half bodies."""

import gzip
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Request:
    """One request as it arrived; `connection` numbers the connections in the order they were accepted."""

    connection: int
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Step = Callable[[socket.socket], bool]
"""Answers one request on the connection; returns whether the connection stays open."""


def raw(data: bytes, *, keep: bool = True) -> Step:
    """Send these bytes; close the connection unless `keep`."""

    def step(connection: socket.socket) -> bool:
        connection.sendall(data)
        return keep

    return step


def head(status: int, headers: dict[str, str]) -> bytes:
    """The first lines of an answer."""
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def answer(
    payload: Any = None, *, status: int = 200, body: bytes | None = None, zipped: bool = False, **headers: str
) -> Step:
    """A complete answer of JSON, or of `body` verbatim; underscores in header names stand for hyphens."""
    content = json.dumps(payload).encode() if body is None else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if zipped:
        content = gzip.compress(content)
        named["Content-Encoding"] = "gzip"
    return raw(head(status, {"Content-Length": str(len(content)), **named}) + content)


def reset(connection: socket.socket) -> bool:
    """Reset the connection without a word."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def dripping(data: bytes, *, every: float, until: threading.Event) -> Step:
    """Send byte after byte."""

    def step(connection: socket.socket) -> bool:
        for position in range(len(data)):
            connection.sendall(data[position : position + 1])
            if until.wait(every):
                break
        return False

    return step


def silent(until: threading.Event) -> Step:
    """Say nothing until the test is over."""

    def step(connection: socket.socket) -> bool:
        until.wait(10)
        return False

    return step


@dataclass
class ScriptedServer:
    """Answers each request with the next step, from any connection; the last step serves all that follow.

    With a `tls` context it speaks HTTPS, as "localhost".
    """

    steps: Sequence[Step]
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    finished: threading.Event = field(default_factory=threading.Event)
    most_in_flight: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._in_flight = 0
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []

    @property
    def url(self) -> str:
        host, port = self._listener.getsockname()
        return f"https://localhost:{port}" if self.tls else f"http://{host}:{port}"

    @property
    def targets(self) -> list[str]:
        return [request.target for request in self.requests]

    def __enter__(self) -> "ScriptedServer":
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finished.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                _shut(connection)
        for thread in self._threads:
            thread.join(5)

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        number = 0
        while not self.finished.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.append(connection)
            self._start(self._serve, connection, number)
            number += 1

    def _serve(self, connection: socket.socket, number: int) -> None:
        if self.tls is not None:
            try:
                connection = self.tls.wrap_socket(connection, server_side=True)
            except OSError:
                return  # who does not trust the certificate says so by hanging up
            with self._lock:
                self._open.append(connection)
        with connection, connection.makefile("rb") as stream:
            try:
                while request := _read_request(stream, number):
                    if not self._step_for(request)(connection):
                        return
                    with self._lock:
                        self._in_flight -= 1
            except OSError:
                return

    def _step_for(self, request: Request) -> Step:
        with self._lock:
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
            step = self.steps[min(len(self.requests), len(self.steps) - 1)]
            self.requests.append(request)
        return step


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _read_request(stream: Any, number: int) -> Request | None:
    line = stream.readline().decode().split()
    if not line:
        return None
    headers = {}
    while (text := stream.readline().decode().strip()) != "":
        name, _, value = text.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", 0)))
    return Request(number, line[0], line[1], headers, body)
