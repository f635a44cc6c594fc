"""What an endpoint answers, and how that is to be sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

JSON = "application/json"
HTML = "text/html; charset=utf-8"
GZIP_FROM = 200
"""Shorter bodies are not compressed, nor does `Vary` then name the encoding."""


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
