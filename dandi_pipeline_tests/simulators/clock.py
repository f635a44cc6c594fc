"""A simulator's clock: strictly increasing UTC instants of microsecond resolution, settable by a test."""

from datetime import datetime, timedelta, timezone

TICK = timedelta(microseconds=1)


class Clock:
    """Follows the real time until it is set; from then on it only moves by its own ticks and `advance`."""

    def __init__(self, start: datetime | None = None) -> None:
        self._held = start is not None
        self._last = start or datetime.now(timezone.utc)

    def now(self) -> datetime:
        """Return the next instant: never the same twice, never earlier unless `set` went back."""
        real = self._last if self._held else datetime.now(timezone.utc)
        self._last = max(real, self._last + TICK)
        return self._last

    def peek(self) -> datetime:
        """Return the time without a tick: the next `now` is later."""
        return self._last if self._held else max(datetime.now(timezone.utc), self._last)

    def set(self, instant: datetime) -> None:
        """Hold the clock at an instant, earlier ones allowed: the next reading is a tick after it."""
        self._held = True
        self._last = instant

    def advance(self, seconds: float) -> None:
        """Move ahead; a clock that followed the real time stays ahead of it until that catches up."""
        self._last = self.now() + timedelta(seconds=seconds)
