"""The sources that are mirrored, as `sources.yaml` lists them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator
from pydantic.json_schema import models_json_schema

from dandi_pipeline.errors import ConfigurationError
from dandi_pipeline.settings.document import Document, unknown, worded
from dandi_pipeline.settings.values import Alias, Identifier, Interval, Name, User, whole_days

Registry = Mapping[str, "type[PlatformSettings]"]
"""What each platform, by name, accepts under `settings:`."""

DEFAULT_SOURCES = "sources:\n  - platform: dandi\n"


class Section(BaseModel):
    """A part of the file: nothing unknown, nothing converted, nothing changed later."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PlatformSettings(Section):
    """What every platform's own settings start from; a `Mode` sets these for one run."""

    SWEEP: ClassVar[str] = "daily"
    """How soon everything is read completely again, unless the source says so."""

    LARGEST_PAGE: ClassVar[int] = 100
    """The most records that the platform gives at a time."""

    max_concurrent: int = Field(default=5, ge=1, le=50, description="Requests in flight at most")
    pool_size: int = Field(default=10, ge=1, le=50, description="Connections kept open at most")
    keep_alive: bool = Field(default=True, description="Whether a connection is kept for the next request")
    page_size: int = Field(default=100, ge=1, le=LARGEST_PAGE, description="Records asked for at a time")

    @property
    def requests_per_second(self) -> float | None:
        """The rate at which the platform may be asked, None where it names none."""
        return None

    @property
    def required_credential(self) -> str | None:
        """The name of the environment variable without which nothing can be asked, None where all is public."""
        return None

    @property
    def requests_per_month(self) -> int | None:
        """How many requests the platform allows in a month, None where it allows any number, or it was not said."""
        return None


class Source(Section):
    """One configured account or archive. `every` is how often it is looked at for changes."""

    alias: Alias = Field(description="What the source is called everywhere; the platform's name unless set")
    platform: str = Field(description="Which kind of platform it is")
    enabled: bool = Field(default=True, description="Whether it is synced")
    every: Interval = Field(
        default="15m",
        validate_default=True,
        description="How often it is looked at for changes: 15m, 6h, 2d, hourly, daily, weekly",
    )
    sweep: Annotated[Interval, AfterValidator(whole_days)] = Field(
        default="weekly",
        validate_default=True,
        description="How soon every partition is read completely again, in whole days; daily where only that finds"
        " deletions, else weekly, unless set",
    )
    application: Name | None = Field(default=None, description="Tag: the application that it belongs to")
    component: Name | None = Field(default=None, description="Tag: the component of that application")
    vault: Name | None = Field(default=None, description="Tag: the vault that its credential comes from")
    vault_id: Identifier | None = Field(default=None, description="Another word for the vault: --vault takes it too")
    user: User | None = Field(default=None, description="Owner: an e-mail address, team:name, or a plain name")
    user_id: Identifier | None = Field(default=None, description="Another word for the user: --user takes it too")
    settings: Any = Field(default_factory=dict)

    @field_validator("settings", mode="before")
    @classmethod
    def _nothing_below_it(cls, settings: Any) -> Any:
        """Take `settings:` with every line below it commented out for no settings."""
        return {} if settings is None else settings


def load_sources(path: Path | None, registry: Registry) -> tuple[Source, ...]:
    """Return the sources of a file in its order; None stands for the default, the DANDI Archive alone.

    `registry` names the platforms there are and what each accepts under `settings:`; a source's `settings` is an
    instance of that. Raises `ConfigurationError` with one line that names the file, the line and the key for the
    first thing that is wrong.
    """
    return _read(Document(DEFAULT_SOURCES, "the default sources") if path is None else Document.read(path), registry)


def parse_sources(entries: Sequence[Mapping[str, Any]], registry: Registry) -> tuple[Source, ...]:
    """Return the sources that code lists, each as `sources.yaml` would: what holds there holds here.

    Errors name the line that the key would have in such a file.
    """
    given = [dict(entry) if isinstance(entry, Mapping) else entry for entry in entries]
    try:
        written = yaml.safe_dump({"sources": given}, sort_keys=False)
    except yaml.YAMLError as error:
        told = " ".join(map(str, error.args))
        raise ConfigurationError(
            f"the sources that were given: {told}; write values as sources.yaml has them"
        ) from None
    return _read(Document(written, "the sources that were given"), registry)


