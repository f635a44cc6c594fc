"""What a run is given: its config, the source it works on, and who watches it."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime

import dagster as dg
from pydantic import Field

from dandi_pipeline.errors import ConfigurationError, PipelineError
from dandi_pipeline.mirror import Mirror
from dandi_pipeline.model import Platform
from dandi_pipeline.platforms.registry import open_platform
from dandi_pipeline.settings import AS_SET, Settings, Source, Tuning
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.progress import Progress, Unwatched
from dandi_pipeline.sync.report import SyncReport


def sync_log(level: int | None) -> logging.Logger:
    """Return a logger that writes the lines of a sync from `level` up; with None it writes nothing."""
    logger = logging.Logger("sync", logging.CRITICAL + 1 if level is None else level)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"))
    logger.addHandler(handler)
    return logger


@dg.logger
def silent_logger(_context: dg.InitLoggerContext) -> logging.Logger:
    """Return what takes the place of Dagster's console logger, in runs whose config names `console`."""
    return sync_log(None)


class TuningConfig(dg.Config):
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
    mode: TuningConfig = Field(default=TuningConfig(), description="How the platform is asked.")

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
            mode=TuningConfig(**asdict(options.mode)),
        )

    def options(
        self, *, partitions: tuple[str, ...], parts: tuple[str, ...], ignore_unknown: bool, max_concurrent: int
    ) -> SyncOptions:
        """Return the options; `max_concurrent` applies where the mode names none. ConfigurationError if invalid."""
        mode = Tuning(**self.mode.model_dump())
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


@dataclass(frozen=True, slots=True)
class Connection:
    """One source's platform, and the mirror it is copied to."""

    platform: Platform
    mirror: Mirror


class Connections:
    """Opens a source's connection when a run or a check needs it; holds none open in between."""

    def __init__(self, sources: Sequence[Source], settings: Settings) -> None:
        self._sources = {source.alias: source for source in sources}
        self._settings = settings

    @contextmanager
    def open(self, alias: str, mode: Tuning = AS_SET) -> Iterator[Connection]:
        """Open the source named `alias`; raises `DatabaseUnavailable` if the mirror cannot be opened.

        Its rate is shared with everybody who uses the same mirror.
        """
        source = self._sources[alias]
        with ExitStack() as stack:
            mirror = stack.enter_context(Mirror.open(self._settings.mirror_database_url))
            platform = stack.enter_context(closing(open_platform(source, self._settings, mirror, mode)))
            yield Connection(platform, mirror)


@dataclass(slots=True)
class Watcher:
    """Who runs a sync in their own process: sees its progress and log, and is left its report or what stopped it."""

    progress: Progress = field(default_factory=Unwatched)
    log: logging.Logger = field(default_factory=lambda: sync_log(None))
    report: SyncReport | None = None
    stopped_by: PipelineError | None = None
