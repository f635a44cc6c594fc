"""`dandi-pipeline sync`: bring the mirror up to date, or say what that would change."""

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from dandi_pipeline.cli.interrupts import interrupts_heeded
from dandi_pipeline.cli.options import (
    Grouped,
    Shown,
    instant,
    positive_number,
    refuse_for_others,
    selection_of,
    selection_options,
    tuning_of,
    tuning_options,
)
from dandi_pipeline.cli.output import summary, tell
from dandi_pipeline.cli.progress import Display, display, warnings_beside

if TYPE_CHECKING:
    from dandi_pipeline.settings import Settings, Source
    from dandi_pipeline.sync.options import SyncOptions
    from dandi_pipeline.sync.report import SyncReport

_OF_DANDI = {
    "partitions": "--dandiset-id",
    "dandisets_only": "--dandisets-only",
    "assets_only": "--assets-only",
    "max_records": "--max-assets",
    "no_manifests": "--no-manifests",
}
"""Options that mean something to that platform alone."""


@click.command(
    cls=Grouped,
    headings={
        "platform": "Which sources",
        "dry_run": "What of them",
        "preset": "How hard they are asked",
        "verbose": "What is shown",
    },
    short_help="Bring the mirror up to date.",
    epilog="`dandi-pipeline examples` shows what to type in situations that come up.",
)
@click.argument("target", required=False)
@selection_options
@click.option("--only-due", is_flag=True, help="Leave out sources that were looked at within their interval (`every`).")
@click.option(
    "--dry-run", is_flag=True, help="Say what would change (of several sources: the plan); write nothing anywhere."
)
@click.option(
    "--force-full-sync",
    "--full",
    "--no-incremental",
    "full",
    is_flag=True,
    help="Read everything again and compare, also what looks unchanged.",
)
@click.option(
    "--dandiset-id",
    "partitions",
    multiple=True,
    metavar="ID",
    help="DANDI: sync this dandiset alone: 3, 000003 or DANDI:000003. May be given several times.",
)
@click.option(
    "--since",
    metavar="WHEN",
    callback=instant,
    help="Only dandisets (tables, data sources) modified at or after this date or date and time, e.g. 2024-01-01 or "
    "2024-01-01T12:00:00Z. A date means its midnight; without a time zone it is UTC.",
)
@click.option("--dandisets-only", is_flag=True, help="DANDI: sync dandisets and versions, not assets.")
@click.option("--assets-only", is_flag=True, help="DANDI: sync assets, not dandisets and versions.")
@click.option(
    "--max-assets",
    "--max-records",
    "max_records",
    metavar="N",
    callback=positive_number,
    help="DANDI: read at most N assets of each dandiset (default: all). One cut short deletes nothing and stays stale.",
)
@click.option(
    "--allow-mass-deletion",
    is_flag=True,
    help="Let a sync delete most of a dandiset's assets, or many dandisets, at once.",
)
@tuning_options
@click.option("--verbose", is_flag=True, help="Show the run's log: each dandiset, why, how it was read, every error.")
@click.option("--no-progress", is_flag=True, help="Plain lines in place of progress bars, e.g. for a log file.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, and nothing else, on standard output.")
@click.option("--options", "as_model", metavar="JSON", hidden=True, help="The options as `SyncOptions` has them.")
@click.pass_context
def sync(context: click.Context, /, **given: Any) -> int:
    """Bring the mirror up to date with its sources, reading only what has changed.

    TARGET is all, a platform, an application or a source's alias; without one, every enabled source is synced.
    `dandi-pipeline list` shows what there is. Filters may be combined.

    Every sync of a source is a run in Dagster's history. What fails stays stale and is tried again by the next sync.

    Exit codes: 0 done; 1 done, but some partitions failed; 2 wrong usage or configuration; 3 a platform could not be
    reached. Of several sources, the worst.
    """
    if given["dandisets_only"] and given["assets_only"]:
        raise click.UsageError("--dandisets-only and --assets-only exclude each other: give one, or none for both.")
    # Imported here, so that --help and a misspelled option do not wait for pydantic or the engine.
    from dandi_pipeline.cli.sources import configured_sources

    settings, sources = configured_sources()
    chosen = selection_of(given).of(sources)
    refuse_for_others([option for name, option in _OF_DANDI.items() if context.params[name]], chosen)
    shown = Shown(**{item.name: given.pop(item.name) for item in fields(Shown)})
    only_due, options = given.pop("only_due"), _options(chosen[0], settings, **given)
    if len(chosen) == 1 and not only_due:
        return _sync_one(chosen[0], settings, options, shown)
    from dandi_pipeline.cli.several import sync_several

    return sync_several(chosen, settings, options, shown, only_due=only_due)


def _options(
    source: "Source",
    settings: "Settings",
    *,
    as_model: str | None,
    partitions: Sequence[str],
    dandisets_only: bool,
    assets_only: bool,
    since: datetime | None,
    full: bool,
    max_records: int | None,
    allow_mass_deletion: bool,
    **tuning: Any,
) -> "SyncOptions":
    """Return what is asked of each source; what only DANDI knows is asked of nothing else."""
    from dandi_pipeline.cli import sources as dandi
    from dandi_pipeline.sync.options import SyncOptions

    if as_model is not None:
        return SyncOptions.model_validate_json(as_model)
    return SyncOptions(
        partitions=dandi.dandiset_keys(partitions, source, settings) if partitions else (),
        parts=dandi.parts(dandisets_only=dandisets_only, assets_only=assets_only),
        since=since,
        full=full,
        max_records=max_records,
        allow_mass_deletion=allow_mass_deletion,
        tuning=tuning_of(**tuning),
    )


def _sync_one(source: "Source", settings: "Settings", options: "SyncOptions", shown: Shown) -> int:
    from dandi_pipeline.cli.sources import wording_of

    wording = wording_of(source, options.parts, dry_run=shown.dry_run)
    opened = display(wording, bars=not (shown.no_progress or shown.verbose), hold=not shown.verbose)
    with opened as watcher, interrupts_heeded(watcher.call_out), warnings_beside(watcher, of_libraries=shown.verbose):
        watcher.say(f"Initializing {wording.platform} client...")
        if shown.dry_run:
            report = _preview(source, settings, options, watcher, quiet=shown.as_json)
        else:
            report = _launch(source, settings, options, watcher, verbose=shown.verbose)
    text = json.dumps(report.to_json(), indent=2) if shown.as_json else summary(report, dry_run=shown.dry_run)
    tell(text, to=sys.stdout)
    return report.exit_code


def _preview(
    source: "Source", settings: "Settings", options: "SyncOptions", watcher: Display, *, quiet: bool
) -> "SyncReport":
    from dandi_pipeline.cli.forecast import preview

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
