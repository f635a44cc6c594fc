"""The plan of a sync of several sources: which are due and why, and about how much would be asked of each platform."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dandi_pipeline.cli.spans import in_words, why
from dandi_pipeline.cli.tables import table
from dandi_pipeline.cli.terminal import one_line, quantity
from dandi_pipeline.errors import PipelineError
from dandi_pipeline.http import LocalBudgets
from dandi_pipeline.mirror import Mirror
from dandi_pipeline.orchestration.history import past_syncs
from dandi_pipeline.orchestration.standing import Standing
from dandi_pipeline.platforms.registry import open_platform
from dandi_pipeline.settings import Mode, Settings, Source
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.estimate import estimated_requests
from dandi_pipeline.sync.options import SyncOptions

_AT_ONCE = 8
_HEADINGS = ("SOURCE", "PLATFORM", "DUE", "WHY", "CHECKED", "STALE", "REQUESTS", "TIME")
_NUMBERS = {"CHECKED", "STALE", "REQUESTS", "TIME"}
_PAST = 50
"""Past syncs that are looked at for their pace."""

_TELLING = 10
"""Requests from which on a past sync's pace says something about the next one's."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a sync of one source would find and send. `seconds` is None where no rate is known, nor any past pace."""

    alias: str
    platform: str
    due: bool
    why: str
    checked: int = 0
    stale: int = 0
    requests: int = 0
    seconds: float | None = None
    error: str = ""
    exit_code: int = 0


def outlooks(
    sources: Sequence[Source],
    settings: Settings,
    mode: Mode,
    standing: Mapping[str, Standing],
    now: datetime,
    *,
    only_due: bool,
    full: bool,
) -> list[Outlook]:
    """Ask each platform what is stale, side by side, and write nothing; with `only_due`, those alone that are due."""
    pace = _past_pace(settings.dagster_home)
    with ExitStack() as stack:
        mirror = Mirror.peek(settings.mirror_database_url)
        if mirror is not None:
            stack.enter_context(mirror)

        def look(source: Source) -> Outlook:
            at = standing[source.alias]
            outlook = Outlook(source.alias, source.platform, at.is_due(now), why(at, now))
            if only_due and not outlook.due:
                return outlook
            try:
                return _asked(outlook, source, settings, mode, mirror, full=full, pace=pace.get(source.alias))
            except PipelineError as error:
                return replace(outlook, error=str(error), exit_code=error.exit_code)

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="outlook") as threads:
            return list(threads.map(look, sources))


def _asked(
    outlook: Outlook,
    source: Source,
    settings: Settings,
    mode: Mode,
    mirror: Mirror | None,
    *,
    full: bool,
    pace: float | None,
) -> Outlook:
    with closing(open_platform(source, settings, mirror or LocalBudgets(), mode)) as platform:
        plan = Sync(source.alias, platform, mirror, SyncOptions(full=full, mode=mode)).plan()
        sent = platform.traffic.requests
    chosen = mode.applied_to(source.settings)
    requests = sent + estimated_requests(plan, _held(mirror, source), page_size=chosen.page_size)
    rates = [rate for rate in (mode.rate_limit, chosen.requests_per_second) if rate is not None]
    rate = min(rates, default=pace)
    seconds = None if rate is None else requests / rate
    return replace(outlook, checked=plan.checked, stale=len(plan.stale), requests=requests, seconds=seconds)


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
        if past.duration_seconds and (past.requests or 0) >= _TELLING:
            pace.setdefault(past.source, (past.requests or 0) / past.duration_seconds)
    return pace


def outlook_json(found: Sequence[Outlook]) -> dict[str, Any]:
    """Return each source's outlook by its alias, and the total."""
    sources = {
        outlook.alias: {name: value for name, value in asdict(outlook).items() if name != "alias"} for outlook in found
    }
    return {"sources": sources, "total": {"due": sum(outlook.due for outlook in found), "requests": _requests(found)}}


def outlook_table(found: Sequence[Outlook]) -> str:
    """Return a line a source, and what all of it would take."""
    times = [outlook.seconds for outlook in found if outlook.seconds is not None]
    due = sum(outlook.due for outlook in found)
    longest = f"; platforms side by side, about {_time(max(times))}" if times else ""
    return "\n".join(
        [
            table(_HEADINGS, [_row(outlook) for outlook in found], numbers=_NUMBERS),
            "",
            f"{quantity(len(found), 'source')}, {due} due; about {quantity(_requests(found), 'request')}{longest}",
            "Dry run: nothing was written",
        ]
    )


def _requests(found: Sequence[Outlook]) -> int:
    return sum(outlook.requests for outlook in found)


def _row(outlook: Outlook) -> tuple[str, ...]:
    known = (str(outlook.checked), str(outlook.stale), f"~{outlook.requests}", _time(outlook.seconds))
    left_out = not outlook.due and not outlook.requests
    why = f"error: {one_line(outlook.error)}" if outlook.error else outlook.why
    figures = ("", "", "", "") if outlook.error or left_out else known
    return (outlook.alias, outlook.platform, "yes" if outlook.due else "no", why, *figures)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "no stated rate"
    return f"{in_words(timedelta(seconds=max(1, round(seconds))))}"
