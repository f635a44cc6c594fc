"""What one sync is asked to do."""

from dataclasses import dataclass
from datetime import datetime

from dandi_pipeline.errors import ConfigurationError
from dandi_pipeline.settings import AS_SET, Tuning


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """The scope and manner of one sync; the default is everything stale, by the cheapest exact plan.

    `full` reads everything again; in a numbered `round` of sweeps, where a platform can tell most changes cheaply, the
    content of a share of the partitions only, another one each round. `parts` empty means every part of the platform;
    `partitions` empty means every partition. `max_records` limits the bulk records read per partition; what it cuts
    short stays stale. `ignore_unknown` passes over named partitions that neither platform nor mirror has: they may have
    gone since they were named.
    `max_concurrent` partitions are worked on at once, and as many requests; `mode` says how the platform is asked.
    """

    partitions: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    since: datetime | None = None
    full: bool = False
    round: int | None = None
    max_records: int | None = None
    allow_mass_deletion: bool = False
    ignore_unknown: bool = False
    max_concurrent: int = 5
    mode: Tuning = AS_SET

    def __post_init__(self) -> None:
        if self.since is not None and self.since.tzinfo is None:
            raise ConfigurationError("since: give a time zone, e.g. 2024-01-01T12:00:00Z")
        if self.max_records is not None and self.max_records < 1:
            raise ConfigurationError(f"max-assets: {self.max_records} is not a positive number")
        if self.max_concurrent < 1:
            raise ConfigurationError(f"max-concurrent: {self.max_concurrent} is not a positive number")

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
