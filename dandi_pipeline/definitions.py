"""What Dagster loads: every enabled source of `sources.yaml`. Assembles, contains no logic."""

import dagster as dg

from dandi_pipeline.orchestration.assembly import build_defs


@dg.definitions
def defs() -> dg.Definitions:
    """Load them when asked to: importing this module reads no environment."""
    return build_defs()
