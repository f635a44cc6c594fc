"""The plan of a sync of several sources: which are due and why, and about how much would be asked of each platform."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dandi_pipeline.cli.quota import limits_of
from dandi_pipeline.cli.spans import in_words, why
from dandi_pipeline.cli.tables import table
from dandi_pipeline.cli.terminal import one_line, quantity, screen_width
from dandi_pipeline.errors import PipelineError
from dandi_pipeline.http import LocalBudgets
from dandi_pipeline.mirror import Mirror
from dandi_pipeline.orchestration.history import past_syncs
from dandi_pipeline.orchestration.standing import Standing
from dandi_pipeline.platforms.registry import open_platform
from dandi_pipeline.settings import Settings, Source
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


def outlooks(
    sources: Sequence[Source],
    settings: Settings,
    options_of: Callable[[Source], SyncOptions],
    standing: Mapping[str, Standing],
    now: datetime,
    *,
    only_due: bool,
) -> list[Outlook]:
    """Ask each platform what is stale, side by side, and write nothing; with `only_due`, those alone that are due.

    `options_of` says how each would be synced.
    """
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
                return _asked(outlook, source, settings, options_of(source), mirror, pace=pace.get(source.alias))
            except PipelineError as error:
                return replace(outlook, error=str(error), exit_code=error.exit_code)

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="outlook") as threads:
            return list(threads.map(look, sources))


def _asked(
    outlook: Outlook,
    source: Source,
    settings: Settings,
    options: SyncOptions,
    mirror: Mirror | None,
    *,
    pace: float | None,
) -> Outlook:
    with closing(open_platform(source, settings, mirror or LocalBudgets(), options.mode)) as platform:
        plan = Sync(source.alias, platform, mirror, options).plan()
        sent = platform.traffic.requests
    chosen = options.mode.applied_to(source.settings)
    requests = sent + estimated_requests(plan, _held(mirror, source), page_size=chosen.page_size)
    own, shared = options.mode.rate_limit, chosen.requests_per_second
    rate = min((rate for rate in (own, shared) if rate is not None), default=pace)
    limits = [] if rate == own else limits_of(source, settings)
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
        if past.duration_seconds and (past.requests or 0) >= _TELLING:
            pace.setdefault(past.source, (past.requests or 0) / past.duration_seconds)
    return pace


def outlook_json(found: Sequence[Outlook]) -> dict[str, Any]:
    """Return each source's outlook by its alias, and the total."""
    sources = {
        outlook.alias: {name: value for name, value in asdict(outlook).items() if name not in ("alias", "shares")}
        for outlook in found
    }
    total = {"due": sum(outlook.due for outlook in found), "requests": _requests(found), "seconds": _longest(found)}
    return {"sources": sources, "total": total}


def outlook_table(found: Sequence[Outlook]) -> str:
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


def _longest(found: Sequence[Outlook]) -> float | None:
    """Return the seconds that all would take side by side, those after each other that share a limit."""
    together: dict[str, float] = {}
    for outlook in found:
        if outlook.seconds is not None:
            together[outlook.shares] = together.get(outlook.shares, 0) + outlook.seconds
    return max(together.values(), default=None)


def _requests(found: Sequence[Outlook]) -> int:
    return sum(outlook.requests for outlook in found)


def _row(outlook: Outlook) -> tuple[str, ...]:
    known = (str(outlook.checked), str(outlook.stale), f"~{outlook.requests}", _time(outlook.seconds))
    left_out = not outlook.due and not outlook.requests
    unknown = outlook.error or left_out
    due = "yes" if outlook.due else "no"
    return (outlook.alias, outlook.platform, due, outlook.why, *(("", "", "", "") if unknown else known))


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "no stated rate"
    return f"{in_words(timedelta(seconds=max(1, round(seconds))))}"
