"""The configured sources: which a command is about, and what their things are called."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

from dandi_pipeline.catalogue import peek_mirror
from dandi_pipeline.cli.progress import Wording
from dandi_pipeline.errors import ConfigurationError
from dandi_pipeline.mirror import Held, Mirror
from dandi_pipeline.platforms.dandi.records import ASSETS, DANDISETS
from dandi_pipeline.platforms.registry import PLATFORMS, SETTINGS
from dandi_pipeline.settings import Settings, Source, load_sources, slug, unknown


def configured_sources() -> tuple[Settings, tuple[Source, ...]]:
    """Return the settings and every source; ConfigurationError if a setting or the sources file is wrong."""
    settings = Settings.from_environment(os.environ, Path.cwd())
    return settings, load_sources(settings.sources_path, SETTINGS)


def existing_mirror(settings: Settings) -> Mirror:
    """Open the mirror for reading only; ConfigurationError where there is none yet."""
    mirror = peek_mirror(settings.mirror_database_url)
    if mirror is None:
        raise ConfigurationError("there is no mirror yet; dandi-pipeline sync makes it")
    return mirror


def missing_credential(source: Source, settings: Settings) -> str | None:
    """Return the environment variable that a source's token is to be in, where it is not set."""
    name: str | None = source.settings.required_credential
    return None if name is None or settings.credential(name) else name


def not_configured(mirror: Mirror | None, sources: Sequence[Source]) -> dict[str, Held]:
    """Return what the mirror holds of sources that are not configured (any more), by their aliases."""
    configured = {source.alias for source in sources}
    return {alias: held for alias, held in (mirror.held() if mirror else {}).items() if alias not in configured}


def dandiset_keys(partitions: Sequence[str], source: Source, settings: Settings) -> tuple[str, ...]:
    """Return each dandiset's key once, in the order given; ConfigurationError for what cannot be an identifier."""
    key_of = PLATFORMS[source.platform].partition_key
    return tuple(dict.fromkeys(key_of(partition, source, settings) for partition in partitions))


def parts(*, dandisets_only: bool, assets_only: bool) -> tuple[str, ...]:
    """Return the parts to sync; none named means both."""
    if dandisets_only:
        return (DANDISETS,)
    return (ASSETS,) if assets_only else ()


def wording_of(source: Source, parts: Sequence[str], *, dry_run: bool) -> Wording:
    """Return what the steps of a sync of these parts (none: of all) are called."""
    platform = PLATFORMS[source.platform].description
    return Wording(
        platform=platform.title,
        partition_noun=platform.partition_noun,
        record_noun=platform.bulk.name,
        spelling=platform.spelling,
        with_records=not parts or platform.bulk.part in parts,
        dry_run=dry_run,
    )


ALL = "all"

_TARGETS = {"platform": "platform", "application": "application", "source": "alias"}
"""What a target may name, and where a source says it."""

_FILTERS = {
    "platform": "platform",
    "app": "application",
    "source": "alias",
    "component": "component",
    "vault": "vault",
    "user": "user",
}
"""The filters, as options are called, and where a source says it."""

