"""Keeps Python from looking for cycles in what a sync parses: JSON has none, and is freed without."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

OBJECTS = 100_000
"""How many containers more there are to be before the collector looks at them; a page of 1,000 assets has 45,000.

By Python's own 700 it looks at all that is parsed dozens of times, which takes twice as long as the parsing itself.
"""


class _Collector:
    """The garbage collector, which is one for the process: patient from the first who asks to the last who is done."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._usual = gc.get_threshold()

    def enter(self) -> None:
        with self._lock:
            if not self._users:
                self._usual = gc.get_threshold()
                if 0 < self._usual[0] < OBJECTS:
                    gc.set_threshold(OBJECTS, *self._usual[1:])
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                gc.set_threshold(*self._usual)


_collector = _Collector()


@contextmanager
def rare_collections() -> Iterator[None]:
    """Let the garbage collector be patient while the block runs, in whichever thread; nest and overlap at will."""
    _collector.enter()
    try:
        yield
    finally:
        _collector.leave()
