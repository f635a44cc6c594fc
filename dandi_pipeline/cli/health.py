"""`dandi-pipeline health`: how the syncs of the last hours went, and what is wrong."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from typing import Any

from dandi_pipeline.catalogue import peek_mirror
from dandi_pipeline.cli.forecast import Used, used
from dandi_pipeline.cli.output import in_words, tell, why
from dandi_pipeline.cli.sources import configured_sources, not_configured
from dandi_pipeline.orchestration.history import Freshness, PastSync, freshness_of, latest_syncs, past_syncs
from dandi_pipeline.settings import Source
from dandi_pipeline.text import one_line, plain, quantity

_LOOKED_AT = 20
"""Past syncs of a source among which the newest is looked for that came to an end of its own."""


def health(*, hours: int, as_json: bool) -> int:
    """Say how the syncs of the last 24 hours went, what they cost, and what is wrong."""
    settings, sources = configured_sources()
    enabled = [source for source in sources if source.enabled]
    home, now = settings.dagster_home, datetime.now(timezone.utc)
    syncs = past_syncs(home, since=now - timedelta(hours=hours))
    latest = latest_syncs(home, [source.alias for source in enabled], limit=_LOOKED_AT)
    with peek_mirror(settings.mirror_database_url) or nullcontext() as mirror:
        standing = freshness_of(home, enabled, mirror, now)
        quotas = used(enabled, settings, mirror.usage() if mirror else {})
        left = not_configured(mirror, sources)
    problems = [*_overdue(enabled, standing, now), *_failing(latest, now), *_nearly_used(quotas)]
    result = {"healthy": not problems, "hours": hours, **_sums(syncs)}
    result |= {"quota_this_month": [asdict(each) for each in quotas]}
    result |= {"overdue": [source.alias for source in enabled if standing[source.alias].is_overdue(now)]}
    result |= {"not_configured": {alias: asdict(held) for alias, held in left.items()}, "problems": problems}
    tell(json.dumps(result, indent=2) if as_json else _text(result), to=sys.stdout)
    return 1 if problems else 0


def _sums(syncs: Sequence[PastSync]) -> dict[str, Any]:
    ended = [sync for sync in syncs if sync.ended]
    failures: Counter[str] = Counter()
    for sync in ended:
        failures.update(sync.failures)
    succeeded = sum(sync.status == "done" for sync in ended)
    return {
        "syncs": len(ended),
        "succeeded": succeeded,
        "success_rate": round(succeeded / len(ended), 4) if ended else None,
        "failures": dict(failures),
        "records_changed": sum(sync.report.records.changed for sync in syncs if sync.report),
        "requests": sum(sync.traffic.requests for sync in syncs),
        "throttled": sum(sync.traffic.throttled for sync in syncs),
    }


def _overdue(sources: Sequence[Source], standing: Mapping[str, Freshness], now: datetime) -> Iterator[str]:
    for source in sources:
        if standing[source.alias].is_overdue(now):
            yield (
                f"{source.alias}: overdue, {why(standing[source.alias], now)}; sync it, or let `dandi-pipeline ui` run,"
                " whose sensor does"
            )


def _failing(latest: Mapping[str, Sequence[PastSync]], now: datetime) -> Iterator[str]:
    """Say of which sources the newest sync that came to an end did not bring everything, and why."""
    for alias, syncs in latest.items():
        newest = next((sync for sync in syncs if sync.ended), None)
        if newest is None or newest.ended is None or newest.status == "done":
            continue
        ago, groups = in_words(now - newest.ended), _counted(newest.failures)
        if newest.status == "failed":
            yield f"{alias}: the newest sync failed {ago} ago ({groups}): {one_line(newest.why_failed)}"
        else:
            yield f"{alias}: the newest sync ended {ago} ago with errors ({groups}); see dandi-pipeline inspect {alias}"


def _nearly_used(quotas: Sequence[Used]) -> Iterator[str]:
    for each in quotas:
        if each.nearly_all:
            yield (
                f"{', '.join(each.sources)}: {each.requests:,} of this month's {each.quota:,} requests are used; look"
                " less often (`every`, `sweep`), or raise the plan"
            )


def _text(result: Mapping[str, Any]) -> str:
    rate = "none yet" if result["success_rate"] is None else f"{result['success_rate']:.1%}"
    lines = [
        f"Last {quantity(result['hours'], 'hour')}:",
        f"Syncs: {result['syncs']:,}",
        f"Success rate: {rate}",
        f"Failures: {_counted(result['failures']) or 'none'}",
        f"Records changed: {result['records_changed']:,}",
        f"Requests: {result['requests']:,}",
        f"Answers 429: {result['throttled']:,}",
        *(f"Used this month by {_used(each)}" for each in result["quota_this_month"]),
        f"Sources overdue: {', '.join(result['overdue']) or 'none'}",
        *(plain(_left(alias, held)) for alias, held in result["not_configured"].items()),
    ]
    if result["healthy"]:
        return "\n".join([*lines, "Healthy"])
    return "\n".join([*lines, "Not healthy:", *(f"  {problem}" for problem in result["problems"])])


def _counted(failures: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {group}" for group, count in failures.items())


def _left(alias: str, held: Mapping[str, int]) -> str:
    what = f"{quantity(held['partitions'], 'partition')}, {quantity(held['records'], 'record')}"
    return f"Not configured any more, but held: {alias} ({what}); `dandi-pipeline forget {alias}` removes it"


def _used(each: Mapping[str, Any]) -> str:
    if each["requests"] is None:
        return f"{', '.join(each['sources'])} ({each['platform']}): unknown, {each['unknown']} is not set"
    of_quota = "" if each["quota"] is None else f" of {each['quota']:,}, {each['requests'] / each['quota']:.0%}"
    return f"{', '.join(each['sources'])} ({each['platform']}): {each['requests']:,} requests{of_quota}"
