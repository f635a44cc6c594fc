"""`make bench`: a first copy against a bare fetch of the same pages, and a check against a copy, in one run.

The simulated archive works as slowly as the real one was measured to: a page of assets with metadata costs it 3.6 ms
an asset, one without 0.6 ms, an asset alone 30 ms, and it has three workers. Ratios are what counts: the machine's
own speed is in both sides.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from math import ceil
from pathlib import Path

import requests

from dandi_pipeline_tests.end_to_end.rig import Rig
from dandi_pipeline_tests.simulators.dandi import Costs, SimulatedArchive, World, generated_world

COSTS = Costs(full=0.0036, bare=0.0006, single=0.030, workers=3)
PAGE_SIZE = 1000


def main() -> None:
    """Print how long each way takes, and its ratio to the bare fetch."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--dandisets", type=int, default=20)
    parser.add_argument("--assets", type=int, default=300, help="about how many each dandiset has")
    options = parser.parse_args()
    world = quiet_world(options.dandisets, options.assets)
    with SimulatedArchive(world, costs=COSTS) as archive, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        place = Path(folder)
        by_hand = timed(lambda: fetch_by_hand(archive))
        print(f"{'bare fetch of full pages, 4 at a time':40} {by_hand:7.2f} s   1.00")
        plain = Rig(archive, f"sqlite:///{place / 'plain.sqlite'}", place)
        show("sync, by the API alone", timed(plain.sync), by_hand)
        bulk = Rig(archive, f"sqlite:///{place / 'bulk.sqlite'}", place, manifest_url=archive.bucket_url)
        show("sync, with the manifests", timed(bulk.sync), by_hand)
        assert not plain.differences()
        assert not bulk.differences()
        archive.requests.reset()
        show("a check that finds nothing", timed(bulk.sync), by_hand)
        print(f"requests of that check: {bulk.requests()}")


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


def timed(work: Callable[[], object]) -> float:
    """Return how many seconds `work` takes."""
    started = time.monotonic()
    work()
    return time.monotonic() - started


def show(what: str, seconds: float, by_hand: float) -> None:
    """Print one line: how long, and how many times as long as by hand."""
    print(f"{what:40} {seconds:7.2f} s {seconds / by_hand:6.2f}", flush=True)


if __name__ == "__main__":
    main()
