"""`dandi-pipeline history` and `prune`: the past syncs, from Dagster's run storage, and how they are forgotten."""

import json
import os
import sys
from contextlib import nullcontext
from dataclasses import asdict
from datetime import timezone
from pathlib import Path
from typing import Any

from dandi_pipeline.catalogue import open_mirror, peek_mirror
from dandi_pipeline.cli.output import screen_width, table, tell
from dandi_pipeline.orchestration.history import PastSync, past_syncs
from dandi_pipeline.orchestration.pruning import days_ago
from dandi_pipeline.orchestration.pruning import prune as prune_history
from dandi_pipeline.settings import Settings
from dandi_pipeline.text import plain

_LONGEST_SCOPE = 40
_HEADINGS = (
    "STARTED (UTC)",
    "TOOK",
    "SOURCE",
    "SCOPE",
    "CHECKED",
    "ADDED",
    "UPDATED",
    "DELETED",
    "ERRORS",
    "STATUS",
    "RUN",
)
_NUMBERS = {"TOOK", "CHECKED", "ADDED", "UPDATED", "DELETED", "ERRORS"}


def history(*, limit: int, source: str | None, as_json: bool) -> int:
    """List the past syncs, newest first: when, how long, of what, and what came of it."""
    settings = Settings.from_environment(os.environ, Path.cwd())
    syncs = past_syncs(settings.dagster_home, limit=limit, source=source)
    if as_json:
        tell(json.dumps([_as_json(sync) for sync in syncs], indent=2), to=sys.stdout)
    elif syncs:
        rows = [_row(sync) for sync in syncs]
        tell(table(_HEADINGS, rows, numbers=_NUMBERS, width=screen_width()), to=sys.stdout)
    else:
        of_source = f" of {plain(source)}" if source else ""
        tell(f"No sync{of_source} yet in {settings.dagster_home}; dandi-pipeline sync makes the first.", to=sys.stdout)
    return 0


def prune(*, older_than: int, changes_older_than: int | None, dry_run: bool, as_json: bool) -> int:
    """Delete old syncs with their events from Dagster's history, and old changes from the mirror if asked to."""
    settings = Settings.from_environment(os.environ, Path.cwd())
    mirror = None
    if changes_older_than is not None:
        mirror = (peek_mirror if dry_run else open_mirror)(settings.mirror_database_url)
    with mirror or nullcontext():
        pruned = prune_history(
            settings.dagster_home,
            mirror,
            runs_before=days_ago(older_than),
            changes_before=None if changes_older_than is None else days_ago(changes_older_than),
            dry_run=dry_run,
        )
    text = json.dumps(asdict(pruned)) if as_json else f"{'Would delete' if dry_run else 'Deleted'} {pruned}."
    tell(text, to=sys.stdout)
    return 0


def _row(sync: PastSync) -> tuple[str, ...]:
    counts = _counts(sync).values()
    scope = plain(sync.scope)
    return (
        f"{sync.started.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S}",
        "" if sync.duration_seconds is None else f"{sync.duration_seconds:,.1f} s",
        plain(sync.source),
        scope if len(scope) <= _LONGEST_SCOPE else f"{scope[: _LONGEST_SCOPE - 1]}…",
        *("" if count is None else str(count) for count in counts),
        sync.status,
        sync.run_id,
    )


def _as_json(sync: PastSync) -> dict[str, Any]:
    report = sync.report
    return {
        "run_id": sync.run_id,
        "source": sync.source,
        "scope": sync.scope,
        "started": sync.started.astimezone(timezone.utc).isoformat(),
        "duration_seconds": sync.duration_seconds,
        "status": sync.status,
        "launched_by": sync.launched_by,
        **_counts(sync),
        "records": asdict(report.records) if report else None,
        "requests": report.traffic.requests if report else None,
        "traffic": asdict(sync.traffic),
        "errors": dict(report.failures) if report else {},
        "stopped": report.stopped if report else None,
        "stopped_by": report.stopped_by if report else None,
    }


def _counts(sync: PastSync) -> dict[str, int | None]:
    """Return what became of the partitions; None where the run did not get to its end."""
    if sync.report is None:
        return dict.fromkeys(("checked", "added", "updated", "deleted", "failed"))
    counted = sync.report.partitions
    return {
        "checked": counted.checked,
        "added": counted.added,
        "updated": counted.updated,
        "deleted": counted.deleted,
        "failed": sync.report.failed,
    }
