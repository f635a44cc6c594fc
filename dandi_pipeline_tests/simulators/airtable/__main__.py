"""Serves a simulated Airtable until it is told to stop: its API URL is the first line of standard output."""

import argparse
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

from .generated import generated_world
from .limits import UNLIMITED, Limits
from .server import SimulatedAirtable


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; bad options end with one line on standard error and 2."""
    parser = _parser()
    options = parser.parse_args(arguments)
    limits = UNLIMITED if options.unlimited else Limits()
    world = generated_world(tables=options.tables, records=options.records, seed=options.seed)
    try:
        airtable = SimulatedAirtable(world, port=options.port, limits=limits, seed=options.seed)
    except (OSError, OverflowError) as error:
        parser.error(str(error))
    stopped = threading.Event()

    def stop(signal_number: int, frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with airtable:
        print(airtable.api_url, flush=True)
        print(f"token: {airtable.token}", flush=True)
        stopped.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m dandi_pipeline_tests.simulators.airtable", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0, the default: any free one")
    parser.add_argument("--tables", type=_count, default=4)
    parser.add_argument("--records", type=_count, default=40, help="how many each table has")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unlimited", action="store_true", help="no limits of rate")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a count")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
