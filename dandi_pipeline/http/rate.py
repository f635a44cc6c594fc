"""How often a platform may be asked, which is another matter than how many requests are in flight at once.

Requests are granted by a ledger that everybody shares who is bound by the same limit: one in this process here,
one for every process in the mirror.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from hashlib import blake2b
from threading import Lock
from typing import Protocol

from dandi_pipeline.http.grants import Claim, Grants, RateLimit, grant

_LATEST = 0.2
"""Seconds after its time that a grant is still used, at most; with the horizon it keeps pauses within a second."""


class RateBudget(Protocol):
    """What everybody who uses one credential (or one base, or one archive) shares."""

    def take(self) -> float:
        """Wait until one more request may be sent; return the seconds waited."""
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

    def claim(self, limits: Sequence[RateLimit], count: int, unused: int) -> Claim:
        """Grant up to `count` requests under all the limits; `unused` of those granted before were never sent."""
        ...

    def pause(self, limit: RateLimit, seconds: float) -> None:
        """Grant nothing under the limit for `seconds` from now; a shorter pause never ends a longer one early."""
        ...


class LedgerBudget:
    """A budget for any number of threads, over a ledger.

    The thread that finds no grant left asks the ledger, for all that wait at that moment. A grant that a thread
    comes to use too late, or after a pause was called, is given up: the request would arrive where others do.
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
        self._tolerance = min((limit.slack / 2 for limit in limits), default=_LATEST)
        self._tolerance = min(self._tolerance, _LATEST)
        self._counting = Lock()
        self._waiting = 0
        self._unused = 0
        self._resume_at = clock()
        self._asking = Lock()
        self._granted: deque[float] = deque()

    def take(self) -> float:
        """Wait until one more request may be sent; return the seconds waited."""
        started = self._clock()
        while not self._await(self._next_grant()):
            self._count(unused=1)
        return self._clock() - started

    def pause(self, seconds: float) -> None:
        """Let nobody send anything for `seconds` from now; a shorter pause never ends a longer one early."""
        with self._counting:
            self._resume_at = max(self._resume_at, self._clock() + seconds)
        for limit in self._limits[:1]:
            self._ledger.pause(limit, seconds)

    def _next_grant(self) -> float:
        """Return when a request may go, by this process's clock."""
        self._count(waiting=1)
        with self._asking:
            try:
                while not self._granted:
                    self._ask()
                return self._granted.popleft()
            finally:
                self._count(waiting=-1)

    def _ask(self) -> None:
        self._sleep_until(self._resume_at)
        unused = self._unused
        claim = self._ledger.claim(self._limits, self._waiting, unused)
        self._count(unused=-unused)
        now = self._clock()
        self._granted.extend(now + delay for delay in claim.delays)
        if not claim.delays:
            self._sleep_until(now + claim.retry_in)

    def _await(self, grant: float) -> bool:
        """Wait for a grant's time; return whether it still stands."""
        self._sleep_until(grant)
        return grant >= self._resume_at and self._clock() - grant <= self._tolerance

    def _sleep_until(self, instant: float) -> None:
        if (delay := instant - self._clock()) > 0:
            self._sleep(delay)

    def _count(self, *, waiting: int = 0, unused: int = 0) -> None:
        with self._counting:
            self._waiting += waiting
            self._unused += unused


class LocalBudgets:
    """Budgets for the threads of this process alone, as a ledger in its memory keeps them."""

    def __init__(
        self, *, sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sleep = sleep
        self._clock = clock
        self._lock = Lock()
        self._instants: dict[str, list[float]] = {}
        self._paused_until: dict[str, float] = {}

    def budget(self, *limits: RateLimit) -> RateBudget:
        """Return the budget that keeps every one of the limits; a pause holds back all who share the first."""
        return LedgerBudget(self, limits, sleep=self._sleep, clock=self._clock)

    def claim(self, limits: Sequence[RateLimit], count: int, unused: int) -> Claim:
        """Grant up to `count` requests under all the limits."""
        with self._lock:
            now = self._clock()
            kept = [
                Grants(limit, self._instants.get(limit.key, ()), self._paused_until.get(limit.key), now)
                for limit in limits
            ]
            claim = grant(kept, now, count)
            self._instants.update({limit.key: grants.instants for limit, grants in zip(limits, kept, strict=True)})
            return claim

    def pause(self, limit: RateLimit, seconds: float) -> None:
        """Grant nothing under the limit for `seconds` from now; a shorter pause never ends a longer one early."""
        with self._lock:
            until = self._clock() + seconds
            self._paused_until[limit.key] = max(until, self._paused_until.get(limit.key, until))


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
