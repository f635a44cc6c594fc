"""How much memory processes have held at most, as Linux tells it in `/proc`.

`ru_maxrss` will not do: a process begins with the peak of the one that started it.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SELF = Path("/proc/self")


def peak_bytes(process: Path = SELF) -> int:
    """Return the most bytes of memory that a process has held since it began, or since `forget_peak()`."""
    return int(_status(process)["VmHWM"].split()[0]) * 1024


def forget_peak() -> int:
    """Let this process's peak begin anew, and return what it holds now (`5` in `/proc/pid/clear_refs`, see proc(5))."""
    (SELF / "clear_refs").write_text("5")
    return peak_bytes()


class Memory:
    """Watches the door's workers that this process starts meanwhile: `most` is the largest peak of one, in bytes."""

    def __init__(self) -> None:
        self.most = 0
        self._ended = threading.Event()

    def watch(self) -> None:
        while not self._ended.wait(0.02):
            for process in Path("/proc").glob("[0-9]*"):
                # One that has ended has neither files nor memory.
                with suppress(OSError, KeyError):
                    self._look(process)

    def end(self) -> None:
        self._ended.set()

    def _look(self, process: Path) -> None:
        if b"query/worker.py" not in (process / "cmdline").read_bytes():
            return
        if int(_status(process)["PPid"]) == os.getpid():
            self.most = max(self.most, peak_bytes(process))


@contextmanager
def watched_memory() -> Iterator[Memory]:
    """Watch until the block ends."""
    memory = Memory()
    watcher = threading.Thread(target=memory.watch, daemon=True)
    watcher.start()
    try:
        yield memory
    finally:
        time.sleep(0.03)
        memory.end()
        watcher.join()


def _status(process: Path) -> dict[str, str]:
    lines = (process / "status").read_text(encoding="ascii").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
