"""`dandi-pipeline sync`: bring the mirror up to date, or say what that would change."""

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timezone
from typing import Any

import click

from dandi_pipeline.cli import sources as dandi
from dandi_pipeline.cli.forecast import preview
from dandi_pipeline.cli.interrupts import interrupts_heeded
from dandi_pipeline.cli.options import (
    Shown,
)
from dandi_pipeline.cli.output import summary, tell
from dandi_pipeline.cli.progress import Display, display, warnings_beside
from dandi_pipeline.cli.several import sync_several
from dandi_pipeline.cli.sources import configured_sources, refuse_for_others, selection_of, wording_of
from dandi_pipeline.orchestration.history import PastSync
from dandi_pipeline.orchestration.launch import run_sync
from dandi_pipeline.settings import AS_SET, LEGACY, PRESETS, Settings, Source, Tuning
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


def sync(**given: Any) -> int:
    """Bring the mirror up to date with its sources, reading only what has changed."""
    if given["dandisets_only"] and given["assets_only"]:
        raise click.UsageError("--dandisets-only and --assets-only exclude each other: give one, or none for both.")
    settings, sources = configured_sources()
    chosen = selection_of(given).of(sources)
    refuse_for_others([option for name, option in _OF_DANDI.items() if given[name]], chosen)
    shown = Shown(**{item.name: given.pop(item.name) for item in fields(Shown)})
    only_due, options = given.pop("only_due"), _options(chosen[0], settings, **given)
    if len(chosen) == 1 and not only_due:
        return _sync_one(chosen[0], settings, options, shown)
    return sync_several(chosen, settings, options, shown, only_due=only_due)


def _options(
    source: Source,
    settings: Settings,
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
) -> SyncOptions:
    """Return what is asked of each source; what only DANDI knows is asked of nothing else."""

    if as_model is not None:
        return SyncOptions.model_validate_json(as_model)
    return SyncOptions(
        partitions=dandi.dandiset_keys(partitions, source, settings) if partitions else (),
        parts=dandi.parts(dandisets_only=dandisets_only, assets_only=assets_only),
        since=since,
        full=full,
        max_records=max_records,
        allow_mass_deletion=allow_mass_deletion,
        tuning=_tuning(**tuning),
    )


def _tuning(
    *, preset: str | None, legacy: bool, no_streaming: bool, no_manifests: bool, **alone: float | None
) -> Tuning:
    """Return the tuning that the options ask for: a setting given alone wins over the preset's."""
    if legacy and preset:
        raise click.UsageError("--legacy and --preset exclude each other: give one of them.")
    base = LEGACY if legacy else PRESETS[preset] if preset else AS_SET
    given = {name: value for name, value in alone.items() if value is not None}
    streaming = base.streaming and not no_streaming
    return Tuning(**{**base.model_dump(), **given, "streaming": streaming, "manifests": not no_manifests})


def _sync_one(source: Source, settings: Settings, options: SyncOptions, shown: Shown) -> int:

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


def _preview(source: Source, settings: Settings, options: SyncOptions, watcher: Display, *, quiet: bool) -> SyncReport:

    return preview(source, settings, options, watcher, quiet=quiet)


def _launch(source: Source, settings: Settings, options: SyncOptions, watcher: Display, *, verbose: bool) -> SyncReport:
    def tell_last(last: PastSync | None) -> None:
        when = str(last.started.astimezone(timezone.utc).replace(microsecond=0)) if last else "never"
        watcher.say(f"Last sync: {when}")

    level = logging.INFO if verbose else None
    return run_sync(source, settings, options, progress=watcher, tell_last=tell_last, console_level=level)
