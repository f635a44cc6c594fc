"""The tags that a sync puts on its Dagster run: all that the history needs, kept in run storage.

Written once when the run starts and once when it ends; `history` and the sensor read them. One is for people to see in
the list of runs; Dagster's UI and GraphQL leave out those that begin with `.dagster/`.
"""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from dandi_pipeline.http import TOTALS, Traffic
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.report import SyncReport, Tally

RESULT = "sync/result"
"""What came of a sync, for people: "1 failed, 2 updated"."""

KIND = ".dagster/sync_kind"
SYNC = "sync"
SOURCE = ".dagster/sync_source"
BACKGROUND = ".dagster/sync_background"
"""On runs that nobody is waiting for; `dagster.yaml` lets them go one at a time for each value, a source's alias."""

SCOPE = ".dagster/sync_scope"
WHOLE = ".dagster/sync_whole"
"""On runs that looked at all of their source."""

YES = "yes"
CHECKED = ".dagster/sync_checked"
UPDATED = ".dagster/sync_updated"
ADDED = ".dagster/sync_added"
DELETED = ".dagster/sync_deleted"
FAILED = ".dagster/sync_failed"
RECORD_NOUN = ".dagster/sync_record"
REQUESTS = ".dagster/sync_requests"
MODE = ".dagster/sync_mode"
TRAFFIC = ".dagster/sync_traffic"
"""What was sent and received, as JSON: the totals, what the platform counts beside them, and the same by host."""

ERRORS = ".dagster/sync_errors"
"""How many partitions failed, by the group of their error, as JSON."""

DURATION = ".dagster/sync_duration"
STOPPED = ".dagster/sync_stopped"
"""What ended the sync early: its error's group, or `INTERRUPTED`; absent where every partition had its turn."""

INTERRUPTED = "interrupted"

STOPPED_BY = ".dagster/sync_stopped_by"
"""The message of the error that ended the sync early."""

_RECORD_COUNTS = ("checked", "added", "updated", "deleted", "unchanged")
_LONGEST_SCOPE = 200


def launch_tags(alias: str) -> dict[str, str]:
    """Return what every run of a source carries from its creation on."""
    return {KIND: SYNC, SOURCE: alias}


def background_tags(alias: str) -> dict[str, str]:
    """Return what the runs of the sensor and the schedule carry as well."""
    return {BACKGROUND: alias}


def start_tags(alias: str, options: SyncOptions) -> dict[str, str]:
    """Return what a run carries once it knows what it is asked; a backfill's run has no launch tags."""
    mode = str(options.mode)
    return {
        **launch_tags(alias),
        SCOPE: options.scope[:_LONGEST_SCOPE],
        **({WHOLE: YES} if options.whole else {}),
        **({MODE: mode} if mode else {}),
    }


def end_tags(report: SyncReport, stopped: str | None) -> dict[str, str]:
    """Return what a run did, as text; `stopped` is what ended it early, if anything did."""
    partitions, records = report.partitions, report.records
    counts = {
        CHECKED: partitions.checked,
        UPDATED: partitions.updated,
        ADDED: partitions.added,
        DELETED: partitions.deleted,
        FAILED: report.failed,
        **{_record_tag(report.record_noun, count): getattr(records, count) for count in _RECORD_COUNTS},
        REQUESTS: report.traffic.requests,
    }
    return {
        **{tag: str(count) for tag, count in counts.items()},
        RECORD_NOUN: report.record_noun,
        DURATION: f"{report.duration_seconds:.2f}",
        TRAFFIC: json.dumps(_plain(report.traffic)),
        ERRORS: json.dumps(Counter(problem.error.group for problem in report.problems if problem.error)),
        RESULT: _result(report, stopped),
        **({STOPPED: stopped} if stopped else {}),
    }


def records_from(tags: Mapping[str, str]) -> Tally | None:
    """Return the bulk records' counts that `end_tags` wrote, or None for a run that did not come to its end."""
    noun = tags.get(RECORD_NOUN)
    if noun is None:
        return None
    return Tally(**{count: count_from(tags, _record_tag(noun, count)) or 0 for count in _RECORD_COUNTS})


def count_from(tags: Mapping[str, str], tag: str) -> int | None:
    """Return a count, or None where the tag is missing or was edited into something else by hand."""
    text = tags.get(tag, "")
    return int(text) if text.isascii() and text.isdigit() else None


def traffic_from(tags: Mapping[str, str]) -> Traffic:
    """Return the traffic that `end_tags` wrote; nothing where it was not written, or was edited by hand."""
    return _traffic(_object(tags.get(TRAFFIC)))


def errors_from(tags: Mapping[str, str]) -> dict[str, int]:
    """Return how many partitions failed, by the group of their error."""
    return {group: count for group, count in _object(tags.get(ERRORS)).items() if isinstance(count, int)}


def _result(report: SyncReport, stopped: str | None) -> str:
    partitions = report.partitions
    ending = [stopped if stopped == INTERRUPTED else f"stopped by a {stopped} error"] if stopped else []
    counts = {
        "failed": report.failed,
        "added": partitions.added,
        "updated": partitions.updated,
        "deleted": partitions.deleted,
    }
    # The list of runs is narrow: what is amiss comes first.
    return ", ".join([*ending, *(f"{count:,} {what}" for what, count in counts.items() if count)]) or "no change"


def _plain(traffic: Traffic) -> dict[str, Any]:
    totals = {name: getattr(traffic, name) for name in TOTALS}
    totals["seconds_slept"] = round(traffic.seconds_slept, 3)
    counters = {"counters": dict(traffic.counters)} if traffic.counters else {}
    hosts = {"hosts": {host: _plain(of_host) for host, of_host in traffic.hosts.items()}} if traffic.hosts else {}
    return {**{name: value for name, value in totals.items() if value}, **counters, **hosts}


def _traffic(plain: Mapping[str, Any]) -> Traffic:
    numbers = {name: plain[name] for name in TOTALS if isinstance(plain.get(name), int | float)}
    counters = {name: count for name, count in _mapping(plain.get("counters")).items() if isinstance(count, int)}
    hosts = {host: _traffic(_mapping(of_host)) for host, of_host in _mapping(plain.get("hosts")).items()}
    return Traffic(**numbers, counters=counters, hosts=hosts)


def _object(text: str | None) -> Mapping[str, Any]:
    try:
        return _mapping(json.loads(text or "{}"))
    except json.JSONDecodeError:
        return {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _record_tag(noun: str, count: str) -> str:
    return f".dagster/sync_{noun}s_{count}"
