"""What the archive is asked, and what it refuses."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlsplit

import orjson

from dandi_pipeline_tests.simulators.messages import Reply

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


class Rejection(Exception):
    """A request that is answered by an error; `detail` is the whole JSON body."""

    def __init__(self, status: int, detail: object, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.reply = Reply(status, orjson.dumps(detail), headers=headers or {})


def not_found() -> Rejection:
    return Rejection(404, {"detail": "Not found."})
