"""What a simulator was asked: exact counts, and the requests themselves."""

import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .wire import Sending

REMEMBERED = 10_000


@dataclass(frozen=True)
class Exchange:
    """One request and the status it was answered with; 0 if the connection was reset instead."""

    kind: str
    target: str
    status: int


class Traffic:
    """Counts requests of some kinds, each in full before the first byte of its answer goes out.

    So whoever has an answer finds it counted; a request is in flight from its reading until its answer is ready.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        self._kinds = kinds
        self._lock = threading.Lock()
        self._in_flight = 0
        self.reset()

    def reset(self) -> None:
        """Start counting anew."""
        with self._lock:
            self.total = 0
            self.by_kind: Counter[str] = Counter()
            self.by_status: Counter[int] = Counter()
            self.in_flight_max = self._in_flight
            self.body_bytes = 0
            self.exchanges: deque[Exchange] = deque(maxlen=REMEMBERED)
            """The last requests, oldest first."""

    @contextmanager
    def serving(self, kind: str) -> Iterator[None]:
        with self._lock:
            self.total += 1
            self.by_kind[kind] += 1
            self._in_flight += 1
            self.in_flight_max = max(self.in_flight_max, self._in_flight)
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    def answered(self, kind: str, target: str, status: int, size: int) -> None:
        """Record an answer and how many bytes of body go over the wire."""
        with self._lock:
            self.by_status[status] += 1
            self.body_bytes += size
            self.exchanges.append(Exchange(kind, target, status))

    def sent(self, kind: str, target: str, sending: Sending) -> None:
        """Record an answer as it goes over the wire; a connection that is reset has the status 0."""
        self.answered(kind, target, 0 if sending.delivery.reset else sending.status, len(sending.body))

    def counts(self) -> dict[str, Any]:
        """Return all counts as plain data, every kind included; `rate_limited` is how many 429s were sent."""
        with self._lock:
            return {
                "total": self.total,
                "by_kind": {kind: self.by_kind[kind] for kind in self._kinds},
                "by_status": {str(status): count for status, count in sorted(self.by_status.items())},
                "in_flight_max": self.in_flight_max,
                "bytes": self.body_bytes,
                "rate_limited": self.by_status[429],
            }
