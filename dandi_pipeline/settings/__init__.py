"""What an operator sets: environment variables, and the sources that are mirrored.

Nothing here reads the environment by itself, and no platform is known by name: what a platform's `settings:` may
hold, its own folder says.
"""

from dandi_pipeline.settings.document import unknown
from dandi_pipeline.settings.environment import AlertSettings, MailServer, Settings
from dandi_pipeline.settings.sources import (
    PlatformSettings,
    Section,
    Source,
    load_sources,
    parse_sources,
    sources_schema,
)
from dandi_pipeline.settings.tuning import AS_SET, LEGACY, PRESETS, Tuning, one_line_error
from dandi_pipeline.settings.values import ApiUrl, EnvironmentName, Interval, slug

__all__ = [
    "AS_SET",
    "LEGACY",
    "PRESETS",
    "AlertSettings",
    "ApiUrl",
    "EnvironmentName",
    "Interval",
    "MailServer",
    "PlatformSettings",
    "Section",
    "Settings",
    "Source",
    "Tuning",
    "load_sources",
    "one_line_error",
    "parse_sources",
    "slug",
    "sources_schema",
    "unknown",
]
