"""A first copy and one when nothing has changed, against other ways of filling a SQLite file from the same archive.

One is the pattern of the system that this one succeeds: list the assets, then ask for each alone, one at a time. The
other is dlt's `rest_api` source, which is installed into an environment of its own below `.bench/`.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import requests

from dandi_pipeline_tests.benchmarks.served import Copy, ServedArchive, quiet_world
from dandi_pipeline_tests.benchmarks.tables import Scale, Table
from dandi_pipeline_tests.simulators.dandi.records import OPEN

PAGE_SIZE = 1000

DLT = Path(__file__).parents[2] / ".bench" / "dlt"
"""The environment that dlt is installed into, once."""

_SIZES = {Scale.QUICK: (20, 300, 400), Scale.FULL: (60, 500, 1_500)}
"""Dandisets, about how many assets each has, and of how many the pattern of before is measured."""


@dataclass(frozen=True)
class Way:
    """One way of filling a database: what its first and its second run took, where it was run twice."""

    name: str
    first: float
    second: float | None = None


def measure(scale: Scale) -> Table:
    """Measure each way, one after the other, on the same archive."""
    dandisets, assets, sample = _SIZES[scale]
    world = quiet_world(dandisets=dandisets, assets=assets)
    held = sum(len(item.draft.assets) for item in world.dandisets.values() if item.embargo_status == OPEN)
    with ServedArchive(world) as archive, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        place = Path(folder)
        bulk = Copy(archive, f"sqlite:///{place / 'bulk.sqlite'}", manifests=True)
        plain = Copy(archive, f"sqlite:///{place / 'plain.sqlite'}", manifests=False)
        ways = [
            Way("sync, with the manifests", _timed(bulk.sync), _timed(bulk.sync)),
            Way("sync, by the API alone", _timed(plain.sync), _timed(plain.sync)),
            Way("dlt's rest_api source", _dlt(archive.api_url, place), _dlt(archive.api_url, place)),
            _one_at_a_time(archive.api_url, place / "before.sqlite", sample, held),
        ]
        bulk.require_equal()
        plain.require_equal()
    return Table(
        title="Against other ways of doing the same",
        command=scale.command("successor"),
        columns=("way", "first, s", "ratio", "again, s", "ratio"),
        rows=tuple(_row(way, ways[0]) for way in ways),
        notes=(
            f"{held:,} assets of {dandisets} dandisets; SQLite. What asks for one at a time is measured on the first"
            f" {min(sample, held):,} of them and multiplied. dlt keeps nested values as JSON, which is its quickest.",
        ),
    )


def _row(way: Way, ours: Way) -> tuple[str, ...]:
    assert ours.second is not None
    again = ("", "") if way.second is None else (f"{way.second:.2f}", f"{way.second / ours.second:,.1f}")
    return (way.name, f"{way.first:.2f}", f"{way.first / ours.first:,.1f}", *again)


def _timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


# One request an asset


def _one_at_a_time(api_url: str, file: Path, sample: int, held: int) -> Way:
    """Measure the first `sample` of the `held` assets; return what all of them would take."""
    copied = 0
    started = time.monotonic()
    with closing(sqlite3.connect(file)) as database, requests.Session() as session:
        database.execute("CREATE TABLE assets (asset_id TEXT PRIMARY KEY, path TEXT, metadata TEXT)")
        for row in islice(_listed(session, api_url), sample):
            metadata = session.get(f"{api_url}/assets/{row['asset_id']}/", timeout=60).json()
            values = (row["asset_id"], row["path"], json.dumps(metadata))
            database.execute("INSERT OR REPLACE INTO assets VALUES (?, ?, ?)", values)
            copied += 1
        database.commit()
    return Way("list, then ask for each asset alone", (time.monotonic() - started) / copied * held)


def _listed(session: requests.Session, api_url: str) -> Iterator[dict[str, Any]]:
    dandisets = session.get(f"{api_url}/dandisets/?page_size={PAGE_SIZE}", timeout=60).json()["results"]
    for dandiset in dandisets:
        assets = f"{api_url}/dandisets/{dandiset['identifier']}/versions/draft/assets/?page_size={PAGE_SIZE}"
        for page in count(1):
            answer = session.get(f"{assets}&page={page}", timeout=60).json()
            yield from answer["results"]
            if answer["next"] is None:
                break


# dlt


def _dlt(api_url: str, place: Path) -> float:
    """Load with dlt, which is installed if it is not there yet; return the seconds that the load took."""
    python = DLT / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(DLT)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "dlt[sqlalchemy]"], check=True)
    script = Path(__file__).with_name("dlt_load.py")
    arguments = [api_url, str(place / "dlt.sqlite"), str(place / "pipelines")]
    command = [str(python), "-W", "ignore", str(script), *arguments]
    quietly = {**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false"}
    return float(subprocess.run(command, check=True, env=quietly, stdout=subprocess.PIPE).stdout)
