"""`dandi-pipeline stats`: what the connection pool and the rate limiter did, by host."""

import json
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from dandi_pipeline.cli.output import byte_size, counter_heading, screen_width, table, tell
from dandi_pipeline.cli.sources import configured_sources, selection_of
from dandi_pipeline.http import Traffic
from dandi_pipeline.orchestration.history import past_syncs
from dandi_pipeline.text import plain, quantity

_HEADINGS = ("HOST", "REQUESTS", "OPENED", "REUSED", "WAITED", "SLEPT", "RETRIES", "429S", "RECEIVED")


def stats(*, hours: int, as_json: bool, **given: Any) -> int:
    """Show what the syncs of the last hours did to each host that they asked."""
    selection = selection_of(given)
    settings, sources = configured_sources()
    aliases = {source.alias for source in selection.of(sources, with_disabled=True)}
    syncs = past_syncs(settings.dagster_home, since=datetime.now(timezone.utc) - timedelta(hours=hours))
    total = sum((sync.traffic for sync in syncs if sync.source in aliases), Traffic())
    text = json.dumps(_as_json(total, hours), indent=2) if as_json else _text(total, hours)
    tell(text, to=sys.stdout)
    return 0


def _as_json(total: Traffic, hours: int) -> Mapping[str, Any]:
    hosts = {host: _counts(traffic) for host, traffic in sorted(total.hosts.items())}
    return {"hours": hours, "hosts": hosts, "counters": dict(total.counters)}


def _counts(traffic: Traffic) -> dict[str, Any]:
    return {
        "requests": traffic.requests,
        "opened": traffic.opened,
        "reused": max(0, traffic.requests - traffic.opened),
        "waited": traffic.waited,
        "seconds_slept": round(traffic.seconds_slept, 3),
        "retries": traffic.retries,
        "throttled": traffic.throttled,
        "bytes_received": traffic.bytes_received,
    }


def _text(total: Traffic, hours: int) -> str:
    if not total.hosts:
        return f"No requests in the last {quantity(hours, 'hour')}."
    rows = [_row(host, _counts(traffic)) for host, traffic in sorted(total.hosts.items())]
    lines = [table(_HEADINGS, rows, numbers=_HEADINGS[1:], width=screen_width())]
    lines += [plain(f"{counter_heading(name)}: {count:,}") for name, count in total.counters.items()]
    return "\n".join(lines)


def _row(host: str, counts: Mapping[str, Any]) -> tuple[str, ...]:
    plainly = [f"{counts[name]:,}" for name in ("requests", "opened", "reused", "waited")]
    slept, received = f"{counts['seconds_slept']:,.1f} s", byte_size(counts["bytes_received"])
    return (plain(host), *plainly, slept, f"{counts['retries']:,}", f"{counts['throttled']:,}", received)
