"""A dry run: what a sync would change, found out with reads alone.

Nothing is written anywhere: no database, no Dagster home, no run in the history.
"""

import sys
import time
from contextlib import ExitStack, closing

from dandi_pipeline.cli.progress import Display
from dandi_pipeline.cli.terminal import plain
from dandi_pipeline.http import LocalBudgets
from dandi_pipeline.mirror import Mirror
from dandi_pipeline.platforms.registry import open_platform
from dandi_pipeline.settings import Settings, Source
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.planning import SyncPlan
from dandi_pipeline.sync.report import PartitionReport, SyncReport, summarize


def preview(source: Source, settings: Settings, options: SyncOptions, watcher: Display, *, quiet: bool) -> SyncReport:
    """Say on standard output what each stale dandiset would change (`quiet`: do not), and return their sum.

    The report has no run id; its counts are what a sync would do.
    """
    started = time.monotonic()
    with ExitStack() as stack:
        mirror = Mirror.peek(settings.mirror_database_url)
        if mirror is not None:
            stack.enter_context(mirror)
        platform = stack.enter_context(closing(open_platform(source, settings, mirror or LocalBudgets(), options.mode)))
        sync = Sync(source.alias, platform, mirror, options, watcher)
        plan = sync.plan()
        reports = []
        for report in sync.preview(plan):
            reports.append(report)
            if not quiet:
                watcher.say(_would_change(report, plan), to=sys.stdout)
        return summarize(
            reports,
            run_id=None,
            scope=options.scope,
            checked=plan.checked,
            duration_seconds=time.monotonic() - started,
            partition_noun=platform.partition_noun,
            record_noun=platform.kinds[-1].name,
            traffic=platform.traffic,
        )


def _would_change(report: PartitionReport, plan: SyncPlan) -> str:
    if report.error is not None:
        return plain(f"Cannot say for {report.describe()}")
    reason = next(item.reason for item in plan.stale if item.key == report.partition)
    return plain(f"Would sync {report.describe()} [{reason}]")
