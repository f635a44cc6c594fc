"""One installation of the project: a simulated archive, a DAGSTER_HOME and a mirror of its own."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.mirror import Mirror
from dandi_pipeline.orchestration.assembly import assemble
from dandi_pipeline.orchestration.launch import run_sync
from dandi_pipeline.orchestration.resources import Connections
from dandi_pipeline.orchestration.sources import MirroredSource, mirrored
from dandi_pipeline.platforms.registry import SETTINGS
from dandi_pipeline.settings import Settings, Source, load_sources
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.report import SyncReport
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, World

ASSETS = dg.AssetKey(["dandi", "assets"])
DANDISETS = dg.AssetKey(["dandi", "dandisets"])

RUN_SYNC = """
import json, os, sys
from pathlib import Path
from dandi_pipeline.orchestration.launch import run_sync
from dandi_pipeline.platforms.registry import SETTINGS
from dandi_pipeline.settings import Settings, load_sources
from dandi_pipeline.sync.options import SyncOptions

settings = Settings.from_environment(os.environ, Path.cwd())
level = int(sys.argv[1]) if len(sys.argv) > 1 else None
report = run_sync(load_sources(None, SETTINGS)[0], settings, SyncOptions(), console_level=level)
print(json.dumps(report.to_json()))
"""
"""A process that syncs everything and prints the report."""


@dataclass(frozen=True)
class Site:
    """An installation in `path`, pointed at `archive`; its mirror is in its home unless it has another."""

    archive: SimulatedArchive
    path: Path
    mirror_url: str = ""

    @property
    def environ(self) -> Mapping[str, str]:
        named = {"MIRROR_DATABASE_URL": self.mirror_url} if self.mirror_url else {}
        return {"DANDI_API_URL": self.archive.api_url, "DAGSTER_HOME": str(self.path / "home"), **named}

    @property
    def settings(self) -> Settings:
        return Settings.from_environment(self.environ, self.path)

    @property
    def source(self) -> Source:
        return load_sources(None, SETTINGS)[0]

    @property
    def shown(self) -> MirroredSource:
        return mirrored(self.source)

    @property
    def world(self) -> World:
        return self.archive.world

    @property
    def definitions(self) -> dg.Definitions:
        return assemble([self.shown], self.connections)

    @property
    def connections(self) -> Connections:
        return Connections([self.source], self.settings)

    def sync(self, **options: Any) -> SyncReport:
        return run_sync(self.source, self.settings, SyncOptions(**options))

    def mirror(self) -> Mirror:
        return open_mirror(self.settings.mirror_database_url)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", RUN_SYNC, *arguments]


def materialized(instance: dg.DagsterInstance, asset: dg.AssetKey = ASSETS) -> dict[str, dict[str, Any]]:
    """Return the metadata of each partition's latest materialization."""
    result = instance.fetch_materializations(asset, limit=5_000, ascending=True)
    return {
        str(record.partition_key): {key: value.value for key, value in record.asset_materialization.metadata.items()}
        for record in result.records
        if record.asset_materialization
    }


def statuses(
    instance: dg.DagsterInstance, source: MirroredSource, asset: dg.AssetKey = ASSETS
) -> dict[str, str | None]:
    """Return how Dagster shows each partition: MATERIALIZED, FAILED, IN_PROGRESS, or None."""
    definition = dg.DynamicPartitionsDefinition(name=source.partition_set)
    keys = instance.get_dynamic_partitions(source.partition_set)
    found = instance.get_status_by_partition(asset, keys, definition) or {}
    return {key: status.value if status else None for key, status in found.items()}
