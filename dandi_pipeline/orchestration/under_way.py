"""Which partitions the runs that are queued or at work have taken on, so that nothing is launched twice."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import dagster as dg

from dandi_pipeline.orchestration.run_tags import SOURCE
from dandi_pipeline.orchestration.sources import MirroredSource

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

_PARTITION = "dagster/partition"
_RANGE_START, _RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@dataclass(frozen=True, slots=True)
class UnderWay:
    """The partitions that unfinished runs have taken on; `whole` is the id of a run over the whole source."""

    keys: frozenset[str]
    whole: str | None


def find_under_way(instance: dg.DagsterInstance, source: MirroredSource) -> UnderWay:
    """Look at the unfinished runs of a source, whoever launched them: sensor, schedule, UI, backfill or command."""
    keys: set[str] = set()
    for run in _runs_of(instance, source):
        taken = _partitions_of(run, instance, source)
        if taken is None:
            return UnderWay(frozenset(), run.run_id)
        keys.update(taken)
    return UnderWay(frozenset(keys), None)


def _runs_of(instance: dg.DagsterInstance, source: MirroredSource) -> list[dg.DagsterRun]:
    """Return the source's unfinished runs; a backfill's carries no tag of ours before it starts."""
    assets = {source.asset_key(part) for part in source.parts}
    return [
        run
        for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
        if run.tags.get(SOURCE) == source.alias or assets & (run.asset_selection or set())
    ]


def _partitions_of(run: dg.DagsterRun, instance: dg.DagsterInstance, source: MirroredSource) -> Iterable[str] | None:
    """Return the partitions a run was launched for; None if for all."""
    if _PARTITION in run.tags:
        return [run.tags[_PARTITION]]
    if _RANGE_START in run.tags:
        ordered = list(instance.get_dynamic_partitions(source.partition_set))
        bounds = (run.tags[_RANGE_START], run.tags[_RANGE_END])
        if not set(bounds) <= set(ordered):
            return []
        return ordered[ordered.index(bounds[0]) : ordered.index(bounds[1]) + 1]
    return _in_config(run.run_config, source) or None


def _in_config(run_config: Any, source: MirroredSource) -> list[str]:
    config = run_config.get("ops", {}).get(source.step_name, {}).get("config", {})
    return list(config.get("partitions", []))
