"""`dandi-pipeline sync`: bring the mirror up to date, or say what that would change."""

import json
import logging
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import click

from dandi_pipeline.cli.arguments import instant, positive_number
from dandi_pipeline.cli.interrupts import interrupts_kept
from dandi_pipeline.cli.log import warnings_beside
from dandi_pipeline.cli.progress import Display, display
from dandi_pipeline.cli.summary import summary
from dandi_pipeline.cli.terminal import tell

if TYPE_CHECKING:
    from dandi_pipeline.settings import Settings, Source
    from dandi_pipeline.sync.options import SyncOptions
    from dandi_pipeline.sync.report import SyncReport


@click.command(short_help="Bring the mirror up to date.")
@click.option("--dry-run", is_flag=True, help="Say what would change; read only, write nothing anywhere.")
@click.option("--force-full-sync", is_flag=True, help="Read everything again and compare, also what looks unchanged.")
@click.option(
    "--dandiset-id",
    "dandiset_ids",
    multiple=True,
    metavar="ID",
    help="Sync this dandiset alone: 3, 000003 or DANDI:000003. May be given several times.",
)
@click.option(
    "--since",
    metavar="WHEN",
    callback=instant,
    help="Sync only dandisets whose draft was modified at or after this date or date and time, e.g. 2024-01-01 or "
    "2024-01-01T12:00:00Z. A date means its midnight; without a time zone it is UTC.",
)
@click.option("--dandisets-only", is_flag=True, help="Sync dandisets and versions, not assets.")
@click.option("--assets-only", is_flag=True, help="Sync assets, not dandisets and versions.")
@click.option(
    "--max-assets",
    metavar="N",
    callback=positive_number,
    help="Read at most N assets of each dandiset (default: all). One cut short deletes nothing and stays stale.",
)
@click.option(
    "--allow-mass-deletion",
    is_flag=True,
    help="Let a sync delete most of a dandiset's assets, or many dandisets, at once.",
)
@click.option("--verbose", is_flag=True, help="Show the run's log: each dandiset, why, how it was read, every error.")
@click.option("--no-progress", is_flag=True, help="Plain lines in place of progress bars, e.g. for a log file.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, and nothing else, on standard output.")
def sync(
    *,
    dry_run: bool,
    force_full_sync: bool,
    dandiset_ids: tuple[str, ...],
    since: datetime | None,
    dandisets_only: bool,
    assets_only: bool,
    max_assets: int | None,
    allow_mass_deletion: bool,
    verbose: bool,
    no_progress: bool,
    as_json: bool,
) -> int:
    """Bring the mirror up to date with the DANDI Archive, reading only what has changed.

    Every sync is a run in Dagster's history. What fails stays stale and is tried again by the next sync.

    Exit codes: 0 done; 1 done, but some dandisets failed; 2 wrong usage or configuration; 3 the archive could not be
    reached.
    """
    if dandisets_only and assets_only:
        raise click.UsageError("--dandisets-only and --assets-only exclude each other: give one, or none for both.")
    # Imported here, so that --help and a misspelled option do not wait for the engine.
    from dandi_pipeline.cli import dandi
    from dandi_pipeline.sync.options import SyncOptions

    settings, source = dandi.configured()
    options = SyncOptions(
        partitions=dandi.dandiset_keys(dandiset_ids, source, settings),
        parts=dandi.parts(dandisets_only=dandisets_only, assets_only=assets_only),
        since=since,
        full=force_full_sync,
        max_records=max_assets,
        allow_mass_deletion=allow_mass_deletion,
        max_concurrent=source.settings.max_concurrent,
    )
    wording = dandi.wording(options.parts, dry_run=dry_run)
    shown = display(wording, bars=not (no_progress or verbose), hold=not verbose)
    with interrupts_kept(), shown as watcher, warnings_beside(watcher, of_libraries=verbose):
        watcher.say("Initializing DANDI client...")
        if dry_run:
            report = _preview(source, settings, options, watcher, quiet=as_json)
        else:
            report = _launch(source, settings, options, watcher, verbose=verbose)
    text = json.dumps(report.to_json(), indent=2) if as_json else summary(report, dry_run=dry_run)
    tell(text, to=sys.stdout)
    return report.exit_code


def _preview(
    source: "Source", settings: "Settings", options: "SyncOptions", watcher: Display, *, quiet: bool
) -> "SyncReport":
    from dandi_pipeline.cli.preview import preview

    return preview(source, settings, options, watcher, quiet=quiet)


def _launch(
    source: "Source", settings: "Settings", options: "SyncOptions", watcher: Display, *, verbose: bool
) -> "SyncReport":
    from dandi_pipeline.orchestration.history import past_syncs
    from dandi_pipeline.orchestration.launch import run_sync

    last = past_syncs(settings.dagster_home, limit=1, source=source.alias)
    when = str(last[0].started.astimezone(timezone.utc).replace(microsecond=0)) if last else "never"
    watcher.say(f"Last sync: {when}")
    return run_sync(source, settings, options, progress=watcher, console_level=logging.INFO if verbose else None)
