"""A sync of several sources: each in a process of its own, side by side, their reports put together.

In processes, because Dagster makes the storage of a run by a library whose settings all threads share: two runs that
begin at once in one process block each other for good. Each process is the same command for one source, so each sync
is a recorded run like any other; the platforms' rates are kept by all of them through the mirror.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime, timezone

import click

from dandi_pipeline.cli.children import Child, Children
from dandi_pipeline.cli.interrupts import interrupts_heeded
from dandi_pipeline.cli.merged import merged_json, merged_summary
from dandi_pipeline.cli.outlook import outlook_json, outlook_table, outlooks
from dandi_pipeline.cli.spans import why
from dandi_pipeline.cli.terminal import plain, tell
from dandi_pipeline.mirror import Mirror
from dandi_pipeline.orchestration.launch import sigterm_interrupts
from dandi_pipeline.orchestration.standing import Standing, standings
from dandi_pipeline.settings import Settings, Source
from dandi_pipeline.sync.options import SyncOptions

_NOT_PASSED_ON = {
    "target", "platform", "app", "source", "component", "vault", "user", "only_enabled", "only_due",
    "dry_run", "no_progress", "as_json",
}  # fmt: skip
"""What the command has already heeded for all of them."""


def sync_several(
    context: click.Context,
    sources: Sequence[Source],
    settings: Settings,
    options_of: Callable[[Source], SyncOptions],
    *,
    at_once: int,
    only_due: bool,
    dry_run: bool,
) -> int:
    """Sync the sources, or with `dry_run` say what would be done; print the result and return the exit code.

    `options_of` says how each is to be synced, as the `context` does for a process of its own; `at_once` are at work.
    """
    as_json = bool(context.params["as_json"])
    now = datetime.now(timezone.utc)
    if not (dry_run or only_due):
        return _sync(sources, _passed_on(context), at_once=at_once, as_json=as_json)
    # A sync may have to upgrade the mirror; a dry run only looks.
    look = Mirror.peek if dry_run else Mirror.open
    with look(settings.mirror_database_url) or nullcontext() as mirror:
        standing = standings(settings.dagster_home, sources, mirror, now)
    if dry_run:
        found = outlooks(sources, settings, options_of, standing, now, only_due=only_due)
        tell(json.dumps(outlook_json(found), indent=2) if as_json else outlook_table(found), to=sys.stdout)
        return max((outlook.exit_code for outlook in found), default=0)
    left_out = [source for source in sources if not standing[source.alias].is_due(now)]
    _say_left_out(left_out, standing, now)
    due = [source for source in sources if source not in left_out]
    return _sync(due, _passed_on(context), at_once=at_once, as_json=as_json)


def _sync(sources: Sequence[Source], arguments: Sequence[str], *, at_once: int, as_json: bool) -> int:
    started = time.monotonic()
    children = Children(at_once)
    with interrupts_heeded(tell, give_up=children.kill), sigterm_interrupts():
        ends = children.run([Child(source.alias, source.platform, arguments) for source in _interleaved(sources)])
    ordered = {source.alias: ends[source.alias] for source in sources}
    seconds = time.monotonic() - started
    text = json.dumps(merged_json(ordered, seconds), indent=2) if as_json else merged_summary(ordered, seconds)
    tell(text, to=sys.stdout)
    return max((end.code for end in ordered.values()), default=0)


def _say_left_out(sources: Sequence[Source], standing: Mapping[str, Standing], now: datetime) -> None:
    for source in sources:
        tell(plain(f"{source.alias}: not due ({why(standing[source.alias], now)})"))


def _interleaved(sources: Sequence[Source]) -> list[Source]:
    """Return the sources with the platforms taking turns, so that one with many does not keep the others waiting."""
    turn: dict[str, int] = {}
    turns = []
    for source in sources:
        turn[source.platform] = turn.get(source.platform, 0) + 1
        turns.append(turn[source.platform])
    return [source for _, source in sorted(zip(turns, sources, strict=True), key=lambda pair: pair[0])]


def _passed_on(context: click.Context) -> list[str]:
    """Spell the options again that each source's own sync needs."""
    arguments: list[str] = []
    for parameter in context.command.params:
        if parameter.name is not None and parameter.name not in _NOT_PASSED_ON:
            arguments += _spelled(parameter.opts[0], context.params[parameter.name])
    return arguments


def _spelled(option: str, value: object) -> list[str]:
    if value is None or value is False:
        return []
    if value is True:
        return [option]
    if isinstance(value, tuple):
        return [word for item in value for word in _spelled(option, item)]
    return [option, value.isoformat() if isinstance(value, datetime) else str(value)]
