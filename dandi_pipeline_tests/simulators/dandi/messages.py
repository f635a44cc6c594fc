"""What passes between the sockets and the endpoints: a request, a reply, and how that is to be sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

JSON = "application/json"
HTML = "text/html; charset=utf-8"
GZIP_FROM = 200
"""Shorter bodies are not compressed, nor does `Vary` then name the encoding."""

NOT_FOUND_PAGE = b"""
<!doctype html>
<html lang="en">
<head>
  <title>Not Found</title>
</head>
<body>
  <h1>Not Found</h1><p>The requested resource was not found on this server.</p>
</body>
</html>
"""


@dataclass(frozen=True)
class Request:
    """A GET request. `headers` have lower-case names; of a query parameter given twice, the last one counts."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @classmethod
    def parse(cls, target: str, headers: Mapping[str, str]) -> "Request":
        parts = urlsplit(target)
        return cls(parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), headers)

    def asking(self, **parameters: str) -> "Request":
        """Return the same request with other query parameters."""
        return replace(self, query={**self.query, **parameters})

    @property
    def token(self) -> str | None:
        """The token in `Authorization: token …`, whatever the case of that word."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme.lower() == "token" else None

    @property
    def accepts_gzip(self) -> bool:
        return "gzip" in self.headers.get("accept-encoding", "")


@dataclass(frozen=True)
class Delivery:
    """How a reply goes over the wire: late, slowly, in part, or not at all."""

    wait: float = 0.0
    """Seconds before the first byte."""
    body_seconds: float = 0.0
    """Seconds over which the body is spread."""
    cut_at: float | None = None
    """The share of the body after which the connection closes, short of the length announced."""
    gzip_cut_at: float | None = None
    """The share of the compressed body that is sent, with that as its length."""
    reset: bool = False
    """Reset the connection instead of answering."""


@dataclass(frozen=True)
class Reply:
    """An answer, before compression."""

    status: int
    body: bytes = field(repr=False)
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    delivery: Delivery = Delivery()
    rows: int = 1
    """How many rows the body shows, for what they cost the server."""

    def json(self) -> Any:
        return orjson.loads(self.body)

    def saying(self, value: object) -> "Reply":
        """Return the same reply with another JSON body."""
        return replace(self, body=orjson.dumps(value))

    def delivered(self, **changes: Any) -> "Reply":
        """Return the same reply, sent another way."""
        return replace(self, delivery=replace(self.delivery, **changes))


class Rejection(Exception):
    """A request that is answered by an error; `detail` is the whole JSON body."""

    def __init__(self, status: int, detail: object, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.reply = Reply(status, orjson.dumps(detail), headers=headers or {})


def not_found() -> Rejection:
    return Rejection(404, {"detail": "Not found."})
