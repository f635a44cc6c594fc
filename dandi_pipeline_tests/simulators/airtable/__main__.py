"""Serves a simulated Airtable until it is told to stop: its API URL is the first line of standard output."""

import sys

from dandi_pipeline_tests.simulators.command import Parser, count, serve_until_stopped

from .generated import generated_world
from .limits import UNLIMITED, Limits
from .server import SimulatedAirtable


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
    serve_until_stopped(airtable, airtable.api_url, f"token: {airtable.token}")
    return 0


def _parser() -> Parser:
    parser = Parser("airtable", __doc__)
    parser.add_argument("--tables", type=count, default=4)
    parser.add_argument("--records", type=count, default=40, help="how many each table has")
    parser.add_argument("--unlimited", action="store_true", help="no limits of rate")
    return parser


if __name__ == "__main__":
    sys.exit(main())
