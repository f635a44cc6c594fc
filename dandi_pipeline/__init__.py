"""An exact, fresh, queryable SQL mirror of scientific archives, kept by Dagster.

For other deployments of Dagster: `build_defs`, `Mirror` (a component), `partitions_def`, `MirrorReader`. They are
imported when first used: asking the mirror (`dandi_pipeline.query`) needs no Dagster.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dandi_pipeline.orchestration.assembly import Mirror, MirrorReader, build_defs, partitions_def

__all__ = ["Mirror", "MirrorReader", "build_defs", "partitions_def"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("dandi_pipeline.orchestration.assembly"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
