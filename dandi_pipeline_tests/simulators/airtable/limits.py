"""What Airtable lets a client ask: requests a second and a month, and what happens to whoever asks more."""

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .refusals import Refusal

WINDOW = timedelta(seconds=1)
_SLOWLY = "Rate limit exceeded. Please try again later"


@dataclass(frozen=True)
class Limits:
    """How much is allowed; None: as much as one likes. Seconds and months are those of the world's clock.

    After a 429, everything asked of that base (or by that user) is refused for `lockout` seconds, from the
    last such request on if `restarts`. Beyond `monthly_calls`, requests for data are refused, or are only
    served `slowed_to` a second and base where that is given. `retry_after` is sent with refusals of rate.
    """

    per_base: int | None = 5
    per_user: int | None = 50
    lockout: float = 30.0
    restarts: bool = False
    retry_after: int | None = None
    monthly_calls: int | None = None
    slowed_to: int | None = None
    billing_status: int = 429


UNLIMITED = Limits(per_base=None, per_user=None)


class Gate:
    """Admits requests within the limits, and counts what it refuses. `limits` may be replaced at any time."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget every request so far."""
        with self._lock:
            self._admitted: defaultdict[str, deque[datetime]] = defaultdict(deque)
            self._locked_until: dict[str, datetime] = {}
            self.calls_by_month: Counter[str] = Counter()
            self.refused_for_rate = 0
            self.refused_for_billing = 0

    def admit(self, now: datetime, *, user_id: str, base_id: str | None, for_data: bool) -> None:
        """Let a request pass or raise the `Refusal` that it is answered by; /meta/ is not `for_data`."""
        with self._lock:
            month = f"{now:%Y-%m}"
            spent = self.limits.monthly_calls is not None and self.calls_by_month[month] >= self.limits.monthly_calls
            if spent and for_data and self.limits.slowed_to is None:
                self.refused_for_billing += 1
                raise self._billing()
            self._admit_at_rate(now, user_id, base_id, self.limits.slowed_to if spent else self.limits.per_base)
            self.calls_by_month[month] += 1

    def _admit_at_rate(self, now: datetime, user_id: str, base_id: str | None, base_rate: int | None) -> None:
        budgets = [(user_id, self.limits.per_user)] + ([(base_id, base_rate)] if base_id else [])
        refusing = [key for key, rate in budgets if self._is_locked(key, now) or self._is_used_up(key, rate, now)]
        if refusing:
            self.refused_for_rate += 1
            self._lock_out(refusing, now)
            raise self._too_fast(is_base=base_id in refusing)
        for key, _ in budgets:
            self._admitted[key].append(now)

    def _is_locked(self, key: str, now: datetime) -> bool:
        return key in self._locked_until and now < self._locked_until[key]

    def _is_used_up(self, key: str, rate: int | None, now: datetime) -> bool:
        recent = self._admitted[key]
        while recent and not now - WINDOW < recent[0] <= now:
            recent.popleft()
        return rate is not None and len(recent) >= rate

    def _lock_out(self, keys: Sequence[str], now: datetime) -> None:
        for key in keys:
            if self.limits.restarts or not self._is_locked(key, now):
                self._locked_until[key] = now + timedelta(seconds=self.limits.lockout)

    def _too_fast(self, *, is_base: bool) -> Refusal:
        """A base's limit and a user's are told in different shapes, since both are seen."""
        headers = {} if self.limits.retry_after is None else {"Retry-After": str(self.limits.retry_after)}
        if is_base:
            return Refusal(429, "RATE_LIMIT_REACHED", _SLOWLY, shape="listed", headers=headers)
        return Refusal(429, "TOO_MANY_REQUESTS", _SLOWLY, headers=headers)

    def _billing(self) -> Refusal:
        message = "You have exceeded the API billing plan limit for your workspace this month"
        return Refusal(self.limits.billing_status, "PUBLIC_API_BILLING_LIMIT_EXCEEDED", message)
