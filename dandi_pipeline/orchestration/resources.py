"""What a run is given: its config, the source it works on, and who watches it."""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import dagster as dg
from pydantic import BaseModel, Field, create_model
from pydantic.fields import FieldInfo

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.errors import PipelineError
from dandi_pipeline.mirror import Mirror
from dandi_pipeline.mirror.database import dialect_of
from dandi_pipeline.mirror.mirror import PATIENCE
from dandi_pipeline.mirror.sqlite import SqliteDialect
from dandi_pipeline.model import Platform
from dandi_pipeline.platforms.registry import PLATFORMS, open_platform
from dandi_pipeline.settings import AS_SET, Settings, Source, Tuning
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.progress import Progress, Unwatched
from dandi_pipeline.sync.report import SyncReport


def sync_log(level: int | None) -> logging.Logger:
    """Return a logger that writes the lines of a sync from `level` up; with None it writes nothing."""
    logger = logging.Logger("sync", logging.CRITICAL + 1 if level is None else level)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"))
    logger.addHandler(handler)
    return logger


@dg.logger
def silent_logger(_context: dg.InitLoggerContext) -> logging.Logger:
    """Return what takes the place of Dagster's console logger, in runs whose config names `console`."""
    return sync_log(None)


def _config_class(model: type[BaseModel], *, without: frozenset[str] = frozenset()) -> type[dg.Config]:
    """Return a model's fields as a class of run config: instants as text, tuples as lists, models as config again."""
    fields = {name: _config_field(field) for name, field in model.model_fields.items() if name not in without}
    make: Callable[..., type[dg.Config]] = create_model
    return make(f"{model.__name__}Config", __base__=dg.Config, __doc__=model.__doc__, **fields)


def _config_field(field: FieldInfo) -> tuple[Any, Any]:
    annotation, default = field.annotation, field.default
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        annotation = _config_class(annotation)
        default = annotation()
    elif annotation == datetime | None:
        annotation = str | None
    elif annotation == tuple[str, ...]:
        annotation, default = list[str], list(default)
    return annotation, Field(default=default, description=field.description)


if TYPE_CHECKING:
    SyncConfig: TypeAlias = dg.Config
else:
    SyncConfig = _config_class(SyncOptions, without=frozenset({"parts"}))
    """The options of one sync as a run's config. Its parts are chosen by selecting assets."""


def config_of(options: SyncOptions) -> SyncConfig:
    """Return the run config that asks for `options`, but for their parts."""
    return SyncConfig(**options.model_dump(mode="json", exclude={"parts"}))


def options_of(config: SyncConfig, **others: Any) -> SyncOptions:
    """Return the options that a run's config asks for, with `others` in place; ConfigurationError if invalid."""
    return SyncOptions.model_validate({**config.model_dump(), **others})


@dataclass(frozen=True, slots=True)
class Connection:
    """One source's platform, and the mirror it is copied to."""

    platform: Platform
    mirror: Mirror


@dataclass(frozen=True, slots=True)
class Store:
    """The database that holds the mirror, for people to read: its kind, and where it is, without a password."""

    kind: str
    title: str
    place: str


class Connections:
    """Opens a source's connection when a run or a check needs it; holds none open in between."""

    def __init__(self, sources: Sequence[Source], settings: Settings) -> None:
        self._sources = {source.alias: source for source in sources}
        self._settings = settings

    @cached_property
    def store(self) -> Store:
        """Where the mirror is. Nothing is connected to, and an address that cannot be read is told as that."""
        try:
            dialect = dialect_of(self._settings.mirror_database_url, PATIENCE)
        except PipelineError as error:
            return Store("sql", "SQL", str(error))
        if isinstance(dialect, SqliteDialect):
            return Store("sqlite", "SQLite", dialect.place)
        return Store("postgresql", "PostgreSQL", dialect.place)

    def site(self, alias: str) -> str:
        """Return where people see what a source holds, or nothing if that cannot be said."""
        source = self._sources.get(alias)
        find = PLATFORMS[source.platform].site if source else None
        try:
            return find(source, self._settings) if source and find else ""
        except PipelineError:
            return ""  # the first sync says what is wrong

    @contextmanager
    def open(self, alias: str, tuning: Tuning = AS_SET) -> Iterator[Connection]:
        """Open the source named `alias`; raises `DatabaseUnavailable` if the mirror cannot be opened.

        Its rate is shared with everybody who uses the same mirror.
        """
        source = self._sources[alias]
        with ExitStack() as stack:
            mirror = stack.enter_context(open_mirror(self._settings.mirror_database_url))
            platform = stack.enter_context(closing(open_platform(source, self._settings, mirror, tuning)))
            yield Connection(platform, mirror)


@dataclass(slots=True)
class Watcher:
    """Who runs a sync in their own process: sees its progress and log, and is left its report or what stopped it."""

    progress: Progress = field(default_factory=Unwatched)
    log: logging.Logger = field(default_factory=lambda: sync_log(None))
    report: SyncReport | None = None
    stopped_by: PipelineError | None = None
