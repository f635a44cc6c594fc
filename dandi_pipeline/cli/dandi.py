"""The DANDI Archive as the command line speaks of it: which source is synced, and how its things are called."""

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from dandi_pipeline.cli.progress import Wording
from dandi_pipeline.errors import ConfigurationError
from dandi_pipeline.platforms.dandi.records import ASSETS, DANDISETS
from dandi_pipeline.platforms.registry import SETTINGS, open_platform
from dandi_pipeline.settings import Settings, Source, load_sources

_PLATFORM = "dandi"


def configured() -> tuple[Settings, Source]:
    """Return the settings, and the source to sync: the first enabled one of the DANDI platform.

    Raises ConfigurationError if there is none, or if a setting or the sources file is wrong.
    """
    settings = Settings.from_environment(os.environ, Path.cwd())
    sources = load_sources(settings.sources_path, SETTINGS)
    for source in sources:
        if source.platform == _PLATFORM and source.enabled:
            return settings, source
    raise ConfigurationError(f"{settings.sources_path}: no enabled source has 'platform: {_PLATFORM}'; enable one")


def dandiset_keys(spellings: Sequence[str], source: Source, settings: Settings) -> tuple[str, ...]:
    """Return each dandiset's key once, in the order given; ConfigurationError for what cannot be an identifier."""
    with closing(open_platform(source, settings)) as platform:
        return tuple(dict.fromkeys(platform.partition_key(text) for text in spellings))


def parts(*, dandisets_only: bool, assets_only: bool) -> tuple[str, ...]:
    """Return the parts to sync; none named means both."""
    if dandisets_only:
        return (DANDISETS,)
    return (ASSETS,) if assets_only else ()


def wording(parts: Sequence[str], *, dry_run: bool) -> Wording:
    """Return what the steps of a sync of these parts are called."""
    return Wording(
        platform="DANDI",
        partition_noun="dandiset",
        record_noun="asset",
        label="DANDI:{}".format,
        with_records=not parts or ASSETS in parts,
        dry_run=dry_run,
    )
