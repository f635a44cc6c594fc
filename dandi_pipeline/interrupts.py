"""Sees to it that an interrupt arrives, whatever the program does at that moment."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

_AGAIN_SECONDS = 0.05


def interrupt_again() -> None:
    """Send this process an interrupt."""
    os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def no_interrupt_lost(again: Callable[[], None] = interrupt_again) -> Iterator[None]:
    """Have `again` called for each interrupt that arrives where Python cannot raise it; the outermost use decides.

    One that arrives while a finalizer or a weak reference's callback runs, as databases have many, is printed as
    "Exception ignored in …" with a stack trace, and the program goes on as if nothing had been asked.
    """
    previous = sys.unraisablehook
    if isinstance(previous, _Hook):
        yield
        return
    sys.unraisablehook = _Hook(previous, again)
    try:
        yield
    finally:
        sys.unraisablehook = previous


class _Hook:
    def __init__(self, previous: "Callable[[sys.UnraisableHookArgs], object]", again: Callable[[], None]) -> None:
        self._previous = previous
        self._again = again

    def __call__(self, ignored: "sys.UnraisableHookArgs") -> None:
        if issubclass(ignored.exc_type, Exception):
            self._previous(ignored)
            return
        # Later, from another thread: raised from here it would be ignored just the same.
        Timer(_AGAIN_SECONDS, self._again).start()
