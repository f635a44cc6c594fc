"""`dandi-pipeline prune`: forget old syncs, and old changes if asked to."""

import json
import os
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import click

from dandi_pipeline.cli.options import positive_number
from dandi_pipeline.cli.output import tell


@click.command(short_help="Forget old syncs, and old changes if asked to.")
@click.option(
    "--older-than",
    metavar="DAYS",
    default="365",
    callback=positive_number,
    help="Delete syncs that began more than so many days ago from Dagster's history (default: 365).",
)
@click.option(
    "--changes-older-than",
    metavar="DAYS",
    callback=positive_number,
    help="Delete changes older than so many days from the mirror's log as well (default: none). The past before them"
    " can then no longer be asked for.",
)
@click.option("--dry-run", is_flag=True, help="Say how many there are; delete nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON, and nothing else, on standard output.")
def prune(*, older_than: int, changes_older_than: int | None, dry_run: bool, as_json: bool) -> int:
    """Delete old syncs with their events from Dagster's history, and old changes from the mirror if asked to.

    The sync that holds the last word on a partition is kept, however old it is. Nothing of the mirror's present rows is
    touched. May be stopped at any time: what is left goes with the next.
    """
    # Imported here, so that --help does not wait for Dagster.
    from dandi_pipeline.catalogue import open_mirror, peek_mirror
    from dandi_pipeline.orchestration import pruning
    from dandi_pipeline.settings import Settings

    settings = Settings.from_environment(os.environ, Path.cwd())
    mirror = None
    if changes_older_than is not None:
        mirror = (peek_mirror if dry_run else open_mirror)(settings.mirror_database_url)
    with mirror or nullcontext():
        pruned = pruning.prune(
            settings.dagster_home,
            mirror,
            runs_before=pruning.days_ago(older_than),
            changes_before=None if changes_older_than is None else pruning.days_ago(changes_older_than),
            dry_run=dry_run,
        )
    text = json.dumps(asdict(pruned)) if as_json else f"{'Would delete' if dry_run else 'Deleted'} {pruned}."
    tell(text, to=sys.stdout)
    return 0
