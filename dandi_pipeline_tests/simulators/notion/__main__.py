"""Serves a simulated workspace until it is told to stop: its API URL is the first line of standard output."""

import sys

from dandi_pipeline_tests.simulators.command import Parser, count, serve_until_stopped

from .generated import generated_world
from .limits import UNLIMITED, Limits
from .server import SimulatedNotion
from .world import TOKEN


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
    serve_until_stopped(notion, notion.api_url)
    return 0


def _parser() -> Parser:
    description = f"{__doc__} The token is {TOKEN}."
    parser = Parser("notion", description)
    parser.add_argument("--sources", type=count, default=4)
    parser.add_argument("--pages", type=count, default=30, help="how many each data source has")
    parser.add_argument("--requests", type=count, default=180, help="allowed a minute; 0: any number")
    return parser


if __name__ == "__main__":
    sys.exit(main())