def _read(document: Document, registry: Registry) -> tuple[Source, ...]:
    entries = _entries(document)
    sources = tuple(_source(document, position, entry, registry) for position, entry in enumerate(entries))
    _refuse_same_aliases(document, sources)
    return sources


def sources_schema(registry: Registry) -> dict[str, Any]:
    """Return the JSON Schema of `sources.yaml`, for editors that complete and check it."""
    models = [_model(platform, registry) for platform in sorted(registry)]
    references, definitions = models_json_schema([(model, "validation") for model in models])
    for model in models:
        # The platform's name stands in where an alias is not set.
        definitions["$defs"][model.__name__]["required"].remove("alias")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The sources that dandi_pipeline mirrors",
        "type": "object",
        "additionalProperties": False,
        "required": ["sources"],
        "properties": {"sources": {"type": "array", "minItems": 1, "items": {"anyOf": list(references.values())}}},
        **definitions,
    }


def _entries(document: Document) -> list[Any]:
    data = document.data
    if not isinstance(data, dict):
        raise document.error((), "expected 'sources:' and a list of sources below it")
    for key in data:
        if key != "sources":
            raise document.error((key,), unknown("key", key, ["sources"]))
    entries = data.get("sources")
    if not isinstance(entries, list) or not entries:
        raise document.error(("sources",), "'sources' must list at least one source, each beginning with '- platform:'")
    return entries


def _source(document: Document, position: int, entry: Any, registry: Registry) -> Source:
    place = ("sources", position)
    if not isinstance(entry, dict):
        raise document.error(place, "a source must be keys and values, such as 'platform: dandi'")
    platform = entry.get("platform")
    model = _model(platform, registry) if isinstance(platform, str) and platform in registry else None
    if model is None:
        raise _platform_error(document, position, entry, registry)
    defaults = {"alias": platform, "sweep": registry[str(platform)].SWEEP}
    try:
        return model.model_validate(defaults | entry)
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False, include_context=True)
        # A misspelled key comes before the one that is missing for it.
        first = min(errors, key=lambda error: (error["type"] == "missing", document.line((*place, *error["loc"]))))
        raise document.error((*place, *first["loc"]), worded(first, model)) from None


def _platform_error(
    document: Document, position: int, entry: Mapping[str, Any], registry: Registry
) -> ConfigurationError:
    """Return what is wrong with a source whose platform is unknown, or hidden behind a misspelled key."""
    place = ("sources", position)
    if "platform" in entry:
        message = unknown("platform", str(entry["platform"]), registry)
        return document.error((*place, "platform"), message)
    for key in entry:
        if key not in Source.model_fields:
            return document.error((*place, key), unknown("key", key, Source.model_fields))
    return document.error(place, f"no 'platform', which must be set; accepted: {', '.join(sorted(registry))}")


def _model(platform: str, registry: Registry) -> type[Source]:
    """Return a source of one platform, whose `settings` are that platform's own."""
    fields: dict[str, Any] = {
        "platform": (Literal[platform], Field(description="Which kind of platform it is")),
        "settings": (
            registry[platform],
            Field(default_factory=dict, validate_default=True, description="What only this platform has"),
        ),
    }
    return create_model(f"{platform.title()}Source", __base__=Source, **fields)


def _refuse_same_aliases(document: Document, sources: tuple[Source, ...]) -> None:
    seen: dict[str, int] = {}
    for position, source in enumerate(sources):
        # Dagster's names have no hyphens: there 'a-b' and 'a_b' would be one.
        first = seen.setdefault(source.alias.replace("-", "_"), position)
        if first != position:
            line = document.line(("sources", first, "alias"))
            raise document.error(
                ("sources", position, "alias"),
                f"alias {source.alias!r} is taken by the source in line {line}; give each source an 'alias' of its own",
            )
