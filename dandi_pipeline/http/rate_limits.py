"""How often a platform may be sent requests, shared by threads and processes, and never more than any window allows.

How many requests are in flight at once is another matter: `client` bounds that.
"""

import time
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from threading import Lock, local
from typing import Protocol

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


_NOTICED = 0.01
"""Seconds below which nobody has waited: to ask a ledger takes that long."""

_LATELY = 50
"""Of so many answers the quickest tells how long one takes that nothing delays."""

_ENOUGH = 10
"""Until so many answers are known, all of the time that one takes counts as delay."""

_TOLERATED = 0.75
"""The share of a limit's slack by which an answer may be late and not count; the rest is for inexact clocks."""

_LATEST = 0.2
"""Seconds after its time that a grant is still used; with the horizon, a pause reaches everybody within a second."""


class RateBudget(Protocol):
    """What everybody who uses one credential (or one base, or one archive) shares."""

    def take(self) -> float:
        """Wait until one more request may be sent; return the seconds waited, 0 if there was no need to."""
        ...

    def answered(self) -> None:
        """Say that the request is answered, or given up, for which this thread has taken last."""
        ...

    def pause(self, seconds: float) -> None:
        """Let nobody send anything for `seconds` from now, as a Retry-After demands."""
        ...


class Budgets(Protocol):
    """Hands out budgets to whoever opens a platform."""

    def budget(self, *limits: RateLimit) -> RateBudget:
        """Return the budget that keeps every one of the limits; a pause holds back all who share the first.

        Without a limit nothing is metered, and only a pause holds the budget's own users back.
        """
        ...


class Ledger(Protocol):
    """Keeps, for each limit, what was granted and until when it is paused."""

    def claim(self, limits: Sequence[RateLimit], count: int) -> Claim:
        """Grant up to `count` requests under all the limits; each must be settled or withdrawn."""
        ...

    def settle(self, limits: Sequence[RateLimit], granted: float, late: float) -> None:
        """Count a request as answered that was granted for `granted` and arrived up to `late` seconds after that."""
        ...

    def withdraw(self, limits: Sequence[RateLimit], granted: float) -> None:
        """Count a request no more that was granted for the instant `granted` and was never sent."""
        ...

    def pause(self, limit: RateLimit, seconds: float) -> None:
        """Grant nothing under the limit for `seconds` from now; a shorter pause never ends a longer one early."""
        ...


@dataclass(frozen=True, slots=True)
class _Turn:
    """A granted request: its instant by the ledger's clock, and by this process's."""

    granted: float
    at: float


class _Offset:
    """How far the ledger's clock is ahead of this process's: what the last questions have shown, at least and at most.

    By the least, an instant comes out as late as it may be, and never too early.
    """

    def __init__(self) -> None:
        self.least = self.most = 0.0
        self._bounds: deque[tuple[float, float]] = deque(maxlen=_LATELY)

    def learn(self, asked: float, now: float, answered: float) -> None:
        """Take that the ledger's clock said `now` at some moment between these two."""
        self._bounds.append((now - answered, now - asked))
        self._narrow()
        if self.least > self.most:
            # They contradict each other: one of the clocks was set.
            while len(self._bounds) > 1:
                self._bounds.popleft()
            self._narrow()

    def _narrow(self) -> None:
        self.least = max(least for least, _ in self._bounds)
        self.most = min(most for _, most in self._bounds)


