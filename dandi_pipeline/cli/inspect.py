"""`dandi-pipeline inspect`: what the mirror and Dagster hold of each source, and how it stands."""

import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime, timezone
from typing import Any

from dandi_pipeline.catalogue import peek_mirror
from dandi_pipeline.cli.output import named, screen_width, table, tell
from dandi_pipeline.cli.sources import configured_sources, missing_credential, not_configured, selection_of
from dandi_pipeline.mirror import Held, PartitionState
from dandi_pipeline.orchestration.history import Freshness, PastSync, freshness_of, latest_syncs, shown_partitions
from dandi_pipeline.platforms.registry import PLATFORMS
from dandi_pipeline.settings import Source
from dandi_pipeline.text import one_line, plain, quantity

States = Mapping[tuple[str, str], PartitionState]


_HEADINGS = ("SOURCE", "PLATFORM", "STATE", "PARTITIONS", "FAILING", "RECORDS", "LAST SYNC (UTC)", "NEXT DUE (UTC)")
_NUMBERS = {"PARTITIONS", "FAILING", "RECORDS"}

NOT_CONFIGURED = "not configured"
"""The state of what the mirror still holds of a source that is not configured any more."""

_LOOKED_AT = 20
"""Past syncs of a source among which the newest is looked for that came to an end of its own."""

_SHOWN = 20
"""Errors of one source that are shown to people."""


def inspect_sources(*, as_json: bool, **given: Any) -> int:
    """Show what the mirror and Dagster hold of each source: partitions, records, last sync, next due, last error."""
    selection = selection_of(given)
    settings, sources = configured_sources()
    chosen = selection.of(sources, with_disabled=True)
    everything = len(chosen) == len(sources)
    now, home = datetime.now(timezone.utc), settings.dagster_home
    latest = latest_syncs(home, [source.alias for source in chosen], limit=_LOOKED_AT)
    with peek_mirror(settings.mirror_database_url) or nullcontext() as mirror:
        standing = freshness_of(home, chosen, mirror, now)
        states = {source.alias: mirror.states(source.alias) if mirror else {} for source in chosen}
        others = not_configured(mirror, sources) if everything else {}
        shown = shown_partitions(home, [source.alias for source in chosen])
    found = [
        {
            **_inspected(source, states[source.alias], standing[source.alias], latest[source.alias], now),
            **_copied(source, states[source.alias], shown[source.alias]),
            "credential_missing": missing_credential(source, settings),
        }
        for source in chosen
    ]
    found += [_left(alias, held) for alias, held in others.items()]
    tell(json.dumps(found, indent=2) if as_json else _text(found), to=sys.stdout)
    return 0


def _inspected(
    source: Source, states: States, standing: Freshness, syncs: Sequence[PastSync], now: datetime
) -> dict[str, Any]:
    last = next(iter(syncs), None)
    failures = _failures(states, syncs)
    failing = {partition for (partition, _), state in states.items() if state.error is not None}
    return {
        "alias": source.alias,
        "platform": source.platform,
        "enabled": source.enabled,
        "every_seconds": int(source.every.total_seconds()),
        "state": _state(source, standing, last, now, failing=bool(failures)),
        "partitions": len({partition for partition, _ in states}),
        "partitions_in_dagster": standing.partitions,
        "stale": len({partition for (partition, _), state in states.items() if state.token is None}),
        "hidden": len({partition for (partition, _), state in states.items() if not state.visible}),
        "changing": sorted({partition for (partition, _), state in states.items() if state.changing_since}),
        "failing": len(failing),
        "records": sum(state.records for state in states.values()),
        "last_sync": _spelled(last.started if last else None),
        "last_status": last.status if last else None,
        "last_run_id": last.run_id if last else None,
        "checked": _spelled(standing.checked),
        "next_due": _spelled(standing.next_due) if source.enabled else None,
        "last_error": failures[0] if failures else None,
        "errors": failures,
    }


def _copied(source: Source, states: States, shown: Collection[str]) -> dict[str, Any]:
    """Return of how many partitions nothing was ever stored, and which lack some of their parts.

    A partition is known by Dagster as soon as a sync has seen it in a listing, and by the mirror once it has tried.
    """
    description = PLATFORMS[source.platform].description
    parts = description.parts
    known = {partition for partition, _ in states} | set(shown)
    stored = {
        partition: [part for part in parts if (partition, part) in states and states[partition, part].generation]
        for partition in known
    }
    return {
        "partition_noun": description.partition_noun,
        "never_copied": sum(not there for there in stored.values()),
        "copied_in_part": sum(0 < len(there) < len(parts) for there in stored.values()),
    }


def _left(alias: str, held: Held) -> dict[str, Any]:
    """Return what is told of a source that is not configured any more: nobody looks at it."""
    return {
        "alias": alias,
        "platform": None,
        "enabled": False,
        "state": NOT_CONFIGURED,
        "partitions": held.partitions,
        "failing": 0,
        "records": held.records,
        "last_sync": None,
        "last_error": None,
        "errors": [],
    }


def _state(source: Source, standing: Freshness, last: PastSync | None, now: datetime, *, failing: bool) -> str:
    """Say in one word or two how a source stands; the first of these that holds."""
    if not source.enabled:
        return "disabled"
    if last is not None and last.status in ("running", "queued"):
        return "syncing"
    if failing:
        return "failing"
    if standing.checked is None or standing.emptied:
        return _unseen(standing)
    if standing.is_overdue(now):
        return "overdue"
    return "due" if standing.is_due(now) else "fresh"