_IDS = {"vault": "vault_id", "user": "user_id"}
"""Where a source says another word for it."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a user asks for; what is None does not narrow. `target` is "all", a platform, an application or an alias.

    A disabled source is meant only where its alias is named, and not even then with `only_enabled`.
    """

    target: str | None = None
    platform: str | None = None
    app: str | None = None
    source: str | None = None
    component: str | None = None
    vault: str | None = None
    user: str | None = None
    only_enabled: bool = False

    def of(self, sources: Sequence[Source], *, with_disabled: bool = False) -> list[Source]:
        """Return the sources that are meant, in their order, at least one; disabled ones only if they are asked for.

        Raises `ConfigurationError`: for a word that nothing is called, with the nearest there is; for a target that
        may mean different things, with each of them; where nothing is left, with the reason.
        """
        meant = self._targeted(sources)
        for name, wanted in self._filters.items():
            _require_known(name, wanted, sources)
            meant = [source for source in meant if _is(source, _FILTERS[name], wanted)]
        if not meant:
            raise ConfigurationError(f"no source matches {self}; dandi-pipeline list shows what there is")
        return meant if with_disabled and not self.only_enabled else self._enabled(meant)

    def __str__(self) -> str:
        """Spell it as on the command line."""
        words = [self.target] if self.target else []
        return " ".join([*words, *(f"--{name} {wanted}" for name, wanted in self._filters.items())]) or ALL

    @property
    def _filters(self) -> Mapping[str, str]:
        asked = {item.name: getattr(self, item.name) for item in fields(self) if item.name in _FILTERS}
        return {name: wanted for name, wanted in asked.items() if wanted is not None}

    def _targeted(self, sources: Sequence[Source]) -> list[Source]:
        if self.target is None or self.target == ALL:
            return list(sources)
        readings = {
            noun: found
            for noun, attribute in _TARGETS.items()
            if (found := [source for source in sources if _is(source, attribute, self.target)])
        }
        if not readings:
            names = {name for attribute in _TARGETS.values() for name in _names(attribute, sources)}
            raise ConfigurationError(f"{unknown('target', self.target, [ALL, *names])} (dandi-pipeline list)")
        first, *others = readings.values()
        if any(_enabled(other) != _enabled(first) for other in others):
            candidates = "; ".join(
                f"the {noun}, --{_option(noun)} {self.target}: {', '.join(source.alias for source in found)}"
                for noun, found in readings.items()
            )
            raise ConfigurationError(f"{self.target!r} is ambiguous: {candidates}")
        return first

    def _enabled(self, meant: Sequence[Source]) -> list[Source]:
        named = {name.casefold() for name in (self.target, self.source) if name and not self.only_enabled}
        enabled = [source for source in meant if source.enabled or source.alias.casefold() in named]
        if not enabled:
            disabled = ", ".join(source.alias for source in meant)
            raise ConfigurationError(f"disabled: {disabled}; in sources.yaml, enable what is to be synced")
        return enabled


def _is(source: Source, attribute: str, wanted: str) -> bool:
    return wanted.casefold() in _spellings(source, attribute)


def _spellings(source: Source, attribute: str) -> set[str]:
    """Return what a source may be meant by: its word, the id beside it, an application by its slug as well."""
    words: list[str | None] = [getattr(source, attribute), getattr(source, _IDS.get(attribute, attribute))]
    if attribute == "application" and source.application is not None:
        words.append(slug(source.application))
    return {word.casefold() for word in words if word is not None}


def _enabled(sources: Sequence[Source]) -> list[Source]:
    """Return what a target would sync: two readings that come to the same are not ambiguous."""
    return [source for source in sources if source.enabled] or list(sources)


def _names(attribute: str, sources: Sequence[Source]) -> list[str]:
    return sorted({value for source in sources if (value := getattr(source, attribute)) is not None})


def _require_known(name: str, wanted: str, sources: Sequence[Source]) -> None:
    names = _names(_FILTERS[name], sources)
    if not any(_is(source, _FILTERS[name], wanted) for source in sources):
        problem = unknown(f"--{name}", wanted, names) if names else f"--{name} {wanted}: no source has any"
        raise ConfigurationError(problem)


def _option(noun: str) -> str:
    return next(name for name, attribute in _FILTERS.items() if attribute == _TARGETS[noun])


def selection_of(given: dict[str, Any]) -> Selection:
    """Return what a command's parameters select, and take those parameters out."""
    return Selection(**{item.name: given.pop(item.name) for item in fields(Selection) if item.name in given})


def refuse_for_others(given: Sequence[str], chosen: Sequence[Source]) -> None:
    """Refuse options that only DANDI knows where sources of other platforms are chosen as well."""
    others = [source.alias for source in chosen if source.platform != "dandi"]
    if given and others:
        raise click.UsageError(
            f"{', '.join(given)}: for DANDI alone, and {', '.join(others)} would be taken too; add --platform dandi."
        )
