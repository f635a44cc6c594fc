"""How much of the platforms' monthly quotas has been used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dandi_pipeline.http import LocalBudgets, RateBudget, RateLimit
from dandi_pipeline.mirror import Usage
from dandi_pipeline.platforms.registry import open_platform
from dandi_pipeline.settings import Settings, Source

_NEARLY = 0.9
"""The part of a quota from which on it is nearly used up."""


@dataclass(frozen=True, slots=True)
class Used:
    """The requests of the present month (UTC) that sources of a platform sent under limits that they share.

    `quota` is how many the platform allows, None if it was not said.
    """

    platform: str
    sources: tuple[str, ...]
    requests: int
    quota: int | None

    @property
    def nearly_all(self) -> bool:
        """Whether hardly any are left."""
        return self.quota is not None and self.requests >= _NEARLY * self.quota


def used(sources: Sequence[Source], settings: Settings, usage: Mapping[str, Usage]) -> list[Used]:
    """Return what was used by the sources that share a limit; a platform without any limit has nothing to tell."""
    sharing: dict[str, list[Source]] = {}
    for source in sources:
        for limit in dict.fromkeys(limits_of(source, settings)):
            sharing.setdefault(limit.key, []).append(source)
    calls: dict[tuple[str, ...], int] = {}
    for key, sharers in sharing.items():
        aliases = tuple(source.alias for source in sharers)
        calls[aliases] = calls.get(aliases, 0) + (usage[key].calls if key in usage else 0)
    by_alias = {source.alias: source for source in sources}
    return [_used([by_alias[alias] for alias in aliases], requests) for aliases, requests in calls.items()]


def _used(sources: Sequence[Source], requests: int) -> Used:
    quotas = [quota for source in sources if (quota := source.settings.requests_per_month) is not None]
    aliases = tuple(source.alias for source in sources)
    return Used(sources[0].platform, aliases, requests, min(quotas, default=None))


def limits_of(source: Source, settings: Settings) -> list[RateLimit]:
    """Return the limit that is most a source's own, of each budget that its platform asks for."""
    asked = _Asked()
    open_platform(source, settings, asked).close()
    return asked.limits


class _Asked:
    """Hands out budgets, and notes for which limits."""

    def __init__(self) -> None:
        self.limits: list[RateLimit] = []

    def budget(self, *limits: RateLimit) -> RateBudget:
        self.limits += limits[:1]
        return LocalBudgets().budget(*limits)
