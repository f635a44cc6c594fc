"""Serves a simulated workspace until it is told to stop: its API URL is the first line of standard output."""

import argparse
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

from .generated import generated_world
from .limits import UNLIMITED, Limits
from .server import SimulatedNotion
from .world import TOKEN


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; bad options end with one line on standard error and 2."""
    parser = _parser()
    options = parser.parse_args(arguments)
    limits = Limits(requests=options.requests) if options.requests else UNLIMITED
    world = generated_world(sources=options.sources, pages=options.pages, seed=options.seed)
    try:
        notion = SimulatedNotion(world, port=options.port, limits=limits, seed=options.seed)
    except (OSError, OverflowError) as error:
        parser.error(str(error))
    stopped = threading.Event()

    def stop(signal_number: int, frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with notion:
        print(notion.api_url, flush=True)
        stopped.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    description = f"{__doc__} The token is {TOKEN}."
    parser = _Parser(prog="python -m dandi_pipeline_tests.simulators.notion", description=description)
    parser.add_argument("--port", type=int, default=0, help="0, the default: any free one")
    parser.add_argument("--sources", type=_count, default=4)
    parser.add_argument("--pages", type=_count, default=30, help="how many each data source has")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--requests", type=_count, default=180, help="allowed a minute; 0: any number")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a count")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
