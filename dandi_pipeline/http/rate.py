"""How often a platform may be asked, which is another matter than how many requests are in flight at once."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Protocol


class RateBudget(Protocol):
    """What everybody who uses one credential (or one base, or one archive) shares."""

    def take(self) -> float:
        """Wait until one more request may be sent; return the seconds waited."""
        ...

    def pause(self, seconds: float) -> None:
        """Let nobody send anything for `seconds` from now, as a Retry-After demands."""
        ...


class TokenBucket:
    """A budget for the threads of one process: at most `burst` requests at once, then `rate` a second.

    Without a rate nothing is metered, and only `pause` holds requests back. After a pause the bucket is empty:
    a platform that has just asked for patience does not get the whole burst.
    """

    def __init__(
        self,
        rate: float | None = None,
        burst: int = 1,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if rate is not None and rate <= 0:
            raise ValueError(f"a rate of {rate} requests a second never sends anything")
        if burst < 1:
            raise ValueError(f"a burst of {burst} never sends anything")
        self._interval = 0.0 if rate is None else 1 / rate
        self._tolerance = (burst - 1) * self._interval
        self._sleep = sleep
        self._clock = clock
        self._lock = Lock()
        self._paused_until = clock()
        self._due = clock()

    def take(self) -> float:
        """Wait until one more request may be sent; return the seconds waited."""
        waited = 0.0
        while (delay := self._try_to_take()) > 0:
            self._sleep(delay)
            waited += delay
        return waited

    def pause(self, seconds: float) -> None:
        """Let nobody send anything for `seconds` from now; a shorter pause never ends a longer one early."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock() + seconds)
            self._due = max(self._due, self._paused_until + self._tolerance)

    def _try_to_take(self) -> float:
        """Take one request, or return how long it is until there may be one (the generic cell rate algorithm)."""
        with self._lock:
            now = self._clock()
            delay = max(self._paused_until, self._due - self._tolerance) - now
            if delay <= 0:
                self._due = max(self._due, now) + self._interval
            return delay
