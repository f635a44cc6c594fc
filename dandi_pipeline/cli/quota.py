"""How much of a platform's quota the sources have used this month."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dandi_pipeline.http import LocalBudgets, RateBudget, RateLimit
from dandi_pipeline.mirror import Usage
from dandi_pipeline.platforms.registry import open_platform
from dandi_pipeline.settings import Settings, Source


@dataclass(frozen=True, slots=True)
class Used:
    """The requests of the present month (UTC) under one limit, and the sources that share it."""

    limit: str
    sources: tuple[str, ...]
    requests: int


def used(sources: Sequence[Source], settings: Settings, usage: Mapping[str, Usage]) -> list[Used]:
    """Return what was used under each limit that the sources' platforms keep; a platform without any has none."""
    shared: dict[str, list[str]] = {}
    for source in sources:
        for limit in dict.fromkeys(_limits(source, settings)):
            shared.setdefault(limit.key, []).append(source.alias)
    return [Used(key, tuple(aliases), usage[key].calls) for key, aliases in sorted(shared.items()) if key in usage]


def _limits(source: Source, settings: Settings) -> list[RateLimit]:
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