class LedgerBudget:
    """A budget for any number of threads, over a ledger.

    The thread that finds no grant left asks the ledger, for all that wait at that moment. A grant that comes to be
    used too late, or after a pause was called, is given up. A request whose answer takes longer than usual may have
    arrived as late as that, and is counted so, and one without an answer may yet arrive: also where the machine or the
    network is busy, no more arrive within any window than the limit allows.
    """

    def __init__(
        self,
        ledger: Ledger,
        limits: Sequence[RateLimit],
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._limits = tuple(limits)
        self._sleep = sleep
        self._clock = clock
        self._tolerance = min((_TOLERATED * limit.slack for limit in limits), default=0.0)
        self._counting = Lock()
        self._waiting = 0
        self._resume_at = clock()
        self._answers: deque[float] = deque(maxlen=_LATELY)
        self._asking = Lock()
        self._offset = _Offset()
        self._granted: deque[_Turn] = deque()
        self._taken = local()

    def take(self) -> float:
        """Wait until one more request may be sent; return the seconds waited, 0 if there was no need to."""
        started = self._clock()
        while not self._await(turn := self._next_turn()):
            self._ledger.withdraw(self._limits, turn.granted)
        self._taken.turn = turn
        waited = self._clock() - started
        return waited if waited >= _NOTICED else 0.0

    def answered(self) -> None:
        """Say that the request is answered, or given up, for which this thread has taken last."""
        turn: _Turn = self._taken.turn
        now = self._clock()
        with self._counting:
            self._answers.append(now - turn.at)
            usual = min(self._answers) if len(self._answers) >= _ENOUGH else 0.0
        late = now + self._offset.most - turn.granted - usual
        self._ledger.settle(self._limits, turn.granted, max(0.0, late - self._tolerance))

    def pause(self, seconds: float) -> None:
        """Let nobody send anything for `seconds` from now; a shorter pause never ends a longer one early."""
        with self._counting:
            self._resume_at = max(self._resume_at, self._clock() + seconds)
        for limit in self._limits[:1]:
            self._ledger.pause(limit, seconds)

    def _next_turn(self) -> _Turn:
        self._wait(1)
        with self._asking:
            try:
                while not self._granted:
                    self._ask()
                return self._granted.popleft()
            finally:
                self._wait(-1)

    def _ask(self) -> None:
        """Ask for all who wait; if nothing is granted yet, wait until it is time to ask again."""
        self._sleep_until(self._resume_at)
        asked = self._clock()
        claim = self._ledger.claim(self._limits, self._waiting)
        self._offset.learn(asked, claim.now, self._clock())
        ahead = self._offset.least
        self._granted.extend(_Turn(instant, instant - ahead) for instant in claim.instants)
        if not claim.instants:
            self._sleep_until(claim.retry_at - ahead)

    def _await(self, turn: _Turn) -> bool:
        """Wait for a turn; return whether it still stands."""
        self._sleep_until(turn.at)
        return turn.at >= self._resume_at and self._clock() - turn.at <= _LATEST

    def _sleep_until(self, instant: float) -> None:
        if (delay := instant - self._clock()) > 0:
            self._sleep(delay)

    def _wait(self, more: int) -> None:
        with self._counting:
            self._waiting += more


class LocalBudgets:
    """Budgets for the threads of this process alone, as a ledger in its memory keeps them."""

    def __init__(
        self, *, sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sleep = sleep
        self._clock = clock
        self._lock = Lock()
        self._requests: dict[str, Requests] = {}
        self._paused_until: dict[str, float] = {}

    def budget(self, *limits: RateLimit) -> RateBudget:
        """Return the budget that keeps every one of the limits; a pause holds back all who share the first."""
        return LedgerBudget(self, limits, sleep=self._sleep, clock=self._clock)

    def claim(self, limits: Sequence[RateLimit], count: int) -> Claim:
        """Grant up to `count` requests under all the limits; each must be settled or withdrawn."""
        with self._grants(limits) as (now, kept):
            return grant(kept, now, count)

    def settle(self, limits: Sequence[RateLimit], granted: float, late: float) -> None:
        """Count a request as answered that was granted for `granted` and arrived up to `late` seconds after that."""
        with self._grants(limits) as (_, kept):
            for grants in kept:
                grants.settle(granted, late)

    def withdraw(self, limits: Sequence[RateLimit], granted: float) -> None:
        """Count a request no more that was granted for the instant `granted` and was never sent."""
        with self._grants(limits) as (_, kept):
            for grants in kept:
                grants.withdraw(granted)

    def pause(self, limit: RateLimit, seconds: float) -> None:
        """Grant nothing under the limit for `seconds` from now; a shorter pause never ends a longer one early."""
        with self._lock:
            until = self._clock() + seconds
            self._paused_until[limit.key] = max(until, self._paused_until.get(limit.key, until))

    @contextmanager
    def _grants(self, limits: Sequence[RateLimit]) -> Iterator[tuple[float, Sequence[Grants]]]:
        """Hold what was granted under each limit, and keep it afterwards."""
        with self._lock:
            now = self._clock()
            kept = {
                limit.key: Grants(
                    limit, self._requests.get(limit.key, Requests()), self._paused_until.get(limit.key), now
                )
                for limit in limits
            }
            yield now, list(kept.values())
            self._requests.update({key: grants.requests for key, grants in kept.items()})


class CappedBudgets:
    """Budgets that keep one more limit than whoever asks for them names: a rate below the platform's own."""

    def __init__(self, budgets: Budgets, cap: RateLimit) -> None:
        self._budgets = budgets
        self._cap = cap

    def budget(self, *limits: RateLimit) -> RateBudget:
        """Return the budget that keeps every one of the limits and the cap."""
        return self._budgets.budget(*limits, self._cap)


def pseudonym(secret: str) -> str:
    """Return a name for a credential that everybody who holds it comes to, and that does not tell it."""
    return blake2b(secret.encode(), digest_size=8, person=b"rate budget").hexdigest()
