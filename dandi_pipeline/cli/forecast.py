"""What a sync would do: a dry run of one source, the plan of several, and what the platforms' quotas have left."""

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dandi_pipeline.catalogue import peek_mirror
from dandi_pipeline.cli.output import in_words, screen_width, table, why
from dandi_pipeline.cli.progress import Display
from dandi_pipeline.cli.sources import missing_credential
from dandi_pipeline.errors import PipelineError
from dandi_pipeline.http import LocalBudgets
from dandi_pipeline.mirror import Mirror, Usage
from dandi_pipeline.orchestration.history import Freshness, past_syncs
from dandi_pipeline.platforms.registry import PLATFORMS, open_platform
from dandi_pipeline.settings import Settings, Source
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.planning import SyncPlan, estimated_requests
from dandi_pipeline.sync.report import Outcome, PartitionReport, SyncReport, summarize
from dandi_pipeline.text import one_line, plain, quantity

_NEARLY = 0.9
"""The part of a quota from which on it is nearly used up."""


@dataclass(frozen=True, slots=True)
class Used:
    """The requests of the present month (UTC) that sources of a platform sent under limits that they share.

    `quota` is how many the platform allows, None if it was not said. `requests` is None where that is `unknown`, since
    the variable of that name, whose token they are counted by, is not set.
    """

    platform: str
    sources: tuple[str, ...]
    requests: int | None
    quota: int | None
    unknown: str | None = None

    @property
    def nearly_all(self) -> bool:
        """Whether hardly any are left."""
        return self.quota is not None and self.requests is not None and self.requests >= _NEARLY * self.quota


def used(sources: Sequence[Source], settings: Settings, usage: Mapping[str, Usage]) -> list[Used]:
    """Return what was used by the sources that share a limit; a platform without any limit has nothing to tell."""
    sharing: dict[str, list[Source]] = {}
    for source in sources:
        for limit in dict.fromkeys(PLATFORMS[source.platform].limits(source, settings)):
            sharing.setdefault(limit.key, []).append(source)
    calls: dict[tuple[str, ...], int] = {}
    for key, sharers in sharing.items():
        aliases = tuple(source.alias for source in sharers)
        calls[aliases] = calls.get(aliases, 0) + (usage[key].calls if key in usage else 0)
    by_alias = {source.alias: source for source in sources}
    return [_used([by_alias[alias] for alias in aliases], requests, settings) for aliases, requests in calls.items()]


def _used(sources: Sequence[Source], requests: int, settings: Settings) -> Used:
    quotas = [quota for source in sources if (quota := source.settings.requests_per_month) is not None]
    aliases = tuple(source.alias for source in sources)
    unknown = next(filter(None, (missing_credential(source, settings) for source in sources)), None)
    return Used(sources[0].platform, aliases, None if unknown else requests, min(quotas, default=None), unknown)


def preview(source: Source, settings: Settings, options: SyncOptions, watcher: Display, *, quiet: bool) -> SyncReport:
    """Say on standard output what each stale dandiset would change (`quiet`: do not), and return their sum.

    The report has no run id; its counts are what a sync would do.
    """
    started = time.monotonic()
    with (
        peek_mirror(settings.mirror_database_url) or nullcontext() as mirror,
        closing(open_platform(source, settings, mirror or LocalBudgets(), options.tuning)) as platform,
    ):
        sync = Sync(source.alias, platform, mirror, options, watcher, max_concurrent=source.settings.max_concurrent)
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
            partition_noun=platform.description.partition_noun,
            record_noun=platform.description.bulk.name,
            traffic=platform.traffic,
            whole=options.whole,
            tuning=str(options.tuning),
        )


def _would_change(report: PartitionReport, plan: SyncPlan) -> str:
    if report.error is not None:
        return plain(f"Cannot say for {report.describe()}")
    if report.outcome is Outcome.FRESH:
        return plain(f"Would leave {report.partition}: still hidden")
    reason = next(item.reason for item in plan.stale if item.key == report.partition)
    if report.outcome is Outcome.HIDDEN:
        return plain(f"Would hide {report.partition}: {report.warning} [{reason}]")
    return plain(f"Would sync {report.describe()} [{reason}]")


_AT_ONCE = 8
_HEADINGS = ("SOURCE", "PLATFORM", "DUE", "WHY", "CHECKED", "STALE", "REQUESTS", "TIME")
_NUMBERS = {"CHECKED", "STALE", "REQUESTS", "TIME"}
_PAST = 50
"""Past syncs that are looked at for their pace."""

_TELLING = 10
"""Requests from which on a past sync's pace says something about the next one's."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a sync of one source would find and send. `seconds` is None where no rate is known, nor any past pace.

    Sources with the same `shares` send under one limit, so that they wait for each other.
    """

    alias: str
    platform: str
    due: bool
    why: str
    shares: str = ""
    checked: int = 0
    stale: int = 0
    requests: int = 0
    seconds: float | None = None
    error: str = ""
    exit_code: int = 0


