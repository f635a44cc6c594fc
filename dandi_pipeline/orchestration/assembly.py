"""Puts definitions together: those of this project, and those that another deployment takes into its own.

`build_defs`, the component `Mirror`, `partitions_def` and `MirrorReader` are public, by the name `dandi_pipeline`.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import sqlalchemy as sa
from pydantic import Field

from dandi_pipeline.mirror.database import dialect_of
from dandi_pipeline.mirror.mirror import PATIENCE
from dandi_pipeline.orchestration.assets import build_assets
from dandi_pipeline.orchestration.automation import build_job, build_schedule, build_sensor, build_sweep
from dandi_pipeline.orchestration.pages import platform_spec, table_specs
from dandi_pipeline.orchestration.resources import Connections, Watcher
from dandi_pipeline.orchestration.sources import MirroredSource, Presentation, mirrored
from dandi_pipeline.platforms.registry import SETTINGS
from dandi_pipeline.settings import Settings, Source, load_sources, parse_sources

if TYPE_CHECKING:
    import pandas as pd

    from dandi_pipeline.query import Connection


def assemble(
    sources: Iterable[MirroredSource], connections: Connections, watcher: Watcher | None = None
) -> dg.Definitions:
    """Return each source's assets, job, sensor and schedules; no resource and no logger, so that none collides."""
    shown = tuple(sources)
    jobs = [build_job(source) for source in shown]
    pairs = tuple(zip(shown, jobs, strict=True))
    return dg.Definitions(
        assets=[
            *(build_assets(source, connections, watcher or Watcher()) for source in shown),
            *(platform_spec(source, connections) for source in shown),
            *table_specs(shown, connections.store),
        ],
        jobs=jobs,
        sensors=[build_sensor(source, job, connections) for source, job in pairs],
        schedules=[
            schedule
            for source, job in pairs
            for schedule in (build_schedule(source, job), build_sweep(source, job, connections))
        ],
    )


Entries = Sequence[Mapping[str, Any]]
"""Sources as `sources.yaml` lists them: mappings with `platform`, `alias`, `every`, `settings` and the rest."""


def build_defs(
    sources: Entries | Path | str | None = None,
    *,
    database_url: str | None = None,
    key_prefix: str | Sequence[str] = (),
    group: str | None = None,
    owners: Sequence[str] = (),
    automation: bool = True,
    reader: str | None = None,
) -> dg.Definitions:
    """Return the definitions of the mirror; nothing is connected to, and no database is made.

    `sources` are what `sources.yaml` lists, or the path of such a file; None is the file that the environment names, or
    else the DANDI Archive. `database_url` goes before `MIRROR_DATABASE_URL`. `key_prefix` comes before each asset's
    key, `group` takes the place of a group for each source, `owners` are every asset's. Without `automation` sensors
    and schedules are there, switched off. `reader` is under which name a `MirrorReader` joins the resources.

    Raises `ConfigurationError` for what cannot be meant.
    """
    settings = _settings(database_url)
    configured = [source for source in _sources(sources, settings) if source.enabled]
    prefix = (key_prefix,) if isinstance(key_prefix, str) else tuple(key_prefix)
    look = Presentation(prefix, group, tuple(owners), automation)
    defs = assemble([mirrored(source, look) for source in configured], Connections(configured, settings))
    if reader is None:
        return defs
    return dg.Definitions.merge(defs, dg.Definitions(resources={reader: MirrorReader(database_url=database_url)}))


def _settings(database_url: str | None) -> Settings:
    environ = dict(os.environ) if database_url is None else {**os.environ, "MIRROR_DATABASE_URL": database_url}
    return Settings.from_environment(environ, Path.cwd())


def _sources(sources: Entries | Path | str | None, settings: Settings) -> tuple[Source, ...]:
    if sources is None:
        return load_sources(settings.sources_path, SETTINGS)
    if isinstance(sources, Path | str):
        return load_sources(Path(sources), SETTINGS)
    return parse_sources(sources, SETTINGS)


def partitions_def(alias: str = "dandi") -> dg.DynamicPartitionsDefinition:
    """Return the partitions of a source's assets, for assets of your own: one for each dandiset, table, …"""
    return dg.DynamicPartitionsDefinition(name=alias)


class MirrorReader(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The mirror as a resource to read from; it can change nothing."""

    database_url: str | None = Field(default=None, description="The mirror; MIRROR_DATABASE_URL unless it is set.")

    @contextmanager
    def engine(self) -> Iterator[sa.Engine]:
        """Lend a SQLAlchemy engine whose connections read only."""
        url = _settings(self.database_url).mirror_database_url
        engine = dialect_of(url, PATIENCE).engine(read_only=True)
        try:
            yield engine
        finally:
            engine.dispose()

    def query(self) -> "Connection":
        """Open the mirror for questions, as `dandi_pipeline.query.connect` does; close it, or use it in `with`."""
        # What asks is loaded by those who ask: code locations load often.
        from dandi_pipeline.query import connect

        settings = _settings(self.database_url)
        return connect() if self.database_url is None else connect(settings.mirror_database_url)

    def sql(self, text: str, **parameters: Any) -> "pd.DataFrame":
        """Return what one SELECT over the public tables and views gives; `:name` in it is the parameter `name`."""
        with self.query() as mirror:
            return mirror.sql(text, **parameters)


class _Scaffolder(dg.Scaffolder):
    """Writes what the component cannot do without: a first source."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Write `defs.yaml`."""
        dg.scaffold_component(request, {"sources": [{"platform": "dandi", "every": "15m"}], "reader": "mirror"})


@dg.scaffold_with(_Scaffolder)
class Mirror(dg.Component, dg.Model, dg.Resolvable):
    """An exact, fresh SQL mirror of DANDI, Notion and Airtable: assets, a sensor and schedules for each source."""

    sources: list[dict[str, Any]] | None = Field(
        default=None, description="The sources, as sources.yaml lists them; none means the file that is named there."
    )
    database_url: str | None = Field(default=None, description="The mirror; MIRROR_DATABASE_URL unless it is set.")
    key_prefix: list[str] = Field(default=[], description="What comes before each asset's key.")
    group: str | None = Field(default=None, description="The group of all assets; else each source has its own.")
    owners: list[str] = Field(default=[], description="Owners of every asset: e-mail addresses, or team:name.")
    automation: bool = Field(default=True, description="Whether sensors and schedules run from the start.")
    reader: str | None = Field(default=None, description="The name of a resource that reads the mirror.")

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the mirror's definitions."""
        return build_defs(
            self.sources,
            database_url=self.database_url,
            key_prefix=self.key_prefix,
            group=self.group,
            owners=self.owners,
            automation=self.automation,
            reader=self.reader,
        )
