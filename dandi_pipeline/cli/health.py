"""`dandi-pipeline health`: how the syncs of the last hours went, and what is wrong."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import click

from dandi_pipeline.cli.arguments import positive_number
from dandi_pipeline.cli.terminal import plain, quantity, tell

if TYPE_CHECKING:
    from dandi_pipeline.cli.quota import Used
    from dandi_pipeline.orchestration.history import PastSync
    from dandi_pipeline.orchestration.standing import Standing
    from dandi_pipeline.settings import Settings, Source

_ENDED = ("done", "done with errors", "failed")
"""What counts as a sync that came to an end of its own; an interrupted one says nothing of anybody's health."""


@click.command(short_help="Say how the last day's syncs went, and what is wrong.")
@click.option(
    "--hours", metavar="N", default="24", callback=positive_number, help="Look at the last N hours (default: 24)."
)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, and nothing else, on standard output.")
def health(*, hours: int, as_json: bool) -> int:
    """Say how the syncs of the last 24 hours went, what they cost, and what is wrong.

    Wrong is an enabled source that was not looked at for twice its interval, or whose newest sync failed or left
    partitions behind. Nothing is asked of any platform.

    Exit codes: 0 healthy; 1 not; 2 wrong usage or configuration.
    """
    # Imported here, so that --help does not wait for Dagster.
    from dandi_pipeline.cli.configured import configured_sources
    from dandi_pipeline.orchestration.history import past_syncs
    from dandi_pipeline.orchestration.standing import standings

    settings, sources = configured_sources()
    enabled = [source for source in sources if source.enabled]
    home, now = settings.dagster_home, datetime.now(timezone.utc)
    syncs = past_syncs(home, since=now - timedelta(hours=hours))
    newest = {source.alias: _newest(past_syncs(home, limit=_LOOKED_AT, source=source.alias)) for source in enabled}
    standing = standings(home, enabled)
    overdue = [source.alias for source in enabled if standing[source.alias].is_overdue(now)]
    problems = [*_overdue(enabled, standing, now), *_failing(newest)]
    result = {"healthy": not problems, "hours": hours, **_sums(syncs)}
    result |= {"quota_this_month": [_as_json(each) for each in _quota(enabled, settings)]}
    result |= {"overdue": overdue, "problems": problems}
    tell(json.dumps(result, indent=2) if as_json else _text(result), to=sys.stdout)
    return 0 if result["healthy"] else 1


_LOOKED_AT = 20
"""Past syncs of a source among which its newest that came to an end is looked for."""


def _newest(syncs: "Sequence[PastSync]") -> "PastSync | None":
    return next((sync for sync in syncs if sync.status in _ENDED), None)


def _sums(syncs: "Sequence[PastSync]") -> dict[str, Any]:
    ended = [sync for sync in syncs if sync.status in _ENDED]
    failures: Counter[str] = Counter()
    for sync in ended:
        failures.update(sync.errors)
        failures.update([sync.stopped or "unknown"] if sync.status == "failed" else [])
    succeeded = sum(sync.status == "done" for sync in ended)
    return {
        "syncs": len(ended),
        "succeeded": succeeded,
        "success_rate": round(succeeded / len(ended), 4) if ended else None,
        "failures": dict(failures),
        "records_changed": sum(sync.records.changed for sync in ended if sync.records),
        "requests": sum(sync.traffic.requests for sync in syncs),
        "throttled": sum(sync.traffic.throttled for sync in syncs),
    }


def _quota(sources: "Sequence[Source]", settings: "Settings") -> "Sequence[Used]":
    from dandi_pipeline.cli.quota import used
    from dandi_pipeline.mirror import Mirror

    mirror = Mirror.peek(settings.mirror_database_url)
    if mirror is None:
        return []
    with mirror:
        return used(sources, settings, mirror.usage())


def _as_json(each: "Used") -> dict[str, Any]:
    return {"limit": each.limit, "sources": list(each.sources), "requests": each.requests}


def _overdue(sources: "Sequence[Source]", standing: "Mapping[str, Standing]", now: datetime) -> Iterator[str]:
    from dandi_pipeline.cli.spans import why

    for source in sources:
        if standing[source.alias].is_overdue(now):
            yield f"{source.alias}: overdue, {why(standing[source.alias], now)}"


def _failing(newest: "Mapping[str, PastSync | None]") -> Iterator[str]:
    for alias, sync in newest.items():
        if sync is not None and sync.status != "done":
            groups = ", ".join(f"{count} {group}" for group, count in sync.errors.items()) or sync.stopped or "unknown"
            yield f"{alias}: its newest sync is {sync.status} ({groups}; run {sync.run_id})"


def _text(result: Mapping[str, Any]) -> str:
    rate = "none yet" if result["success_rate"] is None else f"{result['success_rate']:.1%}"
    failures = ", ".join(f"{count} {group}" for group, count in result["failures"].items()) or "none"
    lines = [
        f"Last {quantity(result['hours'], 'hour')}:",
        f"Syncs: {result['syncs']}",
        f"Success rate: {rate}",
        f"Failures: {failures}",
        f"Records changed: {result['records_changed']}",
        f"Requests: {result['requests']}",
        f"Answers 429: {result['throttled']}",
    ]
    lines += [
        f"This month under {each['limit']} ({', '.join(each['sources'])}): {each['requests']} requests"
        for each in result["quota_this_month"]
    ]
    lines.append(f"Sources overdue: {', '.join(result['overdue']) or 'none'}")
    if result["healthy"]:
        return "\n".join([*lines, "Healthy"])
    return "\n".join([*lines, "Not healthy:", *(f"  {plain(problem)}" for problem in result["problems"])])