def _unseen(standing: Freshness) -> str:
    """Say how a source stands that no sync has looked at as a whole, or of which nothing is left."""
    if standing.emptied and (standing.checked or standing.partitions):
        return "emptied"
    if standing.in_part_only:
        return "synced in part"
    return "unfinished" if standing.missing else "never synced"


def _failures(states: States, syncs: Sequence[PastSync]) -> list[dict[str, Any]]:
    """Return what fails now, the latest first: each partition once, and what ended the newest sync early."""
    failed = {
        partition: {
            "partition": partition,
            "group": state.error_group,
            "message": state.error,
            "at": _spelled(state.failed_at),
            "attempts": state.attempts,
        }
        for (partition, _), state in states.items()
        if state.error is not None
    }
    newest = next((sync for sync in syncs if sync.ended), None)
    found = [*failed.values(), *([_ended_early(newest)] if newest and newest.status == "failed" else [])]
    return sorted(found, key=lambda failure: failure["at"] or "", reverse=True)


def _ended_early(sync: PastSync) -> dict[str, Any]:
    return {
        "partition": None,
        "group": next(iter(sync.failures)),
        "message": sync.why_failed,
        "at": _spelled(sync.ended),
        "attempts": None,
    }


def _spelled(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(timezone.utc).isoformat(timespec="seconds")


def _text(found: Sequence[Mapping[str, Any]]) -> str:
    if len(found) == 1:
        return "\n".join(_details(found[0]))
    lines = [table(_HEADINGS, [_row(each) for each in found], numbers=_NUMBERS, width=screen_width())]
    for each in found:
        lines += [plain(f"{each['alias']}: {note}") for note in _notes(each)]
        if error := each["last_error"]:
            more = len(each["errors"]) - 1
            lines.append(f"{each['alias']}: {_in_words(error)}{f' (and {more:,} more)' if more else ''}")
    return "\n".join(lines)


def _notes(each: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the table has no column for."""
    if each["state"] == NOT_CONFIGURED:
        yield f"sources.yaml does not list it any more; `dandi-pipeline forget {each['alias']}` removes what is held"
        return
    if each["never_copied"]:
        yield f"{quantity(each['never_copied'], each['partition_noun'])} never copied"
    if each["credential_missing"]:
        yield _unknown(each["credential_missing"])


def _unknown(variable: str) -> str:
    return f"whether its token is accepted is unknown: {variable} is not set here"


def _row(each: Mapping[str, Any]) -> tuple[str, ...]:
    counts = (f"{each[name]:,}" for name in ("partitions", "failing", "records"))
    synced = _minute(each["last_sync"]) or ("" if each["state"] == NOT_CONFIGURED else "never")
    return (each["alias"], each["platform"] or "", each["state"], *counts, synced, _due(each))


def _details(each: Mapping[str, Any]) -> Iterator[str]:
    """Yield all that is known of one source."""
    counts = ", ".join(f"{each[name]:,} {name}" for name in ("stale", "hidden", "failing"))
    synced = f"{_minute(each['last_sync'])}, {each['last_status']} (run {each['last_run_id']})"
    yield each["alias"]
    yield from named(
        [
            ("Platform", each["platform"]),
            ("State", each["state"]),
            ("Partitions", f"{each['partitions']:,} ({counts}); {each['partitions_in_dagster']:,} in Dagster"),
            ("Never copied", _never_copied(each)),
            ("Still changing", ", ".join(each["changing"])),
            ("Records", f"{each['records']:,}"),
            ("Last sync (UTC)", synced if each["last_sync"] else "never"),
            ("Looked at (UTC)", _minute(each["checked"]) or "never"),
            ("Next due (UTC)", _due(each)),
            ("Token", _unknown(each["credential_missing"]) if each["credential_missing"] else ""),
            ("Errors", "" if each["errors"] else "none"),
        ]
    )
    if each["errors"]:
        yield f"  {quantity(len(each['errors']), 'error')}, the latest first:"
    yield from (f"    {_minute(error['at'])}: {_in_words(error)}" for error in each["errors"][:_SHOWN])
    if len(each["errors"]) > _SHOWN:
        yield f"    and {len(each['errors']) - _SHOWN:,} more: --json has all"


def _never_copied(each: Mapping[str, Any]) -> str:
    counts = (("", each["never_copied"]), ("parts of ", each["copied_in_part"]))
    return "; ".join(f"{what}{quantity(count, each['partition_noun'])}" for what, count in counts if count)


def _in_words(error: Mapping[str, Any]) -> str:
    message = one_line(error["message"])
    if error["partition"] is None:
        return f"the sync ended early ({error['group']}): {message}"
    return f"{plain(error['partition'])} ({error['group']}, {quantity(error['attempts'], 'attempt')}): {message}"


def _due(each: Mapping[str, Any]) -> str:
    if not each["enabled"]:
        return ""
    return _minute(each["next_due"]) or "at once"


def _minute(spelled: str | None) -> str:
    """Return an instant without its seconds and zone; nothing for none."""
    return (spelled or "")[:16].replace("T", " ")
