"""The resources of a sync: what it works on, and who watches it."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field

from dandi_pipeline.errors import PipelineError
from dandi_pipeline.mirror import Mirror
from dandi_pipeline.orchestration.console import sync_log
from dandi_pipeline.platforms.contract import Platform
from dandi_pipeline.platforms.registry import open_platform
from dandi_pipeline.settings import AS_SET, Mode, Settings, Source
from dandi_pipeline.sync.progress import Progress, Unwatched
from dandi_pipeline.sync.report import SyncReport


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
    def open(self, alias: str, mode: Mode = AS_SET) -> Iterator[Connection]:
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
