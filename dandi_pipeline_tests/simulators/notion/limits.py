"""How much may be asked: a budget for each connection and one for the workspace, in fixed windows, and blocks."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from .errors import ApiError

CONNECTION = "public_api_request_rate_limit"
WORKSPACE = "public_api_space_request_rate_limit"
BLOCKED = "public_api_request_blocked"


@dataclass(frozen=True)
class Limits:
    """Requests allowed in each window; None allows any number. Windows are in seconds of `now`.

    A window starts with the first request after the one before it has ended.
    """

    requests: int | None = 180
    window: float = 60.0
    workspace_requests: int | None = None
    workspace_window: float = 120.0
    now: Callable[[], float] = time.monotonic


UNLIMITED = Limits(requests=None)


class Limiter:
    """Counts what is asked against the limits; what is refused does not count. Refusals say when to come back."""

    def __init__(self, limits: Limits) -> None:
        self._lock = threading.Lock()
        self._blocked: set[str] = set()
        self.set(limits)

    def set(self, limits: Limits) -> None:
        """Put other limits in force, with fresh windows."""
        with self._lock:
            self.limits = limits
            self._windows: dict[str, tuple[float, int]] = {}

    def block(self, token: str) -> None:
        """Refuse a connection for good: trying again only makes it worse."""
        self._blocked.add(token)

    def unblock(self, token: str) -> None:
        self._blocked.discard(token)

    def admit(self, token: str) -> None:
        """Count a request, or raise 429 with the seconds to wait, at least one."""
        if token in self._blocked:
            raise _too_many(BLOCKED, 1)
        limits = self.limits
        with self._lock:
            budgets = [
                (WORKSPACE, WORKSPACE, limits.workspace_requests, limits.workspace_window),
                (f"token {token}", CONNECTION, limits.requests, limits.window),
            ]
            for name, reason, allowed, window in budgets:
                self._require(name, reason, allowed, window)
            for name, _, _, window in budgets:
                start, spent = self._window(name, window)
                self._windows[name] = (start, spent + 1)

    def _require(self, name: str, reason: str, allowed: int | None, window: float) -> None:
        start, spent = self._window(name, window)
        if allowed is not None and spent >= allowed:
            raise _too_many(reason, max(1, math.ceil(start + window - self.limits.now())))

    def _window(self, name: str, window: float) -> tuple[float, int]:
        now = self.limits.now()
        start, spent = self._windows.get(name, (now, 0))
        return (now, 0) if now >= start + window else (start, spent)


def _too_many(reason: str, seconds: int) -> ApiError:
    return ApiError(
        429,
        "You have been rate limited. Please try again in a few minutes.",
        additional={"rate_limit_reason": reason},
        retry_after=seconds,
    )
