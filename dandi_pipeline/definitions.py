"""What Dagster loads: every enabled source of `sources.yaml`. Assembles, contains no logic."""

import os
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from dandi_pipeline.orchestration.alerts import build_alerts
from dandi_pipeline.orchestration.assembly import assemble
from dandi_pipeline.orchestration.resources import Connections, Watcher
from dandi_pipeline.orchestration.sources import mirrored
from dandi_pipeline.platforms.registry import SETTINGS
from dandi_pipeline.settings import Settings, load_sources


def build_defs(resource_overrides: Mapping[str, object] | None = None) -> dg.Definitions:
    """Return the definitions of the configured sources; nothing is connected to, and no database is made.

    `resource_overrides` replaces resources by name, for tests.
    """
    settings = Settings.from_environment(os.environ, Path.cwd())
    sources = [source for source in load_sources(settings.sources_path, SETTINGS) if source.enabled]
    resources = {"connections": Connections(sources, settings), "watcher": Watcher()}
    return assemble([mirrored(source) for source in sources], {**resources, **(resource_overrides or {})})


@dg.definitions
def defs() -> dg.Definitions:
    """Load them when asked to: importing this module reads no environment."""
    return dg.Definitions.merge(build_defs(), build_alerts())
