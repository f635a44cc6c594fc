"""A simulated archive in a process of its own, so that its work and the client's do not share an interpreter."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.http import HttpClient
from dandi_pipeline.platforms.dandi.manifests import Manifests
from dandi_pipeline.platforms.dandi.platform import DandiPlatform
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline_tests.end_to_end.equality import differences
from dandi_pipeline_tests.simulators.dandi import Costs, SimulatedArchive, World, generated_world
from dandi_pipeline_tests.simulators.dandi.snapshot import Snapshot

COSTS = Costs(full=0.0036, bare=0.0006, single=0.030, workers=3)
"""What the real archive was measured to need for an asset in a full page, in a bare one, and alone."""

DAY = timedelta(days=1)

_FORKING = get_context("fork")


@dataclass(frozen=True)
class Asked:
    """What an archive was asked for within some time."""

    requests: int
    body_bytes: int
    by_kind: dict[str, int]


class ServedArchive:
    """Serves a copy of `world` at `costs` while it is open."""

    def __init__(self, world: World, costs: Costs = COSTS) -> None:
        self._world = world
        self._costs = costs

    def __enter__(self) -> "ServedArchive":
        self._connection, theirs = _FORKING.Pipe()
        self._process = _FORKING.Process(target=_serve, args=(self._world, self._costs, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self.url: str = self._connection.recv()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.join()
        self._connection.close()
        self._process.close()

    @property
    def api_url(self) -> str:
        """What a client takes for `DANDI_API_URL`."""
        return f"{self.url}/api"

    @property
    def bucket_url(self) -> str:
        """Where the bulk copies lie."""
        return f"{self.url}/bucket"

    def apply(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what `function(world, …)` returns, a function of a module, which may change the served world."""
        self._connection.send((function, arguments))
        return self._connection.recv()

    def asked(self) -> Asked:
        """Return what was asked for since this was last called."""
        self._connection.send(None)
        asked: Asked = self._connection.recv()
        return asked


@dataclass(frozen=True)
class Copy:
    """A mirror of a served archive in the database at `url`."""

    archive: ServedArchive
    url: str
    manifests: bool

    def sync(self) -> None:
        """Run one sync; any partition's failure is raised."""
        client = HttpClient(self.archive.api_url, user_agent="benchmark")
        bucket = Manifests(HttpClient(self.archive.bucket_url, user_agent="benchmark")) if self.manifests else None
        with closing(DandiPlatform(client, bucket, lists_embargoed=False)) as platform, open_mirror(self.url) as mirror:
            sync = Sync("dandi", platform, mirror, SyncOptions())
            for report in sync.run(sync.plan(), "run"):
                if report.error:
                    raise report.error

    def require_equal(self) -> None:
        """Raise unless the mirror is what a perfect one would be; holds both in memory."""
        if found := differences(self.url, self.archive.apply(_snapshot)):
            raise AssertionError(f"{len(found)} rows differ, the first: {found[0]}")


def quiet_world(*, dandisets: int, assets: int, large: int = 0) -> World:
    """Return an archive as years of quiet leave it: every digest is there, the bulk files were written long after.

    Of 22,553 real assets not one lacked its digest. With `large`, the first dandiset has that many assets.
    """
    world = generated_world(dandisets=dandisets, assets=assets, large=large, digested=True)
    for dandiset in world.dandisets.values():
        for version in dandiset.versions.values():
            world.rewrite_version(dandiset.identifier, version.version, modified=version.modified + DAY)
    return world


def _snapshot(world: World) -> Snapshot:
    return world.snapshot(published_assets=False)


def _serve(world: World, costs: Costs, orders: Connection) -> None:
    with SimulatedArchive(world, costs=costs) as archive:
        orders.send(archive.url)
        while True:
            order = orders.recv()
            if order is None:
                orders.send(_counted(archive))
            else:
                function, arguments = order
                orders.send(function(world, *arguments))


def _counted(archive: SimulatedArchive) -> Asked:
    counts = archive.requests.counts()
    archive.requests.reset()
    return Asked(counts["total"], counts["bytes"], {kind: n for kind, n in counts["by_kind"].items() if n})
