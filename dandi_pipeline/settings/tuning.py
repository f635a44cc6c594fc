"""How hard a sync asks its platform: what one run sets in place of its source's settings."""

from collections.abc import Callable
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, ValidationError, model_validator

from dandi_pipeline.errors import ConfigurationError

AnySettings = TypeVar("AnySettings", bound=BaseModel)
Model = TypeVar("Model", bound=BaseModel)


def one_line_error(validate: Callable[[Any], Model], given: Any) -> Model:
    """Return the valid model; raise `ConfigurationError`, in one line, for the first thing that is wrong."""
    try:
        return validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part).replace("_", "-") for part in first["loc"]) or "options"
        raise ConfigurationError(f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None


class Tuning(BaseModel):
    """How the platform is asked in one sync; what is None is left to the source's own settings.

    The platform's own rate holds beside `rate_limit`. Raises `ConfigurationError` for what would send nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pool_size: int | None = Field(
        default=None, description="Connections kept open at most, each for one request only without keep_alive."
    )
    max_concurrent: int | None = Field(default=None, description="Requests in flight at most.")
    batch_size: int | None = Field(
        default=None, description="Records requested at a time; the platform's own limit holds as well."
    )
    rate_limit: float | None = Field(
        default=None, description="Requests a second at most; the platform's own rate holds as well."
    )
    keep_alive: bool = Field(default=True, description="Keep connections for the next request.")
    streaming: bool = Field(default=True, description="Compare a partition while it is still being read.")
    manifests: bool = Field(default=True, description="Use the platform's bulk files where it has them.")

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        tuning = one_line_error(handler, given)
        for name in ("pool_size", "max_concurrent", "batch_size", "rate_limit"):
            number = getattr(tuning, name)
            if number is not None and number <= 0:
                raise ConfigurationError(f"{name.replace('_', '-')}: {number} is not more than 0")
        return tuning

    def __str__(self) -> str:
        """Say what is not left to the source, e.g. "pool_size 20, max_concurrent 10"."""
        return ", ".join(_worded(name, getattr(self, name)) for name in type(self).model_fields if self._sets(name))

    def applied_to(self, settings: AnySettings) -> AnySettings:
        """Return a source's settings with what this tuning sets; a setting that the platform lacks is left out."""
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
