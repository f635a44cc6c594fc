"""What an operator sets: environment variables, and the sources that are mirrored.

Nothing here reads the environment by itself, and no platform is known by name: what a platform's `settings:` may
hold, its own folder says.
"""

from dandi_pipeline.settings.environment import Settings
from dandi_pipeline.settings.sources import PlatformSettings, Source, load_sources, sources_schema
from dandi_pipeline.settings.values import ApiUrl, EnvironmentName, Interval

__all__ = [
    "ApiUrl",
    "EnvironmentName",
    "Interval",
    "PlatformSettings",
    "Settings",
    "Source",
    "load_sources",
    "sources_schema",
]
