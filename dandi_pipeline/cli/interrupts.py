"""Ctrl-C that is heeded: it is never lost, the first ends a sync in order, and the second at once."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread, Timer, current_thread, main_thread

from dandi_pipeline.cli.output import tell

INTERRUPTED = 130
"""The exit code of what was interrupted."""

_AGAIN_SECONDS = 0.05
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_WAITING = "Interrupted: waiting for the requests in flight; Ctrl-C again ends at once"
_AT_ONCE = "Error: ended at once; what was committed stays, the next sync does the rest"


@contextmanager
def interrupts_heeded(say: Callable[[str], None], *, give_up: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Let the first interrupt meanwhile be answered by a line, and end the process at the second.

    An interrupt is Ctrl-C, SIGTERM, or SIGHUP, which a terminal sends that is closed.
    `say` writes the line; `give_up` is called before the end.
    """
    if current_thread() is not main_thread():
        yield  # Python hands signals to the main thread alone
        return
    interrupts = _Interrupts(say, give_up)
    with interrupts.watched(), interrupts.kept():
        yield


class _Interrupts:
    def __init__(self, say: Callable[[str], None], give_up: Callable[[], None]) -> None:
        self._say = say
        self._give_up = give_up
        self._sent_again = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Count the interrupts in a thread of its own, whatever handlers Dagster installs in the meantime."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        previous = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        thread = Thread(target=self._watch, args=(reader,), name="interrupts", daemon=True)
        thread.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(previous)
            os.close(writer)
            thread.join()
            os.close(reader)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """See to it that every interrupt arrives.

        One that arrives while a finalizer or a weak reference's callback runs, as databases have many, is printed as
        "Exception ignored in …" with a stack trace, and the program goes on as if nothing had been asked.
        """
        previous = sys.unraisablehook

        def hook(ignored: "sys.UnraisableHookArgs") -> None:
            if issubclass(ignored.exc_type, Exception):
                previous(ignored)
                return
            # Later, from another thread: raised from here it would be ignored just the same.
            Timer(_AGAIN_SECONDS, self._send_again).start()

        sys.unraisablehook = hook
        try:
            yield
        finally:
            sys.unraisablehook = previous

    def _send_again(self) -> None:
        self._sent_again += 1
        os.kill(os.getpid(), signal.SIGINT)

    def _watch(self, reader: int) -> None:
        received = 0
        while arrived := os.read(reader, 64):
            received += sum(number in _SIGNALS for number in arrived)
            if received - self._sent_again > 1:
                self._give_up()
                _try(tell, _AT_ONCE)
                os._exit(INTERRUPTED)
            if received == 1:
                _try(self._say, _WAITING)


def _try(say: Callable[[str], None], line: str) -> None:
    """Write a line if there is still somebody to read it."""
    with suppress(OSError):
        say(line)
