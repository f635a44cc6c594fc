"""One simulated archive and one mirror of it, synced by the real engine over the real socket."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.http import HttpClient, Limits, LocalBudgets
from dandi_pipeline.model import Platform
from dandi_pipeline.platforms.dandi.manifests import Manifests
from dandi_pipeline.platforms.dandi.plan import PAGE_SIZE
from dandi_pipeline.platforms.dandi.platform import DandiPlatform, refusals
from dandi_pipeline.platforms.registry import SETTINGS, open_platform
from dandi_pipeline.settings import Settings, load_sources
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.report import PartitionReport
from dandi_pipeline_tests.end_to_end.equality import Difference, compared, plain_engine
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpus"
"""Real metadata, where it lies beside the checkout; every promise is tested on generated data as well."""


IMPATIENT = Limits(attempts=4, read_timeout=0.5, total_timeout=1, first_backoff=0.005, longest_backoff=0.02)
"""As the client's own limits, but for a test that would not wait for a real archive to recover."""


class Rig:
    """Syncs `archive` into the mirror at `url`, as a source of its own settings would be.

    `limits` replace those of the platform's client.
    """

    def __init__(
        self,
        archive: SimulatedArchive,
        url: str,
        folder: Path,
        *,
        key: str | None = None,
        limits: Limits | None = None,
        **settings: Any,
    ):
        self.archive = archive
        self.url = url
        self.key = key
        self.limits = limits
        self.published_assets = settings.get("versions") == "all"
        sources = folder / "sources.yaml"
        lines = [f"      {name}: {value}" for name, value in settings.items()]
        sources.write_text("\n".join(["sources:", "  - platform: dandi", "    settings:", *lines, ""]))
        (self._source,) = load_sources(sources, SETTINGS)

    def open_platform(self) -> Platform:
        if self.limits:
            return dandi_at(self.archive.api_url, self.limits, key=self.key, published_assets=self.published_assets)
        environ = {"DANDI_API_URL": self.archive.api_url, **({"DANDI_API_KEY": self.key} if self.key else {})}
        return open_platform(self._source, Settings.from_environment(environ, Path.cwd()), LocalBudgets())

    def sync(self, **options: Any) -> Mapping[str, PartitionReport]:
        """Run one sync to its end; return the partitions' reports by key."""
        with closing(self.open_platform()) as platform, open_mirror(self.url) as mirror:
            sync = Sync("dandi", platform, mirror, SyncOptions(**options))
            return {report.partition: report for report in sync.run(sync.plan(), "run")}

    def stale(self) -> tuple[str, ...]:
        """Return the partitions that a sync would work on."""
        with closing(self.open_platform()) as platform, open_mirror(self.url) as mirror:
            return Sync("dandi", platform, mirror, SyncOptions()).plan().keys

    def differences(self) -> list[str]:
        """Return what is not as a perfect mirror would have it."""
        return list(map(str, self.compared()))

    def compared(self) -> Iterator[Difference]:
        """Yield the same row by row."""
        snapshot = self.archive.world.snapshot(self.key, published_assets=self.published_assets)
        return compared(self.url, snapshot, published_assets=self.published_assets)

    def select(self, statement: str, **named: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query, as a user of the mirror would see them."""
        with plain_engine(self.url).connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(statement), named)]

    def last_change(self) -> int:
        """Return the sequence of the newest change, 0 before the first."""
        return int(self.select("SELECT coalesce(max(sequence), 0) FROM changes")[0][0])

    def requests(self) -> int:
        """Return how many requests the archive has got since this was last asked."""
        total = int(self.archive.requests.counts()["total"])
        self.archive.requests.reset()
        return total

    def request_bound(self) -> int:
        """Return the most requests that a first copy may take: lists, pages, three a dandiset, one a version."""
        snapshot = self.archive.world.snapshot(self.key)
        pages = sum(-(-len(dandiset["versions"]["draft"]["assets"]) // 1000) for dandiset in snapshot.values())
        published = sum(len(dandiset["versions"]) - 1 for dandiset in snapshot.values())
        return -(-len(snapshot) // 1000) + pages + 3 * len(snapshot) + published


def dandi_at(
    api_url: str,
    limits: Limits,
    *,
    key: str | None = None,
    published_assets: bool = False,
    bucket_url: str | None = None,
    page_size: int = PAGE_SIZE,
    derives_facets: bool = True,
) -> DandiPlatform:
    """Return an archive that is asked within these limits, with its bulk files where `bucket_url` says."""
    client = HttpClient(
        api_url,
        user_agent="tests",
        authorization=f"token {key}" if key else None,
        limits=limits,
        refusal=refusals("DANDI_API_KEY" if key else None),
    )
    bucket = Manifests(HttpClient(bucket_url, user_agent="tests", limits=limits)) if bucket_url else None
    return DandiPlatform(
        client,
        bucket,
        lists_embargoed=key is not None,
        published_assets=published_assets,
        page_size=page_size,
        derives_facets=derives_facets,
    )
