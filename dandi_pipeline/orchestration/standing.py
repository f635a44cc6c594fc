"""When each source was last looked at as a whole, and when it is due again."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickStatus

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

    `partitions` is how many Dagster shows.
    """

    checked: datetime | None
    every: timedelta
    partitions: int = 0

    @property
    def next_due(self) -> datetime | None:
        """When it is to be looked at again; None means at once."""
        return self.checked and self.checked + self.every

    def is_due(self, now: datetime) -> bool:
        """Tell whether it is time."""
        return self.next_due is None or self.next_due <= now

    def is_overdue(self, now: datetime) -> bool:
        """Tell whether it should have been looked at long ago: nobody keeps it fresh."""
        return self.checked is None or self.checked + _LATE * self.every <= now


def standings(home: Path, sources: Iterable[Source]) -> dict[str, Standing]:
    """Return how each source stands, by alias; a home that was never used has seen none of them."""
    with open_used(home) as instance:
        if instance is None:
            return {source.alias: Standing(None, source.every) for source in sources}
        ticks = _sensor_ticks(instance)
        return {
            source.alias: Standing(
                max(filter(None, (_last_sync(instance, source), ticks.get(sensor_name(source.alias)))), default=None),
                source.every,
                len(instance.get_dynamic_partitions(source.alias)),
            )
            for source in sources
        }


def _last_sync(instance: dg.DagsterInstance, source: Source) -> datetime | None:
    """Return when the last sync began that looked at all of the source and came to its end."""
    ended = dg.RunsFilter(
        tags={run_tags.SOURCE: source.alias, run_tags.WHOLE: run_tags.YES},
        statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE],
    )
    for record in instance.get_run_records(ended, limit=_CHECKS_LOOKED_AT):
        tags = record.dagster_run.tags
        if record.start_time is not None and run_tags.CHECKED in tags and run_tags.STOPPED not in tags:
            return datetime.fromtimestamp(record.start_time, timezone.utc)
    return None


def _sensor_ticks(instance: dg.DagsterInstance) -> dict[str, datetime]:
    """Return when each sensor last looked and came to an answer, by its name."""
    found: dict[str, datetime] = {}
    for state in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
        ticks = instance.get_ticks(
            state.instigator_origin_id, state.selector_id, limit=1, statuses=[TickStatus.SUCCESS, TickStatus.SKIPPED]
        )
        if ticks:
            found[state.name] = datetime.fromtimestamp(ticks[0].timestamp, timezone.utc)
    return found
