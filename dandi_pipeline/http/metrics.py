"""Counts what a client sent, received and waited for."""

from dataclasses import dataclass
from threading import Lock


@dataclass(frozen=True, slots=True)
class Traffic:
    """Totals since the client was made.

    `requests` has every attempt that was sent, redirects included; `throttled` the answers that were 429;
    `bytes_received` the bodies as they travelled, compressed.
    """

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    bytes_received: int = 0
    seconds_slept: float = 0.0


class Metrics:
    """The running totals of one client; any thread may add to them or read them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._total = Traffic()

    def add(
        self,
        *,
        requests: int = 0,
        retries: int = 0,
        throttled: int = 0,
        bytes_received: int = 0,
        seconds_slept: float = 0.0,
    ) -> None:
        """Add to the totals, all at once."""
        with self._lock:
            total = self._total
            self._total = Traffic(
                requests=total.requests + requests,
                retries=total.retries + retries,
                throttled=total.throttled + throttled,
                bytes_received=total.bytes_received + bytes_received,
                seconds_slept=total.seconds_slept + seconds_slept,
            )

    def snapshot(self) -> Traffic:
        """Return the totals as they are now."""
        with self._lock:
            return self._total
