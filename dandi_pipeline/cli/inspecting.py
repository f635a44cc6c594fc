"""`dandi-pipeline inspect`: what the mirror and Dagster hold of each source, and how it stands."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from dandi_pipeline.cli.selecting import selection_of, selection_options
from dandi_pipeline.cli.tables import table
from dandi_pipeline.cli.terminal import one_line, plain, tell

if TYPE_CHECKING:
    from dandi_pipeline.mirror import PartitionState
    from dandi_pipeline.orchestration.history import PastSync
    from dandi_pipeline.orchestration.standing import Standing
    from dandi_pipeline.settings import Source

_HEADINGS = ("SOURCE", "PLATFORM", "STATE", "PARTITIONS", "FAILING", "RECORDS", "LAST SYNC (UTC)", "NEXT DUE (UTC)")
_NUMBERS = {"PARTITIONS", "FAILING", "RECORDS"}


@click.command(name="inspect", short_help="Show what is held of each source, and how it stands.")
@click.argument("target", required=False)
@selection_options
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, and nothing else, on standard output.")
def inspect_sources(*, as_json: bool, **given: Any) -> int:
    """Show what the mirror and Dagster hold of each source: partitions, records, last sync, next due, last error.

    TARGET and the filters are those of `sync`; disabled sources are shown too. Nothing is asked of any platform.
    """
    # Imported here, so that --help does not wait for Dagster.
    from dandi_pipeline.cli.configured import configured_sources
    from dandi_pipeline.mirror import Mirror
    from dandi_pipeline.orchestration.history import past_syncs
    from dandi_pipeline.orchestration.standing import standings

    selection = selection_of(given)
    settings, sources = configured_sources()
    chosen = selection.of(sources, with_disabled=True)
    now, home = datetime.now(timezone.utc), settings.dagster_home
    standing = standings(home, chosen)
    mirror = Mirror.peek(settings.mirror_database_url)
    try:
        found = []
        for source in chosen:
            states = mirror.states(source.alias) if mirror else {}
            last = next(iter(past_syncs(home, limit=1, source=source.alias)), None)
            found.append(_inspected(source, states, standing[source.alias], last, now))
    finally:
        if mirror is not None:
            mirror.close()
    tell(json.dumps(found, indent=2) if as_json else _text(found), to=sys.stdout)
    return 0


def _inspected(
    source: "Source",
    states: "Mapping[tuple[str, str], PartitionState]",
    standing: "Standing",
    last: "PastSync | None",
    now: datetime,
) -> dict[str, Any]:
    failing = {partition for (partition, _), state in states.items() if state.error is not None}
    return {
        "alias": source.alias,
        "platform": source.platform,
        "state": _state(source, standing, last, now, failing=bool(failing)),
        "partitions": len({partition for partition, _ in states}),
        "partitions_in_dagster": standing.partitions,
        "stale": len({partition for (partition, _), state in states.items() if state.token is None}),
        "hidden": len({partition for (partition, _), state in states.items() if not state.visible}),
        "failing": len(failing),
        "records": sum(state.records for state in states.values()),
        "last_sync": _spelled(last.started if last else None),
        "last_status": last.status if last else None,
        "last_run_id": last.run_id if last else None,
        "checked": _spelled(standing.checked),
        "next_due": _spelled(standing.next_due),
        "last_error": _last_error(states),
    }


def _state(source: "Source", standing: "Standing", last: "PastSync | None", now: datetime, *, failing: bool) -> str:
    """Say in one word or two how a source stands; the first of these that holds."""
    if not source.enabled:
        return "disabled"
    if last is not None and last.status in ("running", "queued"):
        return "syncing"
    if failing or (last is not None and last.status == "failed"):
        return "failing"
    if standing.checked is None:
        return "never synced"
    if standing.is_overdue(now):
        return "overdue"
    return "due" if standing.is_due(now) else "fresh"


def _last_error(states: "Mapping[tuple[str, str], PartitionState]") -> dict[str, Any] | None:
    failed = [
        (state.failed_at, partition, state)
        for (partition, _), state in states.items()
        if state.error is not None and state.failed_at is not None
    ]
    if not failed:
        return None
    at, partition, state = max(failed, key=lambda failure: failure[:2])
    return {
        "partition": partition,
        "group": state.error_group,
        "message": state.error,
        "at": _spelled(at),
        "attempts": state.attempts,
    }


def _spelled(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(timezone.utc).isoformat(timespec="seconds")


def _text(found: Sequence[Mapping[str, Any]]) -> str:
    lines = [table(_HEADINGS, [_row(each) for each in found], numbers=_NUMBERS)]
    for each in found:
        if error := each["last_error"]:
            message = f"{each['alias']}: {error['partition']} ({error['group']}, tried {error['attempts']} times)"
            lines.append(plain(f"{message}: {one_line(error['message'])}"))
    return "\n".join(lines)


def _row(each: Mapping[str, Any]) -> tuple[str, ...]:
    counts = (f"{each[name]:,}" for name in ("partitions", "failing", "records"))
    due = each["next_due"] or ("at once" if each["state"] != "disabled" else "")
    return (
        each["alias"],
        each["platform"],
        each["state"],
        *counts,
        _minute(each["last_sync"]) or "never",
        _minute(due),
    )


def _minute(spelled: str | None) -> str:
    """Return an instant without its seconds and zone; words as they are."""
    text = spelled or ""
    return text[:16].replace("T", " ") if text[:4].isdigit() else text
