"""The platforms there are: one line each."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass

from dandi_pipeline.http import Budgets, CappedBudgets, LocalBudgets, RateLimit
from dandi_pipeline.platforms.airtable.platform import open_airtable
from dandi_pipeline.platforms.airtable.settings import AirtableSettings
from dandi_pipeline.platforms.contract import Description, Platform
from dandi_pipeline.platforms.dandi.platform import open_dandi
from dandi_pipeline.platforms.dandi.settings import DandiSettings
from dandi_pipeline.platforms.notion.platform import open_notion
from dandi_pipeline.platforms.notion.settings import NotionSettings
from dandi_pipeline.settings import AS_SET, Mode, PlatformSettings, Settings, Source


@dataclass(frozen=True, slots=True)
class Entry:
    """What a platform is configured by, and how it is opened.

    `title` is how people write the platform's name, unless they write it as it is, with a capital; `spelling` how
    they write a partition's key, in place of the braces.
    """

    settings: type[PlatformSettings]
    open: Callable[[Source, Settings, Budgets], Platform]
    title: str | None = None
    spelling: str = "{}"


PLATFORMS: Mapping[str, Entry] = {
    "dandi": Entry(DandiSettings, open_dandi, title="DANDI", spelling="DANDI:{}"),
    "airtable": Entry(AirtableSettings, open_airtable),
    "notion": Entry(NotionSettings, open_notion),
}

SETTINGS: Mapping[str, type[PlatformSettings]] = {name: entry.settings for name, entry in PLATFORMS.items()}
"""What each platform accepts under `settings:`, for `load_sources`."""


def open_platform(source: Source, settings: Settings, budgets: Budgets, mode: Mode = AS_SET) -> Platform:
    """Return the platform behind a source, ready to be asked in this mode; nothing has been sent yet.

    `budgets` is where its rate is shared: a `Mirror`, for all who use that mirror. Where there is none yet,
    `LocalBudgets` share it within this process.
    """
    if mode.rate_limit is not None:
        budgets = CappedBudgets(budgets, _cap(source.alias, mode.rate_limit))
    chosen = source.model_copy(update={"settings": mode.applied_to(source.settings)})
    return PLATFORMS[source.platform].open(chosen, settings, budgets)


@contextmanager
def described(source: Source, settings: Settings) -> Iterator[Description]:
    """Lend the description of the platform behind a source, which can be asked nothing."""
    with closing(open_platform(source, settings, LocalBudgets())) as platform:
        yield platform


def _cap(alias: str, requests_per_second: float) -> RateLimit:
    requests = max(1, round(requests_per_second))
    return RateLimit(f"{alias} at most {requests_per_second:g}/s", requests, requests / requests_per_second)
