"""Commands to copy, filled in with the names of the user's own sources: one screen, all kinds, worked cases."""

import sys
from collections.abc import Callable, Iterator, Sequence

from dandi_pipeline.cli.listing import LABELS, labelled
from dandi_pipeline.cli.output import screen_width, tell
from dandi_pipeline.cli.sources import configured_sources
from dandi_pipeline.settings import Source

Entries = Iterator[tuple[str, str]]
"""Commands and what they do; a line without a command is a heading."""

_PROGRAM = "dandi-pipeline"

_LONGEST = 46
"""Characters of a command up to which its meaning stands beside it, if the terminal is wide enough."""


def quick() -> int:
    """Show the most useful commands, with the names of your own sources, on one screen."""
    return _show(_quick)


def cheatsheet() -> int:
    """Show every kind of command, filled in with the platforms, applications and sources of your sources.yaml."""
    return _show(_cheatsheet)


def examples() -> int:
    """Show what to type in situations that come up, with the names of your own sources."""
    return _show(_examples)


def _show(guide: Callable[[Sequence[Source]], Entries]) -> int:

    _, sources = configured_sources()
    enabled = [source for source in sources if source.enabled] or list(sources)
    entries = list(guide(enabled))
    widths = [len(command) for command, _ in entries if len(command) <= _LONGEST]
    screen = screen_width()
    lines = [_line(command, meaning, max(widths), screen) for command, meaning in entries]
    tell("\n".join(lines).strip("\n"), to=sys.stdout)
    return 0


def _line(command: str, meaning: str, width: int, screen: int | None) -> str:
    """Return a command beside its meaning, or above it for want of room; without a command it is a heading."""
    if not command:
        return f"\n{meaning}"
    beside = f"  {_PROGRAM} {command:<{width}}  {meaning}".rstrip()
    if len(command) > width or (screen is not None and len(beside) > screen):
        return f"  {_PROGRAM} {command}\n      {meaning}".rstrip()
    return beside


def _quick(sources: Sequence[Source]) -> Entries:
    source = sources[-1]
    yield "", "Every day"
    yield "sync", f"everything: {_some([each.alias for each in sources])}"
    yield "sync --only-due", "only what is due"
    yield f"sync --source {source.alias}", "one source"
    yield "sync --dry-run", "what that would do, and cost"
    yield "", "Looking"
    yield "list", "sources, and names to select them by"
    yield "inspect", "what is held, synced and failing"
    yield "health", "the last day, and what is wrong"
    yield "history", "the past syncs"
    yield "ui", "all of it in Dagster's UI"
    yield "", "More"
    yield "cheatsheet", "every kind of command, with your own names"
    yield "examples", "worked cases"


def _cheatsheet(sources: Sequence[Source]) -> Entries:
    yield "", "Basic"
    yield "sync", "every enabled source"
    yield "sync all", "the same"
    yield "", "Sources"
    for source in sources:
        yield f"sync --source {source.alias}", source.platform
    for noun, (attribute, option) in LABELS.items():
        if found := labelled(sources, attribute):
            yield "", noun.capitalize()
            for value, aliases in sorted(found.items()):
                yield f"sync {option} {value}", _some(aliases)
    source = max(sources, key=_labels)
    if _labels(source) > 1:
        yield "", "Combined"
        yield f"sync {_all_filters(source)}", source.alias
    if archive := next((source for source in sources if source.platform == "dandi"), None):
        yield "", "Of DANDI alone"
        yield f"sync --source {archive.alias} --dandiset-id 3", "one dandiset"
        yield f"sync --source {archive.alias} --dandisets-only", "dandisets and versions, not assets"
    yield "", "When and how much"
    yield "sync --only-due", "what was not looked at within its interval"
    yield "sync --dry-run", "the plan, with reads alone"
    yield "sync --full", "everything read again, also what looks unchanged"
    yield "", "How hard"
    yield "sync --preset fast", "20 connections, 10 at once: large imports"
    yield "sync --preset safe", "5 connections, 2 at once: errors, instability"
    yield "sync --rate-limit 1", "one request a second"
    yield "sync --batch-size 50", "smaller pages, less memory"
    yield "sync --legacy", "no optimization at all, to compare with"
    yield "", "Watching"
    yield from (
        ("list", "sources, and names to select by"),
        ("inspect", "what is held and what failed"),
        (f"inspect {sources[0].alias}", "all that is known of one source"),
        ("health", "the last 24 hours, and what is wrong"),
        ("stats", "connections and waits by host"),
        ("history", "the past syncs"),
        ("verify", "the archive compared with the mirror"),
        ("ui", "Dagster's UI"),
    )


def _examples(sources: Sequence[Source]) -> Entries:
    source, platform = sources[-1], sources[-1].platform
    yield "", "In the morning: is everything well? Then bring what is due."
    yield "health", ""
    yield "sync --only-due", ""
    yield "", f"Something was edited in {source.alias}, and you need it now."
    yield f"sync --source {source.alias}", ""
    yield "", "Before a large import: what would it cost? Then do it fast."
    yield f"sync --platform {platform} --dry-run", ""
    yield f"sync --platform {platform} --preset fast", ""
    yield "", "Syncs fail: see what and why, look at the log, go gently."
    yield "inspect", ""
    yield f"sync --source {source.alias} --verbose", ""
    yield f"sync --source {source.alias} --preset safe", ""
    yield "", f"{platform} answers 429, or others need its rate: go slower, and see who waits."
    yield f"sync --platform {platform} --rate-limit 1", ""
    yield "stats", ""
    yield "", "Memory is short: smaller pages, fewer at once."
    yield "sync --batch-size 20 --max-concurrent 1", ""
    yield "", "You doubt the mirror: read everything again."
    yield f"sync --source {source.alias} --full", ""
    yield "", "From cron: lines in place of bars, and a report for a program."
    yield "sync --only-due --no-progress", ""
    yield "sync --json", ""


def _some(aliases: Sequence[str]) -> str:
    return ", ".join(aliases[:4]) + (f" and {len(aliases) - 4} more" if len(aliases) > 4 else "")


def _labels(source: Source) -> int:
    return sum(getattr(source, attribute) is not None for attribute, _ in LABELS.values())


def _all_filters(source: Source) -> str:
    given = [(option, getattr(source, attribute)) for attribute, option in LABELS.values()]
    return " ".join(f"{option} {value}" for option, value in given if value is not None)
