"""What the things of a source are called while it is synced."""

from collections.abc import Sequence

from dandi_pipeline.cli.progress import Wording
from dandi_pipeline.platforms.registry import PLATFORMS, described
from dandi_pipeline.settings import Settings, Source


def wording_of(source: Source, settings: Settings, parts: Sequence[str], *, dry_run: bool) -> Wording:
    """Return what the steps of a sync of these parts (none: of all) are called."""
    with described(source, settings) as platform:
        bulk, noun = platform.kinds[-1], platform.partition_noun
    return Wording(
        platform=title_of(source.platform),
        partition_noun=noun,
        record_noun=bulk.name,
        spelling=PLATFORMS[source.platform].spelling,
        with_records=not parts or bulk.part in parts,
        dry_run=dry_run,
    )


def title_of(platform: str) -> str:
    """Return a platform's name as people write it."""
    return PLATFORMS[platform].title or platform.capitalize()
