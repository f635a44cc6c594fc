"""How hard a sync asks its platform: what one run sets in place of its source's settings."""

from dataclasses import dataclass, fields
from typing import TypeVar

from pydantic import BaseModel

from dandi_pipeline.errors import ConfigurationError

AnySettings = TypeVar("AnySettings", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Tuning:
    """What is None is left to the source's own settings.

    `pool_size` connections are kept open at most, each for one request only without `keep_alive`. `max_concurrent`
    requests are in flight at most. `batch_size` records are asked for at a time, at most as many as the platform
    gives. `rate_limit` requests are sent a second at most; the platform's own rate holds as well. Without
    `streaming` a partition is read whole before any of it is compared. Without `manifests` a platform's bulk files
    are not used.
    """

    pool_size: int | None = None
    max_concurrent: int | None = None
    batch_size: int | None = None
    rate_limit: float | None = None
    keep_alive: bool = True
    streaming: bool = True
    manifests: bool = True

    def __post_init__(self) -> None:
        for name in ("pool_size", "max_concurrent", "batch_size", "rate_limit"):
            number = getattr(self, name)
            if number is not None and number <= 0:
                raise ConfigurationError(f"{name.replace('_', '-')}: {number} is not more than 0")

    def __str__(self) -> str:
        """Say what is not left to the source, e.g. "pool_size 20, max_concurrent 10"."""
        return ", ".join(_worded(item.name, getattr(self, item.name)) for item in fields(self) if self._sets(item.name))

    def applied_to(self, settings: AnySettings) -> AnySettings:
        """Return a source's settings with what this mode sets; a platform without such a setting has nothing to set."""
        wanted = {
            "pool_size": self.pool_size,
            "max_concurrent": self.max_concurrent,
            "page_size": self.batch_size and min(self.batch_size, getattr(settings, "LARGEST_PAGE", self.batch_size)),
            "keep_alive": None if self.keep_alive else False,
            "manifests": None if self.manifests else False,
        }
        known = type(settings).model_fields
        return settings.model_copy(
            update={name: value for name, value in wanted.items() if value is not None and name in known}
        )

    def _sets(self, name: str) -> bool:
        return bool(getattr(self, name) != getattr(AS_SET, name))


def _worded(name: str, value: float | bool | None) -> str:
    return f"no {name}" if value is False else f"{name} {value}"


AS_SET = Tuning()
"""Everything as the source's settings say."""

PRESETS = {
    "safe": Tuning(pool_size=5, max_concurrent=2),
    "default": Tuning(pool_size=10, max_concurrent=5),
    "fast": Tuning(pool_size=20, max_concurrent=10),
}

LEGACY = Tuning(pool_size=1, max_concurrent=1, keep_alive=False, streaming=False)
"""Without any optimization, to compare with: no pooling, no streaming, one request at a time."""
