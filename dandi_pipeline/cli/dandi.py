"""The DANDI Archive as the command line speaks of it: its source, and how its things are named."""

from collections.abc import Sequence

from dandi_pipeline.cli.configured import configured_sources
from dandi_pipeline.errors import ConfigurationError
from dandi_pipeline.platforms.dandi.records import ASSETS, DANDISETS
from dandi_pipeline.platforms.registry import described
from dandi_pipeline.settings import Settings, Source

_PLATFORM = "dandi"


def configured_archive() -> tuple[Settings, Source]:
    """Return the settings, and the source to sync: the first enabled one of the DANDI platform.

    Raises ConfigurationError if there is none, or if a setting or the sources file is wrong.
    """
    settings, sources = configured_sources()
    for source in sources:
        if source.platform == _PLATFORM and source.enabled:
            return settings, source
    raise ConfigurationError(f"{settings.sources_path}: no enabled source has 'platform: {_PLATFORM}'; enable one")


def dandiset_keys(spellings: Sequence[str], source: Source, settings: Settings) -> tuple[str, ...]:
    """Return each dandiset's key once, in the order given; ConfigurationError for what cannot be an identifier."""
    with described(source, settings) as platform:
        return tuple(dict.fromkeys(platform.partition_key(text) for text in spellings))


def parts(*, dandisets_only: bool, assets_only: bool) -> tuple[str, ...]:
    """Return the parts to sync; none named means both."""
    if dandisets_only:
        return (DANDISETS,)
    return (ASSETS,) if assets_only else ()
