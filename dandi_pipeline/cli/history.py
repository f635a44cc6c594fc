"""`dandi-pipeline history`: the past syncs, from Dagster's run storage."""

import click


@click.command(short_help="List the past syncs.")
@click.option("--limit", default="20", metavar="N", help="Show at most the N newest (default: 20).")
def history(*, limit: str) -> int:
    """List the past syncs, newest first: when, how long, what of, what came of it."""
    return 0
