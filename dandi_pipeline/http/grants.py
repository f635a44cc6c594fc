"""When requests may be sent, so that no window of any limit ever holds more of them than it allows.

Arithmetic over instants in seconds, of any clock; who keeps the instants, and where, is another matter.
"""

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HORIZON = 0.75
"""How many seconds ahead requests are granted: a pause reaches whoever holds a grant no later than that."""

_ASK_AGAIN = 0.4
"""Who finds everything up to the horizon granted asks again when this many seconds have opened: for several at once."""

_ROUNDING = 1e-6
"""Seconds since 1970 are exact to a quarter of a microsecond in a float."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `requests` in any `seconds`, whenever these begin; all who name the same `key` share them.

    Holds for a platform's fixed windows wherever they start, and for sliding ones. `burst` requests may go at once
    after a quiet time, then as many in each `burst / requests` of the time: 30 of 180 a minute are 30 in any 10
    seconds. The `key` is stored and shown, so it never is a credential (see `pseudonym`).
    """

    key: str
    requests: int
    seconds: float
    burst: int = 1

    def __post_init__(self) -> None:
        if self.requests < 1 or self.burst < 1 or self.seconds <= 0:
            raise ValueError(
                f"{self.requests} requests in {self.seconds} s, {self.burst} at once, never sends anything"
            )
        if self.requests % self.burst:
            raise ValueError(f"a burst of {self.burst} does not divide {self.requests} requests evenly")

    @property
    def slack(self) -> float:
        """Seconds by which the time is stretched: a request may arrive that much later than another one did.

        8% leave 92.6% of the rate to use; a second is more than any delay that passes unnoticed.
        """
        return min(0.08 * self.seconds, 1.0)

    @property
    def window(self) -> float:
        """In any so many seconds, `burst` requests are granted at most."""
        return (self.seconds + self.slack) * self.burst / self.requests


class Grants:
    """What was granted under one limit, as far back as it still counts at `now`.

    After a pause the burst is used up: a platform that has just asked for patience does not get all of it at once.
    """

    def __init__(self, limit: RateLimit, instants: Iterable[float], paused_until: float | None, now: float) -> None:
        window, burst = limit.window, limit.burst
        self._window = window
        self._burst = burst
        self._open = now if paused_until is None else max(now, paused_until)
        self.instants: list[float] = []
        since = now - window
        if paused_until is not None and paused_until > since:
            since = paused_until
            self.instants += [paused_until - window * (burst - k) / burst for k in range(burst)]
        # Nothing is granted beyond the horizon: what lies there was, before the clock was set back.
        self.instants += sorted(instant for instant in instants if since <= instant <= now + HORIZON)

    def earliest(self, not_before: float) -> float:
        """Return the first instant at which one more request fits."""
        instant = max(not_before, self._open)
        while not self._fits(instant):
            instant = self.instants[bisect_right(self.instants, instant - self._window + _ROUNDING)] + self._window
        return instant

    def add(self, instant: float) -> None:
        """Count a request that goes at `instant`."""
        insort(self.instants, instant)

    def _fits(self, instant: float) -> bool:
        position = bisect_right(self.instants, instant)
        near = self.instants[max(0, position - self._burst) : position + self._burst]
        insort(near, instant)
        spans = (last - first for first, last in zip(near, near[self._burst :], strict=False))
        return all(span >= self._window - _ROUNDING for span in spans)


@dataclass(frozen=True, slots=True)
class Claim:
    """In how many seconds each granted request may go; if none was granted, ask again in `retry_in` seconds."""

    delays: Sequence[float]
    retry_in: float = 0.0


def grant(kept: Sequence[Grants], now: float, count: int) -> Claim:
    """Grant up to `count` requests that fit every limit, the soonest ones within the horizon, and add them."""
    delays: list[float] = []
    while len(delays) < count:
        instant = _earliest(kept, now)
        if instant > now + HORIZON:
            break
        for grants in kept:
            grants.add(instant)
        delays.append(instant - now)
    return Claim(delays, 0.0 if delays else instant - now - HORIZON + _ASK_AGAIN)


def _earliest(kept: Sequence[Grants], now: float) -> float:
    """Return the first instant that fits all: what moves it for one limit may make it not fit another."""
    instant = now
    while (later := max((grants.earliest(instant) for grants in kept), default=instant)) > instant:
        instant = later
    return instant
