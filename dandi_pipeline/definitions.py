"""What Dagster loads: every enabled source of `sources.yaml`, alerts and pruning. Assembles, contains no logic."""

import dagster as dg

from dandi_pipeline.orchestration.alerts import build_alerts
from dandi_pipeline.orchestration.assembly import build_defs
from dandi_pipeline.orchestration.pruning import build_pruning


@dg.definitions
def defs() -> dg.Definitions:
    """Load them when asked to: importing this module reads no environment."""
    return dg.Definitions.merge(build_defs(), build_alerts(), build_pruning())
