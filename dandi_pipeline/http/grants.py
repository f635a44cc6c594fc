"""When requests may be sent, so that no window of any limit ever holds more of them than it allows.

Arithmetic over instants in seconds, of any clock; who keeps the instants, and where, is another matter.
"""

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

HORIZON = 0.4
"""How many seconds ahead requests are granted: what is learnt meanwhile, a pause or a delay, cannot take them back."""

_ASK_AGAIN = 0.2
"""Who finds everything up to the horizon granted asks again when this many seconds have opened: for several at once."""

ANSWERED_WITHIN = 10.0
"""After so many seconds a request without an answer counts as arrived, or as never sent: its sender was killed."""

LONGEST_PAUSE = 300.0
"""Seconds that a platform may make everybody wait; who asks for more is not waited for."""

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
    def span(self) -> float:
        """In any so many seconds, `requests` are granted at most."""
        return self.seconds + self.slack

    @property
    def window(self) -> float:
        """In any so many seconds, `burst` requests are granted at most."""
        return self.span * self.burst / self.requests


@dataclass(slots=True)
class Requests:
    """Instants of requests: by when those arrived at the latest that are answered; for when the others were granted."""

    arrived: list[float] = field(default_factory=list)
    in_flight: list[float] = field(default_factory=list)


def standing_pause(paused_until: float | None, now: float) -> float | None:
    """Return the end of a pause that still may hold; one that nobody can have asked for is from a clock set back."""
    return None if paused_until is None or paused_until > now + LONGEST_PAUSE else paused_until


class Grants:
    """What was granted under one limit, as far back as it still counts at `now`.

    A request in flight may arrive only now, however long ago it was granted. After a pause the burst counts as used
    up: a platform that has just asked for patience does not get it all at once.
    """

    def __init__(self, limit: RateLimit, requests: Requests, paused_until: float | None, now: float) -> None:
        self._limit = limit
        self._now = now
        self._open = now if paused_until is None else max(now, paused_until)
        # Nothing is granted beyond the horizon: what lies there was, before the clock was set back.
        first, last = now - limit.span, now + HORIZON
        self.requests = Requests(
            [instant for instant in requests.arrived if first < instant <= last],
            [instant for instant in requests.in_flight if first - ANSWERED_WITHIN < instant <= last],
        )
        arriving = [min(max(instant, now), instant + ANSWERED_WITHIN) for instant in self.requests.in_flight]
        self._instants = sorted([*self.requests.arrived, *arriving])
        self._assumed: list[float] = []
        if paused_until is not None and paused_until > now - limit.window:
            self._assumed = [paused_until - limit.window * (limit.burst - k) / limit.burst for k in range(limit.burst)]

    def earliest(self, not_before: float) -> float:
        """Return the first instant at which one more request fits."""
        instant = self._first(self._instants, self._limit.requests, self._limit.span, max(not_before, self._open))
        recent = sorted([*self._assumed, *self._instants])
        while (later := self._first(recent, self._limit.burst, self._limit.window, instant)) > instant:
            instant = self._first(self._instants, self._limit.requests, self._limit.span, later)
        return instant

    def add(self, instant: float) -> None:
        """Count a request that is to go at `instant`."""
        self.requests.in_flight.append(instant)
        insort(self._instants, instant)

    def settle(self, granted: float, late: float) -> None:
        """Count a request as answered that was granted for `granted` and arrived up to `late` seconds after that."""
        self.withdraw(granted)
        # What is known of lateness may be far too much; that the answer is there by now is certain.
        self.requests.arrived.append(max(granted, min(granted + late, self._now)))

    def withdraw(self, granted: float) -> None:
        """Count a request no more that was never sent."""
        if granted in self.requests.in_flight:
            self.requests.in_flight.remove(granted)

    @staticmethod
    def _first(taken: Sequence[float], most: int, span: float, instant: float) -> float:
        """Return the first instant from `instant` on that leaves at most `most` in any `span` seconds around it."""
        while not _fits(taken, most, span, instant):
            instant = taken[bisect_right(taken, instant - span + _ROUNDING)] + span
        return instant


@dataclass(frozen=True, slots=True)
class Claim:
    """For when requests were granted, by the clock that says `now`; if none was, when to ask again."""

    now: float
    instants: Sequence[float]
    retry_at: float


def grant(kept: Sequence[Grants], now: float, count: int) -> Claim:
    """Grant up to `count` requests that fit every limit, the soonest ones within the horizon, and add them."""
    instants: list[float] = []
    while len(instants) < count:
        instant = _earliest(kept, now)
        if instant > now + HORIZON:
            break
        for grants in kept:
            grants.add(instant)
        instants.append(instant)
    return Claim(now, instants, instant - HORIZON + _ASK_AGAIN)


def _earliest(kept: Sequence[Grants], now: float) -> float:
    """Return the first instant that fits all: what moves it for one limit may make it not fit another."""
    instant = now
    while (later := max((grants.earliest(instant) for grants in kept), default=instant)) > instant:
        instant = later
    return instant


def _fits(taken: Sequence[float], most: int, span: float, instant: float) -> bool:
    position = bisect_right(taken, instant)
    near = [*taken[max(0, position - most) : position], instant, *taken[position : position + most]]
    return all(last - first >= span - _ROUNDING for first, last in zip(near, near[most:], strict=False))
