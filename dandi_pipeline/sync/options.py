"""What one sync is asked to do."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ModelWrapValidatorHandler, model_validator

from dandi_pipeline.errors import ConfigurationError
from dandi_pipeline.settings import AS_SET, Tuning, one_line_error


def _instant(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        raise ConfigurationError(f"since: {value!r} is not a date and time like 2024-01-01T12:00:00Z") from None


class SyncOptions(BaseModel):
    """The options of one sync; the default is everything stale, by the cheapest exact plan.

    The command line, the config of a run and the syncs of several sources are forms of this model: what it calls an
    option is what all of them call it. Raises `ConfigurationError` for what cannot be meant.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    partitions: tuple[str, ...] = Field(default=(), description="The partitions to sync; none means every one.")
    parts: tuple[str, ...] = Field(default=(), description="The parts to sync, e.g. assets; none means all.")
    since: Annotated[datetime | None, BeforeValidator(_instant)] = Field(
        default=None, description="Only what changed since this instant (ISO 8601, with zone)."
    )
    full: bool = Field(default=False, description="Read everything again, stale or not.")
    round: int | None = Field(
        default=None,
        description="With `full`, the number of a round of sweeps: where a platform tells most changes cheaply,"
        " only the content of a share of the partitions is read, another one each round.",
    )
    max_records: int | None = Field(
        default=None, description="Read at most this many records of a partition; one cut short stays stale."
    )
    allow_mass_deletion: bool = Field(default=False, description="Delete even what the guard would refuse.")
    ignore_unknown: bool = Field(default=False, description="Pass over named partitions that do not exist any more.")
    tuning: Tuning = Field(default=AS_SET, description="How the platform is asked.")

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        options = one_line_error(handler, given)
        if options.since is not None and options.since.tzinfo is None:
            raise ConfigurationError("since: give a time zone, e.g. 2024-01-01T12:00:00Z")
        if options.max_records is not None and options.max_records < 1:
            raise ConfigurationError(f"max-records: {options.max_records} is not a positive number")
        return options

    @property
    def whole(self) -> bool:
        """Whether it looks at all of the source."""
        return not (self.partitions or self.parts or self.since or self.max_records)

    @property
    def scope(self) -> str:
        """Return the scope in words, the same for the same options: the label of a run in the history."""
        words = [", ".join(self.partitions) if len(self.partitions) <= 5 else f"{len(self.partitions)} partitions"]
        words += [f"{part} only" for part in self.parts]
        words += [f"since {self.since.isoformat()}"] if self.since else []
        words += ["full"] if self.full else []
        words += [f"at most {self.max_records} records a partition"] if self.max_records else []
        return "; ".join(word for word in words if word) or "all"
