"""`dandi-pipeline prune`: forget old syncs, and old changes if asked to."""

import json
import os
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from dandi_pipeline.catalogue import open_mirror, peek_mirror
from dandi_pipeline.cli.output import tell
from dandi_pipeline.orchestration import pruning
from dandi_pipeline.settings import Settings


def prune(*, older_than: int, changes_older_than: int | None, dry_run: bool, as_json: bool) -> int:
    """Delete old syncs with their events from Dagster's history, and old changes from the mirror if asked to."""
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
