"""What a platform's folder tells the registry: the settings it takes, and how it is opened."""

from collections.abc import Callable
from dataclasses import dataclass

from dandi_pipeline.http import Budgets
from dandi_pipeline.platforms.contract import Platform
from dandi_pipeline.platforms.facets import FacetRules
from dandi_pipeline.settings import PlatformSettings, Settings, Source


@dataclass(frozen=True, slots=True)
class Entry:
    """What a platform is configured by, and how it is opened.

    `title` is how people write the platform's name, unless they write it as it is, with a capital; `spelling` how
    they tell its partitions apart: by `{name}`, or by `{key}`; `facets` what is derived from its records.
    """

    settings: type[PlatformSettings]
    open: Callable[[Source, Settings, Budgets], Platform]
    title: str | None = None
    spelling: str = "{name}"
    facets: FacetRules | None = None
