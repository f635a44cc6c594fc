"""Serves a simulated archive until it is told to stop: its API URL is the first line of standard output."""

import argparse
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import NoReturn

from .corpus import corpus_world
from .generated import generated_world
from .server import SimulatedArchive
from .world import World


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; bad options end with one line on standard error and 2."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        world = _world(options)
        archive = SimulatedArchive(world, port=options.port, keep_alive=options.keep_alive, seed=options.seed)
    except (OSError, OverflowError) as error:
        parser.error(str(error))
    stopped = threading.Event()

    def stop(signal_number: int, frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with archive:
        print(archive.api_url, flush=True)
        stopped.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m dandi_pipeline_tests.simulators.dandi", description=__doc__)
    parser.add_argument("--corpus", type=Path, help="a folder of recorded metadata to serve instead of made-up data")
    parser.add_argument("--port", type=int, default=0, help="0, the default: any free one")
    parser.add_argument("--dandisets", type=_count, default=12)
    parser.add_argument("--assets", type=_count, default=20, help="about how many each dandiset has")
    parser.add_argument("--large", type=_count, default=0, help="how many the first dandiset has instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep-alive", action="store_true", help="let clients reuse their connections")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a count")
    return int(text)


def _world(options: argparse.Namespace) -> World:
    if options.corpus:
        return corpus_world(options.corpus, seed=options.seed)
    return generated_world(dandisets=options.dandisets, assets=options.assets, large=options.large, seed=options.seed)


if __name__ == "__main__":
    sys.exit(main())
