"""Ctrl-C that is not lost: an interrupt that fell where Python cannot raise it is sent again."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

_AGAIN_SECONDS = 0.05


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """See to it meanwhile that every interrupt arrives.

    One that arrives while a finalizer or a weak reference's callback runs, as databases have many, is printed as
    "Exception ignored in …" with a stack trace, and the program goes on as if nothing had been asked.
    """
    previous = sys.unraisablehook

    def hook(ignored: "sys.UnraisableHookArgs") -> None:
        if issubclass(ignored.exc_type, Exception):
            previous(ignored)
            return
        # Later, from another thread: raised from here it would be ignored just the same.
        Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), signal.SIGINT)).start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = previous
