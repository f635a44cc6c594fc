"""The resources of a sync: what it works on, and who watches it."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from dandi_pipeline.errors import PipelineError
from dandi_pipeline.mirror import Mirror
from dandi_pipeline.platforms.contract import Platform
from dandi_pipeline.platforms.registry import open_platform
from dandi_pipeline.settings import Settings, Source
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
    def open(self, alias: str) -> Iterator[Connection]:
        """Open the source named `alias`; raises `DatabaseUnavailable` if the mirror cannot be opened."""
        url = self._settings.mirror_database_url
        with Mirror.open(url) as mirror, closing(open_platform(self._sources[alias], self._settings)) as platform:
            yield Connection(platform, mirror)


@dataclass(slots=True)
class Watcher:
    """Who runs a sync in their own process: sees its progress, and is left its report or what stopped it."""

    progress: Progress = field(default_factory=Unwatched)
    report: SyncReport | None = None
    stopped_by: PipelineError | None = None
