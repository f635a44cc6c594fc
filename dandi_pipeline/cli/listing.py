"""`dandi-pipeline list` and `forget`: the sources there are, and what is held of those that are none any more."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.cli.output import in_words, screen_width, table, tell
from dandi_pipeline.cli.sources import configured_sources, existing_mirror
from dandi_pipeline.errors import ConfigurationError
from dandi_pipeline.orchestration.sources import forget_partitions
from dandi_pipeline.settings import Source
from dandi_pipeline.text import plain, quantity

LABELS = {
    "platforms": ("platform", "--platform"),
    "applications": ("application", "--app"),
    "components": ("component", "--component"),
    "vaults": ("vault", "--vault"),
    "users": ("user", "--user"),
}
"""What sources are selected by beside their aliases: where a source says it, and the option."""

_HEADINGS = ("SOURCE", "PLATFORM", "APPLICATION", "COMPONENT", "VAULT", "USER", "EVERY", "ENABLED")


def list_targets(*, as_json: bool) -> int:
    """List the sources of sources.yaml, disabled ones too, and the names that `sync` takes as targets and filters."""

    _, sources = configured_sources()
    tell(json.dumps(_as_json(sources), indent=2) if as_json else _text(sources), to=sys.stdout)
    return 0


def labelled(sources: Sequence[Source], attribute: str) -> dict[str, list[str]]:
    """Return the aliases of the sources that share a label, by its value."""
    found: dict[str, list[str]] = {}
    for source in sources:
        value = getattr(source, attribute)
        if value is not None:
            found.setdefault(value, []).append(source.alias)
    return found


def _as_json(sources: Sequence[Source]) -> dict[str, Any]:
    return {
        "sources": [_entry(source) for source in sources],
        **{noun: labelled(sources, attribute) for noun, (attribute, _) in LABELS.items()},
    }


def _entry(source: Source) -> Mapping[str, Any]:
    labels = {attribute: getattr(source, attribute) for attribute, _ in LABELS.values()}
    return {
        "alias": source.alias,
        **labels,
        "enabled": source.enabled,
        "every_seconds": int(source.every.total_seconds()),
        "sweep_days": source.sweep.days,
    }


def _text(sources: Sequence[Source]) -> str:
    lines = [table(_HEADINGS, [_row(source) for source in sources], width=screen_width())]
    for noun, (attribute, option) in LABELS.items():
        if found := labelled(sources, attribute):
            lines += ["", f"{noun.capitalize()} ({option}):"]
            lines += [f"  {value}: {', '.join(aliases)}" for value, aliases in sorted(found.items())]
    return "\n".join([*lines, "", "Targets of sync: all, a platform, an application or a source."])


def _row(source: Source) -> tuple[str, ...]:
    labels = [getattr(source, attribute) or "" for attribute, _ in LABELS.values()]
    return (source.alias, *labels, in_words(source.every), "yes" if source.enabled else "no")


FORGOTTEN = "forget"
"""What stands in the change feed in place of a run's id."""


def forget(*, source: str, yes: bool, with_history: bool) -> int:
    """Remove all that the mirror holds of a source that is not configured any more, and its partitions in Dagster."""
    settings, sources = configured_sources()
    if source in {each.alias for each in sources}:
        raise ConfigurationError(f"{source} is configured, so the next sync would copy it again; take it out first")
    with existing_mirror(settings) as mirror:
        held = mirror.held()
        if source not in held and not (with_history and mirror.has_history(source)):
            left = ", ".join(sorted(held.keys() - {each.alias for each in sources})) or "nothing else"
            raise ConfigurationError(
                f"the mirror holds nothing of {source!r}; of what is not configured it holds {left}"
            )
    there = held.get(source)
    what = f"{quantity(there.partitions, 'partition')}, {quantity(there.records, 'record')}" if there else "its history"
    if not (yes or _confirmed(f"Remove {what} of {plain(source)}?")):
        return 1
    with open_mirror(settings.mirror_database_url) as writable:
        removed = len(list(writable.forget(source, run_id=FORGOTTEN, with_history=with_history)))
    shown = forget_partitions(settings.dagster_home, source)
    kept = "" if with_history else "; the change feed keeps what was deleted"
    tell(
        f"{quantity(removed, 'partition')} of {plain(source)} removed, {shown:,} taken out of Dagster{kept}",
        to=sys.stdout,
    )
    return 0


def _confirmed(question: str) -> bool:
    """Ask a person; without a terminal nobody can answer."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Confirm it with --yes.")
    return click.confirm(question, default=False, err=True)
