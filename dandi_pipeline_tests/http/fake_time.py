"""A clock that only sleeping moves."""

from threading import Lock


class FakeTime:
    """Remembers how long each sleep was to be."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._now = 1000.0
        self.sleeps: list[float] = []

    def clock(self) -> float:
        with self._lock:
            return self._now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._now += seconds
            self.sleeps.append(seconds)
