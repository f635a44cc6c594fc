"""The platforms there are: one folder each, of which the module `platform` describes itself by a `SPEC`."""

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules

from dandi_pipeline import platforms
from dandi_pipeline.http import Budgets, CappedBudgets, RateLimit
from dandi_pipeline.model import FacetRules, Platform, PlatformSpec
from dandi_pipeline.settings import AS_SET, PlatformSettings, Settings, Source, Tuning


def _spec_of(folder: str) -> PlatformSpec:
    spec: PlatformSpec = import_module(f"{platforms.__name__}.{folder}.platform").SPEC
    return spec


PLATFORMS: Mapping[str, PlatformSpec] = {
    module.name: _spec_of(module.name) for module in iter_modules(platforms.__path__) if module.ispkg
}
"""Every platform by its name, which is that of its folder."""

SETTINGS: Mapping[str, type[PlatformSettings]] = {name: spec.settings for name, spec in PLATFORMS.items()}
"""What each platform accepts under `settings:`, for `load_sources`."""

FACET_RULES: tuple[FacetRules, ...] = tuple(spec.facets for spec in PLATFORMS.values() if spec.facets is not None)
"""What is derived from records, of every platform that describes facets."""


def open_platform(source: Source, settings: Settings, budgets: Budgets, tuning: Tuning = AS_SET) -> Platform:
    """Return the platform behind a source, ready to be asked as `tuning` says; nothing has been sent yet.

    `budgets` is where its rate is shared: a `Mirror`, for all who use that mirror. Where there is none yet,
    `LocalBudgets` share it within this process.
    """
    if tuning.rate_limit is not None:
        budgets = CappedBudgets(budgets, _cap(source.alias, tuning.rate_limit))
    chosen = source.model_copy(update={"settings": tuning.applied_to(source.settings)})
    return PLATFORMS[source.platform].open(chosen, settings, budgets)


def _cap(alias: str, requests_per_second: float) -> RateLimit:
    requests = max(1, round(requests_per_second))
    return RateLimit(f"{alias} at most {requests_per_second:g}/s", requests, requests / requests_per_second)
