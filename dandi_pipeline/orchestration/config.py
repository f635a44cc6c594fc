"""What a run is asked to do, as Dagster's run config: the one form in which every launcher says it."""

from dataclasses import asdict
from datetime import datetime

import dagster as dg
from pydantic import Field

from dandi_pipeline.errors import ConfigurationError
from dandi_pipeline.settings import Mode
from dandi_pipeline.sync.options import SyncOptions


class ModeConfig(dg.Config):
    """How the platform is asked; what is unset is as the source's settings say."""

    pool_size: int | None = Field(default=None, description="Connections kept open at most.")
    max_concurrent: int | None = Field(default=None, description="Requests in flight at most.")
    batch_size: int | None = Field(default=None, description="Records asked for at a time.")
    rate_limit: float | None = Field(default=None, description="Requests a second at most.")
    keep_alive: bool = Field(default=True, description="Keep connections for the next request.")
    streaming: bool = Field(default=True, description="Compare a partition while it is still being read.")
    manifests: bool = Field(default=True, description="Use the archive's bulk files where it has them.")


class SyncConfig(dg.Config):
    """The options of one sync; the default is everything stale, by the cheapest exact plan."""

    partitions: list[str] = Field(default=[], description="The partitions to sync; none means every one.")
    since: str | None = Field(default=None, description="Only what changed since this instant (ISO 8601, with zone).")
    full: bool = Field(default=False, description="Read everything again, stale or not.")
    round: int | None = Field(
        default=None, description="With `full`: the round of sweeps, of which each reads a share."
    )
    max_records: int | None = Field(default=None, description="Read at most this many records of a partition.")
    allow_mass_deletion: bool = Field(default=False, description="Delete even what the guard would refuse.")
    ignore_unknown: bool = Field(default=False, description="Pass over named partitions that do not exist any more.")
    mode: ModeConfig = Field(default=ModeConfig(), description="How the platform is asked.")

    @classmethod
    def of(cls, options: SyncOptions) -> "SyncConfig":
        """Return the config that asks for `options`; the parts are asked for by asset selection."""
        return cls(
            partitions=list(options.partitions),
            since=options.since.isoformat() if options.since else None,
            full=options.full,
            round=options.round,
            max_records=options.max_records,
            allow_mass_deletion=options.allow_mass_deletion,
            ignore_unknown=options.ignore_unknown,
            mode=ModeConfig(**asdict(options.mode)),
        )

    def options(
        self, *, partitions: tuple[str, ...], parts: tuple[str, ...], ignore_unknown: bool, max_concurrent: int
    ) -> SyncOptions:
        """Return the options; `max_concurrent` applies where the mode names none. ConfigurationError if invalid."""
        mode = Mode(**self.mode.model_dump())
        return SyncOptions(
            partitions=partitions,
            parts=parts,
            since=_instant(self.since) if self.since else None,
            full=self.full,
            round=self.round,
            max_records=self.max_records,
            allow_mass_deletion=self.allow_mass_deletion,
            ignore_unknown=ignore_unknown,
            max_concurrent=mode.max_concurrent or max_concurrent,
            mode=mode,
        )


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ConfigurationError(f"since: {text!r} is not a date and time like 2024-01-01T12:00:00Z") from None
