"""Puts the definitions of any number of sources together, the same way for the UI, the command line and tests."""

from collections.abc import Mapping, Sequence

import dagster as dg

from dandi_pipeline.orchestration.assets import build_assets
from dandi_pipeline.orchestration.automation import build_job, build_schedule, build_sensor, build_sweep
from dandi_pipeline.orchestration.pruning import build_prune_job, build_prune_schedule
from dandi_pipeline.orchestration.resources import silent_logger
from dandi_pipeline.orchestration.sources import MirroredSource


def assemble(sources: Sequence[MirroredSource], resources: Mapping[str, object]) -> dg.Definitions:
    """Return each source's assets, job, sensor and schedules, and the job that prunes.

    They need the resources `connections` and `watcher`.
    """
    jobs = [build_job(source) for source in sources]
    pruning = build_prune_job()
    return dg.Definitions(
        assets=[build_assets(source) for source in sources],
        jobs=[*jobs, pruning],
        sensors=[build_sensor(source, job) for source, job in zip(sources, jobs, strict=True)],
        schedules=[
            build(source, job)
            for source, job in zip(sources, jobs, strict=True)
            for build in (build_schedule, build_sweep)
        ]
        + [build_prune_schedule(pruning)],
        resources=dict(resources),
        loggers={"console": silent_logger},
    )
