"""What the environment and the sources file say."""

import os
from pathlib import Path

from dandi_pipeline.platforms.registry import SETTINGS
from dandi_pipeline.settings import Settings, Source, load_sources


def configured_sources() -> tuple[Settings, tuple[Source, ...]]:
    """Return the settings and every source; ConfigurationError if a setting or the sources file is wrong."""
    settings = Settings.from_environment(os.environ, Path.cwd())
    return settings, load_sources(settings.sources_path, SETTINGS)
