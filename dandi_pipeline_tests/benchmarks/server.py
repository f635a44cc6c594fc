"""A first copy and a check, against a bare fetch of the same pages from the same archive.

The simulated archive works as slowly as the real one was measured to: a page of assets with metadata costs it 3.6 ms
an asset, one without 0.6 ms, an asset alone 30 ms, and it has three workers.
"""

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from math import ceil
from pathlib import Path

import requests

from dandi_pipeline_tests.benchmarks.tables import Scale, Table
from dandi_pipeline_tests.end_to_end.rig import Rig
from dandi_pipeline_tests.simulators.dandi import Costs, SimulatedArchive, World, generated_world

COSTS = Costs(full=0.0036, bare=0.0006, single=0.030, workers=3)
PAGE_SIZE = 1000

_SIZES = {Scale.QUICK: (20, 300), Scale.FULL: (20, 1500)}
"""Dandisets, and about how many assets each has."""


def measure(scale: Scale) -> Table:
    """Measure each way once, one after the other, on the same archive."""
    dandisets, assets = _SIZES[scale]
    with (
        SimulatedArchive(quiet_world(dandisets, assets), costs=COSTS) as archive,
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
    ):
        place = Path(folder)
        plain = Rig(archive, f"sqlite:///{place / 'plain.sqlite'}", place)
        bulk = Rig(archive, f"sqlite:///{place / 'bulk.sqlite'}", place, manifest_url=archive.bucket_url)
        ways: dict[str, Callable[[], object]] = {
            "bare fetch of full pages, 4 at a time": lambda: fetch_by_hand(archive),
            "sync, by the API alone": plain.sync,
            "sync, with the manifests": bulk.sync,
            "a check that finds nothing": bulk.sync,
        }
        taken = {way: _timed(work, archive) for way, work in ways.items()}
        assert not plain.differences()
        assert not bulk.differences()
    by_hand, _ = taken["bare fetch of full pages, 4 at a time"]
    return Table(
        title="A first copy, against the server's own limit",
        command=scale.command("server"),
        columns=("way", "seconds", "ratio", "requests"),
        rows=tuple(
            (way, f"{seconds:.2f}", f"{seconds / by_hand:.2f}", f"{requests:,}")
            for way, (seconds, requests) in taken.items()
        ),
        notes=(f"{dandisets} dandisets of about {assets:,} assets; SQLite.",),
    )


def quiet_world(dandisets: int, assets: int) -> World:
    """Return an archive whose bulk files were written well after its assets, as in years of quiet."""
    world = generated_world(dandisets=dandisets, assets=assets)
    for dandiset in world.dandisets.values():
        for version in dandiset.versions.values():
            version.modified += timedelta(days=1)
    return world


def fetch_by_hand(archive: SimulatedArchive) -> None:
    """Fetch every page of every visible draft with metadata and throw it away, as the fastest client could."""
    with requests.Session() as session, ThreadPoolExecutor(4) as threads:
        rows = session.get(f"{archive.api_url}/dandisets/?page_size=1000", timeout=60).json()["results"]
        pages = [
            f"{archive.api_url}/dandisets/{row['identifier']}/versions/draft/assets/"
            f"?metadata=true&order=path&page_size={PAGE_SIZE}&page={page + 1}"
            for row in rows
            for page in range(max(1, ceil(row["draft_version"]["asset_count"] / PAGE_SIZE)))
        ]
        list(threads.map(lambda url: session.get(url, timeout=60).json(), pages))


def _timed(work: Callable[[], object], archive: SimulatedArchive) -> tuple[float, int]:
    """Return how many seconds `work` takes, and how many requests."""
    archive.requests.reset()
    started = time.monotonic()
    work()
    return time.monotonic() - started, int(archive.requests.counts()["total"])
