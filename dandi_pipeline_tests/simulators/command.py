"""What the commands share that serve a simulator to other processes."""

import argparse
import signal
import threading
from types import FrameType
from typing import NoReturn

from .wire import Served


class Parser(argparse.ArgumentParser):
    """Ends with one line on standard error and 2 where an option is bad."""

    def __init__(self, simulator: str, description: str | None) -> None:
        super().__init__(prog=f"python -m dandi_pipeline_tests.simulators.{simulator}", description=description)
        self.add_argument("--port", type=int, default=0, help="0, the default: any free one")
        self.add_argument("--seed", type=int, default=0)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, without the usage."""
        self.exit(2, f"{self.prog}: {message}\n")


def count(text: str) -> int:
    """Read how many there are to be of something."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a count")
    return int(text)


def serve_until_stopped(simulator: Served, *lines: str) -> None:
    """Print lines to whoever started the command, and serve until SIGTERM or SIGINT."""
    stopped = threading.Event()

    def stop(signal_number: int, frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with simulator:
        print(*lines, sep="\n", flush=True)
        stopped.wait()
