"""When each source was last looked at as a whole, and when it is due again."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickStatus

from dandi_pipeline.mirror import Mirror
from dandi_pipeline.orchestration import run_tags
from dandi_pipeline.orchestration.home import open_used
from dandi_pipeline.orchestration.sources import sensor_name
from dandi_pipeline.settings import Source

_LATE = 2
"""A source is overdue when it was not looked at for so many of its intervals."""

_CHECKS_LOOKED_AT = 20


@dataclass(frozen=True, slots=True)
class Standing:
    """When a source was last looked at, by a sync of all of it or by its sensor; None if never.

    `partitions` is how many Dagster shows, `missing` how many of those the mirror does not hold. `emptied`: it holds
    none, so that nothing counts that Dagster remembers: it was deleted, or another one is used now.
    """

    checked: datetime | None
    every: timedelta
    partitions: int = 0
    missing: int = 0
    emptied: bool = False

    @property
    def next_due(self) -> datetime | None:
        """When it is to be looked at again; None means at once."""
        return None if self.checked is None or self.missing or self.emptied else self.checked + self.every

    def is_due(self, now: datetime) -> bool:
        """Tell whether it is time."""
        return self.next_due is None or self.next_due <= now

    def is_overdue(self, now: datetime) -> bool:
        """Tell whether it should have been looked at long ago: nobody keeps it fresh."""
        return self.checked is None or self.emptied or self.checked + _LATE * self.every <= now


def standings(home: Path, sources: Iterable[Source], mirror: Mirror | None, now: datetime) -> dict[str, Standing]:
    """Return how each source stands at `now`, by alias; a home that was never used has seen none of them.

    What the mirror holds decides: one that is None, or holds nothing of a source that Dagster knows, is to be filled.
    """
    with open_used(home) as instance:
        if instance is None:
            return {source.alias: Standing(None, source.every) for source in sources}
        ticks = _sensor_ticks(instance, now)
        return {
            source.alias: _standing(
                source,
                checks=[_last_sync(instance, source, now), ticks.get(sensor_name(source.alias))],
                shown=instance.get_dynamic_partitions(source.alias),
                held=None if mirror is None else {partition for partition, _ in mirror.states(source.alias)},
            )
            for source in sources
        }


def _standing(
    source: Source, *, checks: Iterable[datetime | None], shown: Collection[str], held: Collection[str] | None
) -> Standing:
    missing = len(set(shown) - set(held or ()))
    return Standing(
        checked=max(filter(None, checks), default=None),
        every=source.every,
        partitions=len(shown),
        missing=missing,
        emptied=held is None or (not held and missing > 0),
    )


def _last_sync(instance: dg.DagsterInstance, source: Source, now: datetime) -> datetime | None:
    """Return when the last sync began that looked at all of the source and came to its end.

    One that began later than now was recorded before the clock was set back, and says nothing.
    """
    ended = dg.RunsFilter(
        tags={run_tags.SOURCE: source.alias, run_tags.WHOLE: run_tags.YES},
        statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE],
    )
    for record in instance.get_run_records(ended, limit=_CHECKS_LOOKED_AT):
        tags, began = record.dagster_run.tags, record.start_time
        if began is None or began > now.timestamp():
            continue
        if run_tags.CHECKED in tags and run_tags.STOPPED not in tags:
            return datetime.fromtimestamp(began, timezone.utc)
    return None


def _sensor_ticks(instance: dg.DagsterInstance, now: datetime) -> Mapping[str, datetime]:
    """Return when each sensor last looked, up to `now`, and came to an answer, by its name."""
    found: dict[str, datetime] = {}
    for state in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
        ticks = instance.get_ticks(
            state.instigator_origin_id,
            state.selector_id,
            before=now.timestamp(),
            limit=1,
            statuses=[TickStatus.SUCCESS, TickStatus.SKIPPED],
        )
        if ticks:
            found[state.name] = datetime.fromtimestamp(ticks[0].timestamp, timezone.utc)
    return found
