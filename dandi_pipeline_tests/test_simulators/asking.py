"""Asks a simulated archive over its socket, with nothing between the test and the bytes."""

import gzip
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any

import orjson

from dandi_pipeline_tests.simulators.dandi import SimulatedArchive


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    raw: bytes = field(repr=False)

    @property
    def body(self) -> bytes:
        return gzip.decompress(self.raw) if self.headers.get("Content-Encoding") == "gzip" else self.raw

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


def ask(
    archive: SimulatedArchive,
    path: str,
    *,
    token: str | None = None,
    method: str = "GET",
    body: object = None,
    timeout: float = 30,
    **headers: str,
) -> Answer:
    """Send one request; header names are given with underscores."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        sent["Authorization"] = f"token {token}"
    connection = HTTPConnection(archive.url.removeprefix("http://"), timeout=timeout)
    try:
        connection.request(method, path, orjson.dumps(body) if body is not None else None, sent)
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def results(archive: SimulatedArchive, path: str, token: str | None = None) -> list[dict[str, Any]]:
    """Walk a listing to its end, following `next`."""
    rows: list[dict[str, Any]] = []
    following: str | None = path
    while following:
        page = ask(archive, following, token=token).json
        rows += page["results"]
        following = page["next"] and page["next"].removeprefix(archive.url)
    return rows
