"""A first copy against fetching, parsing and inserting by hand, where the server costs nothing and the client is all.

By hand means one process, requests, json, and `executemany` or COPY into one plain table without an index: no checks,
no change feed, no state, nothing that could be repeated or resumed.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from dandi_pipeline_tests.benchmarks.loaders import Loaded, load
from dandi_pipeline_tests.benchmarks.static_archive import static_archive
from dandi_pipeline_tests.benchmarks.tables import Scale, Table
from dandi_pipeline_tests.postgresql import running_postgresql

_SIZES = {Scale.QUICK: [500] * 8 + [6_000], Scale.FULL: [500] * 20 + [3_000] * 5 + [25_000]}

ROUNDS = 3

WAYS = {"by-hand": "by hand", "sync": "sync"}


def measure(scale: Scale) -> Table:
    """Let the two ways take turns on each database; compare their median times."""
    sizes = _SIZES[scale]
    with static_archive(*sizes) as api_url, databases() as urls:
        taken = {
            database: {way: _median_of(loads) for way, loads in _loads(api_url, fresh).items()}
            for database, fresh in urls.items()
        }
    return Table(
        title="A first copy, where the client is the limit",
        command=scale.command("load"),
        columns=("way", "seconds", "assets a second", "ratio", "CPU µs an asset", "peak MB"),
        rows=tuple(
            (
                f"{WAYS[way]}, {database}",
                f"{loaded.seconds:.2f}",
                f"{sum(sizes) / loaded.seconds:,.0f}",
                f"{ways['by-hand'].seconds / loaded.seconds:.2f}",
                f"{loaded.cpu_seconds / sum(sizes) * 1e6:.0f}",
                f"{loaded.peak_megabytes:.0f}",
            )
            for database, ways in taken.items()
            for way, loaded in ways.items()
        ),
        notes=(
            f"{sum(sizes):,} assets in {len(sizes)} dandisets, medians of {ROUNDS} rounds, each load in a process of"
            " its own; gzipped answers of 1,000 assets with metadata from a static server in another process.",
        ),
    )


def _median_of(loads: list[Loaded]) -> Loaded:
    return Loaded(
        seconds=median(load.seconds for load in loads),
        cpu_seconds=median(load.cpu_seconds for load in loads),
        peak_megabytes=median(load.peak_megabytes for load in loads),
    )


@contextmanager
def databases() -> Iterator[Mapping[str, Iterator[str]]]:
    """Lend endless URLs of fresh databases of each kind."""
    with running_postgresql() as server, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield {"SQLite": _files(Path(folder)), "PostgreSQL": iter(server.create_database, "")}


def _files(folder: Path) -> Iterator[str]:
    """Yield URLs of files, one at a time: the one before is deleted."""
    while True:
        for file in folder.iterdir():
            file.unlink()
        yield f"sqlite:///{folder / 'mirror.sqlite'}"


def _loads(api_url: str, fresh: Iterator[str]) -> Mapping[str, list[Loaded]]:
    loads: dict[str, list[Loaded]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way, taken in loads.items():
            taken.append(load(way, api_url, next(fresh)))
    return loads
