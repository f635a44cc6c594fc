"""`dandi-pipeline sync`: bring the mirror up to date, or say what that would change."""

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from dandi_pipeline.cli.interrupts import interrupts_heeded
from dandi_pipeline.cli.options import (
    Grouped,
    instant,
    positive_number,
    selection_of,
    selection_options,
    tuning_of,
    tuning_options,
)
from dandi_pipeline.cli.output import summary, tell
from dandi_pipeline.cli.progress import Display, display, warnings_beside

if TYPE_CHECKING:
    from dandi_pipeline.settings import Settings, Source, Tuning
    from dandi_pipeline.sync.options import SyncOptions
    from dandi_pipeline.sync.report import SyncReport

_OF_DANDI = {
    "dandiset_ids": "--dandiset-id",
    "dandisets_only": "--dandisets-only",
    "assets_only": "--assets-only",
    "max_assets": "--max-assets",
    "no_manifests": "--no-manifests",
}
"""Options that mean something to that platform alone."""

_SOURCES_AT_ONCE = 5
"""Sources that are synced side by side, unless --max-concurrent says otherwise."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options ask for, besides which sources and how hard."""

    dry_run: bool
    force_full_sync: bool
    dandiset_ids: tuple[str, ...]
    since: datetime | None
    dandisets_only: bool
    assets_only: bool
    max_assets: int | None
    allow_mass_deletion: bool
    only_due: bool
    verbose: bool
    no_progress: bool
    as_json: bool


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
    "force_full_sync",
    is_flag=True,
    help="Read everything again and compare, also what looks unchanged.",
)
@click.option(
    "--dandiset-id",
    "dandiset_ids",
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
@click.pass_context
def sync(context: click.Context, /, **given: Any) -> int:
    """Bring the mirror up to date with its sources, reading only what has changed.

    TARGET is all, a platform, an application or a source's alias; without one, every enabled source is synced.
    `dandi-pipeline list` shows what there is. Filters may be combined.

    Every sync of a source is a run in Dagster's history. What fails stays stale and is tried again by the next sync.

    Exit codes: 0 done; 1 done, but some partitions failed; 2 wrong usage or configuration; 3 a platform could not be
    reached. Of several sources, the worst.
    """
    asked = Asked(**{name: given.pop(name) for name in Asked.__slots__})
    if asked.dandisets_only and asked.assets_only:
        raise click.UsageError("--dandisets-only and --assets-only exclude each other: give one, or none for both.")
    # Imported here, so that --help and a misspelled option do not wait for pydantic or the engine.
    from dandi_pipeline.cli.sources import configured_sources

    selection, mode = selection_of(given), tuning_of(**given)
    settings, sources = configured_sources()
    chosen = selection.of(sources)
    _refuse_for_others(context, chosen)
    if len(chosen) == 1 and not asked.only_due:
        return _sync_one(chosen[0], settings, asked, mode)
    from dandi_pipeline.cli.several import sync_several

    return sync_several(
        context,
        chosen,
        settings,
        lambda source: _options(source, settings, asked, mode),
        at_once=mode.max_concurrent or _SOURCES_AT_ONCE,
        only_due=asked.only_due,
        dry_run=asked.dry_run,
    )


def _refuse_for_others(context: click.Context, chosen: "Sequence[Source]") -> None:
    """Refuse what only one platform knows where others are chosen as well."""
    given = [option for name, option in _OF_DANDI.items() if context.params[name]]
    others = [source.alias for source in chosen if source.platform != "dandi"]
    if given and others:
        raise click.UsageError(
            f"{', '.join(given)}: for DANDI alone, and {', '.join(others)} would be synced too; add --platform dandi."
        )


def _sync_one(source: "Source", settings: "Settings", asked: Asked, mode: "Tuning") -> int:
    from dandi_pipeline.cli.sources import wording_of

    options = _options(source, settings, asked, mode)
    wording = wording_of(source, settings, options.parts, dry_run=asked.dry_run)
    shown = display(wording, bars=not (asked.no_progress or asked.verbose), hold=not asked.verbose)
    with shown as watcher, interrupts_heeded(watcher.call_out), warnings_beside(watcher, of_libraries=asked.verbose):
        watcher.say(f"Initializing {wording.platform} client...")
        if asked.dry_run:
            report = _preview(source, settings, options, watcher, quiet=asked.as_json)
        else:
            report = _launch(source, settings, options, watcher, verbose=asked.verbose)
    text = json.dumps(report.to_json(), indent=2) if asked.as_json else summary(report, dry_run=asked.dry_run)
    tell(text, to=sys.stdout)
    return report.exit_code


def _options(source: "Source", settings: "Settings", asked: Asked, mode: "Tuning") -> "SyncOptions":
    from dandi_pipeline.cli import sources as dandi
    from dandi_pipeline.sync.options import SyncOptions

    return SyncOptions(
        partitions=dandi.dandiset_keys(asked.dandiset_ids, source, settings) if asked.dandiset_ids else (),
        parts=dandi.parts(dandisets_only=asked.dandisets_only, assets_only=asked.assets_only),
        since=asked.since,
        full=asked.force_full_sync,
        max_records=asked.max_assets,
        allow_mass_deletion=asked.allow_mass_deletion,
        max_concurrent=mode.max_concurrent or source.settings.max_concurrent,
        mode=mode,
    )


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
