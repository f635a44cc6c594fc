"""What Dagster loads: every enabled source of `sources.yaml`. Assembles, contains no logic."""

import dagster as dg

from dandi_pipeline.orchestration.alerts import build_alerts
from dandi_pipeline.orchestration.assembly import build_defs


@dg.definitions
def defs() -> dg.Definitions:
    """Load them when asked to: importing this module reads no environment."""
    return dg.Definitions.merge(build_defs(), build_alerts())
