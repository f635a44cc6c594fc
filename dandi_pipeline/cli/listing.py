"""`dandi-pipeline list`: the sources there are, and every name by which they can be selected."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from dandi_pipeline.cli.output import in_words, screen_width, table, tell

if TYPE_CHECKING:
    from dandi_pipeline.settings import Source

LABELS = {
    "platforms": ("platform", "--platform"),
    "applications": ("application", "--app"),
    "components": ("component", "--component"),
    "vaults": ("vault", "--vault"),
    "users": ("user", "--user"),
}
"""What sources are selected by beside their aliases: where a source says it, and the option."""

_HEADINGS = ("SOURCE", "PLATFORM", "APPLICATION", "COMPONENT", "VAULT", "USER", "EVERY", "ENABLED")


@click.command(name="list", short_help="List the sources, and what they can be selected by.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON, and nothing else, on standard output.")
def list_targets(*, as_json: bool) -> int:
    """List the sources of sources.yaml, disabled ones too, and the names that `sync` takes as targets and filters."""
    # Imported here, so that --help does not wait for pydantic.
    from dandi_pipeline.cli.sources import configured_sources

    _, sources = configured_sources()
    tell(json.dumps(_as_json(sources), indent=2) if as_json else _text(sources), to=sys.stdout)
    return 0


def labelled(sources: "Sequence[Source]", attribute: str) -> dict[str, list[str]]:
    """Return the aliases of the sources that share a label, by its value."""
    found: dict[str, list[str]] = {}
    for source in sources:
        value = getattr(source, attribute)
        if value is not None:
            found.setdefault(value, []).append(source.alias)
    return found


def _as_json(sources: "Sequence[Source]") -> dict[str, Any]:
    return {
        "sources": [_entry(source) for source in sources],
        **{noun: labelled(sources, attribute) for noun, (attribute, _) in LABELS.items()},
    }


def _entry(source: "Source") -> Mapping[str, Any]:
    labels = {attribute: getattr(source, attribute) for attribute, _ in LABELS.values()}
    return {
        "alias": source.alias,
        **labels,
        "enabled": source.enabled,
        "every_seconds": int(source.every.total_seconds()),
        "sweep_days": source.sweep.days,
    }


def _text(sources: "Sequence[Source]") -> str:
    lines = [table(_HEADINGS, [_row(source) for source in sources], width=screen_width())]
    for noun, (attribute, option) in LABELS.items():
        if found := labelled(sources, attribute):
            lines += ["", f"{noun.capitalize()} ({option}):"]
            lines += [f"  {value}: {', '.join(aliases)}" for value, aliases in sorted(found.items())]
    return "\n".join([*lines, "", "Targets of sync: all, a platform, an application or a source."])


def _row(source: "Source") -> tuple[str, ...]:
    labels = [getattr(source, attribute) or "" for attribute, _ in LABELS.values()]
    return (source.alias, *labels, in_words(source.every), "yes" if source.enabled else "no")
