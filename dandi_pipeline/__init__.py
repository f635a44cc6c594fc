"""An exact, fresh, queryable SQL mirror of scientific archives, kept by Dagster.

For other deployments of Dagster: `build_defs`, `Mirror` (a component), `partitions_def`, `MirrorReader`, and what tells
people of failed runs, `failure_sensor` and `alert_on_failure`. They are imported when first used: asking the mirror
(`dandi_pipeline.query`) needs no Dagster.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dandi_pipeline.orchestration.alerts import alert_on_failure, failure_sensor
    from dandi_pipeline.orchestration.assembly import Mirror, MirrorReader, build_defs, partitions_def

__all__ = ["Mirror", "MirrorReader", "alert_on_failure", "build_defs", "failure_sensor", "partitions_def"]

_OF_ALERTS = ("alert_on_failure", "failure_sensor")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "alerts" if name in _OF_ALERTS else "assembly"
    return getattr(import_module(f"dandi_pipeline.orchestration.{module}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
