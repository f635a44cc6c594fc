"""A first copy and a check, against a bare fetch of the same pages from the same archive.

The simulated archive works as slowly as the real one was measured to: a page of assets with metadata costs it 3.6 ms
an asset, one without 0.6 ms, an asset alone 30 ms, and it has three workers. It is another process than the client.
"""

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from pathlib import Path

import requests

from dandi_pipeline_tests.benchmarks.served import Asked, Copy, ServedArchive, quiet_world
from dandi_pipeline_tests.benchmarks.tables import Scale, Table
from dandi_pipeline_tests.simulators.dandi import World
from dandi_pipeline_tests.simulators.dandi.records import OPEN

PAGE_SIZE = 1000

_SIZES = {Scale.QUICK: (20, 300), Scale.FULL: (60, 500)}
"""Dandisets, and about how many assets each has."""


def measure(scale: Scale) -> Table:
    """Measure each way once, one after the other, on the same archive."""
    dandisets, assets = _SIZES[scale]
    world = quiet_world(dandisets=dandisets, assets=assets)
    with ServedArchive(world) as archive, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        place = Path(folder)
        plain = Copy(archive, f"sqlite:///{place / 'plain.sqlite'}", manifests=False)
        bulk = Copy(archive, f"sqlite:///{place / 'bulk.sqlite'}", manifests=True)
        ways: dict[str, Callable[[], object]] = {
            "bare fetch of full pages, 4 at a time": lambda: fetch_by_hand(archive.api_url),
            "sync, by the API alone": plain.sync,
            "sync, with the manifests": bulk.sync,
            "a check that finds nothing": bulk.sync,
        }
        taken = {way: _timed(work, archive) for way, work in ways.items()}
        plain.require_equal()
        bulk.require_equal()
    by_hand = taken["bare fetch of full pages, 4 at a time"][0]
    return Table(
        title="A first copy, against the server's own limit",
        command=scale.command("server"),
        columns=("way", "seconds", "ratio", "requests", "megabytes"),
        rows=tuple(
            (way, f"{seconds:.2f}", f"{seconds / by_hand:.2f}", f"{asked.requests:,}", f"{asked.body_bytes / 1e6:.1f}")
            for way, (seconds, asked) in taken.items()
        ),
        notes=(f"{dandisets} dandisets, {_drafts(world):,} assets in their drafts; SQLite.",),
    )


def fetch_by_hand(api_url: str) -> None:
    """Fetch every page of every visible draft with metadata and throw it away, as the fastest client could."""
    with requests.Session() as session, ThreadPoolExecutor(4) as threads:
        rows = session.get(f"{api_url}/dandisets/?page_size={PAGE_SIZE}", timeout=60).json()["results"]
        pages = [
            f"{api_url}/dandisets/{row['identifier']}/versions/draft/assets/"
            f"?metadata=true&order=path&page_size={PAGE_SIZE}&page={page + 1}"
            for row in rows
            for page in range(max(1, ceil(row["draft_version"]["asset_count"] / PAGE_SIZE)))
        ]
        list(threads.map(lambda url: session.get(url, timeout=60).json(), pages))


def _timed(work: Callable[[], object], archive: ServedArchive) -> tuple[float, Asked]:
    """Return how many seconds `work` takes, and what it asks for."""
    archive.asked()
    started = time.monotonic()
    work()
    return time.monotonic() - started, archive.asked()


def _drafts(world: World) -> int:
    return sum(len(dandiset.draft.assets) for dandiset in world.dandisets.values() if dandiset.embargo_status == OPEN)
