"""Instants as Airtable spells and reads them, and the clock that the world owns."""

import re
import time
from datetime import datetime, timedelta, timezone

_SPELLING = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,6})\d*)?)?(Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)


def spelled(instant: datetime) -> str:
    """Return an instant as the API shows it: `2026-11-20T10:14:07.000Z`."""
    return instant.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def understood(text: str) -> datetime:
    """Return the instant that an ISO 8601 date or time means, UTC where it does not say; ValueError if none."""
    match = _SPELLING.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no date")
    day, minute, second, fraction, zone = match.groups()
    offset = "+00:00" if zone in (None, "Z") else f"{zone[:3]}:{zone[-2:]}"
    stamp = f"{day}T{minute or '00:00'}:{second or '00'}.{(fraction or '').ljust(6, '0')}{offset}"
    return datetime.fromisoformat(stamp).astimezone(timezone.utc)


class Clock:
    """The world's time. It runs at the pace of real time, from wherever it was set, until it is held.

    Everything that takes time in the simulator goes by it: stamps, the `Date` header, rate limits, iterators.
    A client that sleeps by `advance` therefore sits out a lock-out in no time.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._held = False
        self.set(start or datetime.now(timezone.utc))

    def now(self) -> datetime:
        """Return the present instant, in UTC."""
        return self._start if self._held else self._start + timedelta(seconds=time.monotonic() - self._set_at)

    def set(self, instant: datetime) -> None:
        """Make it another time, an earlier one too; a held clock stays held."""
        self._start = instant.astimezone(timezone.utc)
        self._set_at = time.monotonic()

    def advance(self, seconds: float) -> None:
        """Let time pass at once."""
        self.set(self.now() + timedelta(seconds=seconds))

    def hold(self) -> None:
        """Stop: from now on only `set` and `advance` move it."""
        self.set(self.now())
        self._held = True