def forecasts(
    sources: Sequence[Source],
    settings: Settings,
    options: SyncOptions,
    standing: Mapping[str, Freshness],
    now: datetime,
    *,
    only_due: bool,
) -> list[Forecast]:
    """Ask each platform what is stale, side by side, and write nothing; with `only_due`, those alone that are due.

    `options` say how each would be synced.
    """
    pace = _past_pace(settings.dagster_home)
    with peek_mirror(settings.mirror_database_url) or nullcontext() as mirror:

        def look(source: Source) -> Forecast:
            at = standing[source.alias]
            outlook = Forecast(source.alias, source.platform, at.is_due(now), why(at, now))
            if only_due and not outlook.due:
                return outlook
            try:
                return _asked(outlook, source, settings, options, mirror, pace=pace.get(source.alias))
            except PipelineError as error:
                return replace(outlook, error=str(error), exit_code=error.exit_code)

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="outlook") as threads:
            return list(threads.map(look, sources))


def _asked(
    outlook: Forecast,
    source: Source,
    settings: Settings,
    options: SyncOptions,
    mirror: Mirror | None,
    *,
    pace: float | None,
) -> Forecast:
    with closing(open_platform(source, settings, mirror or LocalBudgets(), options.tuning)) as platform:
        plan = Sync(source.alias, platform, mirror, options).plan()
        sent = platform.traffic.requests
    chosen = options.tuning.applied_to(source.settings)
    held, limit = _held(mirror, source), options.max_records
    requests = sent + estimated_requests(plan, held, page_size=chosen.page_size, max_records=limit)
    own, shared = options.tuning.rate_limit, chosen.requests_per_second
    rate = min((rate for rate in (own, shared) if rate is not None), default=pace)
    limits = [] if rate == own else PLATFORMS[source.platform].limits(source, settings)
    return replace(
        outlook,
        shares=limits[0].key if limits else source.alias,
        checked=plan.checked,
        stale=len(plan.stale),
        requests=requests,
        seconds=None if rate is None else requests / rate,
    )


def _held(mirror: Mirror | None, source: Source) -> dict[str, int]:
    """Return how many records the mirror holds of each partition."""
    held: Counter[str] = Counter()
    for (partition, _), state in (mirror.states(source.alias) if mirror else {}).items():
        held[partition] += state.records
    return held


def _past_pace(home: Path) -> dict[str, float]:
    """Return how many requests a second each source's last sync sent, where that says something."""
    pace: dict[str, float] = {}
    for past in past_syncs(home, limit=_PAST):
        if past.duration_seconds and past.traffic.requests >= _TELLING:
            pace.setdefault(past.source, past.traffic.requests / past.duration_seconds)
    return pace


def forecast_json(found: Sequence[Forecast]) -> dict[str, Any]:
    """Return each source's outlook by its alias, and the total."""
    sources = {
        outlook.alias: {name: value for name, value in asdict(outlook).items() if name not in ("alias", "shares")}
        for outlook in found
    }
    total = {"due": sum(outlook.due for outlook in found), "requests": _requests(found), "seconds": _longest(found)}
    return {"sources": sources, "total": total}


def forecast_table(found: Sequence[Forecast]) -> str:
    """Return a line a source, and what all of it would take."""
    due, longest = sum(outlook.due for outlook in found), _longest(found)
    took = "" if longest is None else f"; side by side, about {_time(longest)}"
    return "\n".join(
        [
            table(_HEADINGS, [_row(outlook) for outlook in found], numbers=_NUMBERS, width=screen_width()),
            *(f"{outlook.alias}: {one_line(outlook.error)}" for outlook in found if outlook.error),
            "",
            f"{quantity(len(found), 'source')}, {due} due; about {quantity(_requests(found), 'request')}{took}",
            "Dry run: nothing was written",
        ]
    )


def _longest(found: Sequence[Forecast]) -> float | None:
    """Return the seconds that all would take side by side, those after each other that share a limit."""
    together: dict[str, float] = {}
    for outlook in found:
        if outlook.seconds is not None:
            together[outlook.shares] = together.get(outlook.shares, 0) + outlook.seconds
    return max(together.values(), default=None)


def _requests(found: Sequence[Forecast]) -> int:
    return sum(outlook.requests for outlook in found)


def _row(outlook: Forecast) -> tuple[str, ...]:
    known = (str(outlook.checked), str(outlook.stale), f"~{outlook.requests}", _time(outlook.seconds))
    left_out = not outlook.due and not outlook.requests
    unknown = outlook.error or left_out
    due = "yes" if outlook.due else "no"
    return (outlook.alias, outlook.platform, due, outlook.why, *(("", "", "", "") if unknown else known))


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "no stated rate"
    return f"{in_words(timedelta(seconds=max(1, round(seconds))))}"
