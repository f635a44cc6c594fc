"""The job that syncs a source, whoever launches it, and the schedule that checks all of it every night."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from dandi_pipeline.orchestration.run_tags import background_tags, launch_tags
from dandi_pipeline.orchestration.sources import MirroredSource


def build_job(source: MirroredSource) -> UnresolvedAssetJobDefinition:
    """Return the job of one source. In process: the step is the whole run, a process of its own would cost seconds."""
    return dg.define_asset_job(
        source.job_name,
        selection=[source.asset_key(part) for part in source.parts],
        description=f"Bring the mirror of {source.alias} up to date: the named partitions, or all that is stale.",
        executor_def=dg.in_process_executor,
        tags=launch_tags(source.alias),
    )


def build_schedule(source: MirroredSource, job: UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
    """Return the nightly check of the whole source, which also asks again about what was hidden."""
    return dg.ScheduleDefinition(
        name=source.schedule_name,
        job=job,
        cron_schedule="0 2 * * *",
        execution_timezone="UTC",
        tags=background_tags(source.alias),
        description=f"Check all of {source.alias}, also the {source.partition_noun}s that were hidden.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
