"""Ctrl-C that is heeded: it is never lost, the first ends a sync in order, and the second at once."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread, current_thread, main_thread

from dandi_pipeline.cli.output import tell
from dandi_pipeline.interrupts import interrupt_again, no_interrupt_lost

INTERRUPTED = 130
"""The exit code of what was interrupted."""

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
    with interrupts.watched(), no_interrupt_lost(interrupts.send_again):
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

    def send_again(self) -> None:
        """Send an interrupt once more that was lost: it is not a second one."""
        self._sent_again += 1
        interrupt_again()

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
