"""Serves a simulated archive until it is told to stop: its API URL is the first line of standard output."""

import argparse
import sys
from pathlib import Path

from dandi_pipeline_tests.simulators.command import Parser, count, serve_until_stopped

from .corpus import corpus_world
from .generated import generated_world
from .server import SimulatedArchive
from .world import World


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; bad options end with one line on standard error and 2."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        world = _world(options)
        archive = SimulatedArchive(world, port=options.port, keep_alive=options.keep_alive, seed=options.seed)
    except (OSError, OverflowError) as error:
        parser.error(str(error))
    serve_until_stopped(archive, archive.api_url)
    return 0


def _parser() -> Parser:
    parser = Parser("dandi", __doc__)
    parser.add_argument("--corpus", type=Path, help="a folder of recorded metadata to serve instead of made-up data")
    parser.add_argument("--dandisets", type=count, default=12)
    parser.add_argument("--assets", type=count, default=20, help="about how many each dandiset has")
    parser.add_argument("--large", type=count, default=0, help="how many the first dandiset has instead")
    parser.add_argument("--keep-alive", action="store_true", help="let clients reuse their connections")
    return parser


def _world(options: argparse.Namespace) -> World:
    if options.corpus:
        return corpus_world(options.corpus, seed=options.seed)
    return generated_world(dandisets=options.dandisets, assets=options.assets, large=options.large, seed=options.seed)


if __name__ == "__main__":
    sys.exit(main())
