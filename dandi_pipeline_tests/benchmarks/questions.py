"""What facets cost a first copy, and how fast the twenty questions are answered by them."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from dandi_pipeline.query.questions import QUESTIONS
from dandi_pipeline_tests.benchmarks.load import databases
from dandi_pipeline_tests.benchmarks.loaders import load
from dandi_pipeline_tests.benchmarks.static_archive import static_archive
from dandi_pipeline_tests.benchmarks.tables import Scale, Table
from dandi_pipeline_tests.end_to_end.equality import plain_engine

_SIZES = {Scale.QUICK: [500] * 8 + [4_000], Scale.FULL: [500] * 100 + [2_000] * 15 + [20_000]}
_ROUNDS = {Scale.QUICK: 1, Scale.FULL: 3}

ASKED = 5
"""How often each question is asked, after once that does not count."""


@dataclass(frozen=True)
class Measured:
    """CPU microseconds and database bytes an asset, without facets and with them; milliseconds of each question."""

    cpu: tuple[float, float]
    size: tuple[float, float]
    milliseconds: Mapping[str, float]


def measure(scale: Scale) -> Table:
    """Copy an archive with and without facets in turns, on both databases; then ask."""
    sizes = _SIZES[scale]
    with static_archive(*sizes) as api_url, databases() as urls:
        measured = {name: _measured(api_url, fresh, sum(sizes), _ROUNDS[scale]) for name, fresh in urls.items()}
    return Table(
        title="Facets and questions",
        command=scale.command("questions"),
        columns=("what", *measured),
        rows=(
            ("CPU µs an asset without facets", *(f"{each.cpu[0]:.1f}" for each in measured.values())),
            ("CPU µs an asset with facets", *(f"{each.cpu[1]:.1f}" for each in measured.values())),
            ("ratio", *(f"{each.cpu[1] / each.cpu[0]:.2f}" for each in measured.values())),
            ("bytes an asset without facets", *(f"{each.size[0]:,.0f}" for each in measured.values())),
            ("bytes an asset with facets", *(f"{each.size[1]:,.0f}" for each in measured.values())),
            ("ratio", *(f"{each.size[1] / each.size[0]:.2f}" for each in measured.values())),
            *(
                (f"{number}, ms", *(f"{each.milliseconds[number]:.1f}" for each in measured.values()))
                for number in QUESTIONS
            ),
            ("slowest, ms", *(f"{max(each.milliseconds.values()):.1f}" for each in measured.values())),
        ),
        notes=(
            f"{sum(sizes):,} assets in {len(sizes)} dandisets. Copies are medians of {_ROUNDS[scale]} rounds, each in"
            f" a process of its own; questions are warm medians of {ASKED}, all rows fetched.",
        ),
    )


def _measured(api_url: str, fresh: Iterator[str], assets: int, rounds: int) -> Measured:
    ways = ("sync-without-facets", "sync")
    cpu: dict[str, list[float]] = {way: [] for way in ways}
    size: dict[str, float] = {}
    for _ in range(rounds):
        for way in ways:
            url = next(fresh)
            cpu[way].append(load(way, api_url, url).cpu_seconds / assets * 1e6)
            size[way] = _bytes(url) / assets
    first, second = (median(cpu[way]) for way in ways)
    return Measured((first, second), (size[ways[0]], size[ways[1]]), _asked(url))


def _bytes(url: str) -> int:
    if url.startswith("sqlite"):
        return Path(url.removeprefix("sqlite:///")).stat().st_size
    with plain_engine(url).connect() as connection:
        return int(connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one())


def _asked(url: str) -> dict[str, float]:
    """Return the milliseconds of each question on one connection."""
    with plain_engine(url).connect() as connection:

        def milliseconds(statement: sa.TextClause) -> float:
            started = time.perf_counter()
            connection.execute(statement).all()
            return (time.perf_counter() - started) * 1000

        return {
            number: median([milliseconds(sa.text(question.sql)) for _ in range(1 + ASKED)][1:])
            for number, question in QUESTIONS.items()
        }
