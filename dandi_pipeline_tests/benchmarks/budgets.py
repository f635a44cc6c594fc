"""How much of a platform's rate four processes use that share one mirror, and how many of their requests are refused.

Each process syncs a source of its own, in full and over and over, with the credential that all have. The simulated
platform enforces its limit: Notion's 180 requests in a minute, Airtable's five in a second on the one base.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import yaml

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.platforms.registry import SETTINGS, open_platform
from dandi_pipeline.settings import Settings, load_sources
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline_tests.benchmarks.tables import Scale, Table
from dandi_pipeline_tests.postgresql import running_postgresql
from dandi_pipeline_tests.simulators import airtable as airtables
from dandi_pipeline_tests.simulators import notion as notions
from dandi_pipeline_tests.simulators.airtable import SimulatedAirtable
from dandi_pipeline_tests.simulators.notion import SimulatedNotion

PROCESSES = 4

SETTLING = 60.0
"""Seconds that are not measured: a first burst, and a refusal where a limit is not known yet, fall into them."""

_STEADY = {Scale.QUICK: 60.0, Scale.FULL: 240.0}
"""Seconds that are."""

_SPAWNING = get_context("spawn")


@dataclass(frozen=True)
class Contested:
    """A platform while it is served: the settings of each process's source, and what all may ask a second."""

    name: str
    limit: str
    rate: float
    simulator: SimulatedNotion | SimulatedAirtable
    settings: Sequence[Mapping[str, Any]]
    credential: tuple[str, str]

    def asked(self) -> tuple[int, int]:
        """Return how many requests came so far, and how many of them were refused for their rate."""
        counts = self.simulator.requests.counts()
        return counts["total"], counts["by_status"].get("429", 0)


@dataclass(frozen=True)
class Usage:
    """What was answered and what was refused within some seconds, and how much would have been allowed."""

    answered: int
    refused: int
    allowed: float


def measure(scale: Scale) -> Table:
    """Measure both platforms side by side, first on SQLite and then on PostgreSQL."""
    steady = _STEADY[scale]
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory(prefix="budgets-") as folder, running_postgresql() as server:
        urls = {"SQLite": f"sqlite:///{Path(folder) / 'mirror.sqlite'}", "PostgreSQL": server.create_database()}
        for database, url in urls.items():
            rows += [
                (
                    f"{contested.name}, {contested.limit}",
                    database,
                    f"{usage.answered:,}",
                    f"{usage.answered / usage.allowed:.1%}",
                    str(usage.refused),
                )
                for contested, usage in usages(url, Path(folder), steady)
            ]
    return Table(
        title=f"The rate that {PROCESSES} processes share",
        command=scale.command("budgets"),
        columns=("limit", "mirror", "answered", "of the limit", "refused (429)"),
        rows=tuple(rows),
        notes=(f"Counted by the platform over {steady:.0f} s, beginning {SETTLING:.0f} s after the first request.",),
    )


def usages(url: str, folder: Path, steady: float) -> list[tuple[Contested, Usage]]:
    """Let the processes of both platforms sync into the mirror at `url`; return what was used of each rate."""
    with ExitStack() as stack:
        platforms = [stack.enter_context(served()) for served in (_notion, _airtable)]
        open_mirror(url).close()
        processes = [process for platform in platforms for process in _started(platform, url, folder)]
        stack.callback(_end, processes)
        while not all(platform.asked()[0] for platform in platforms):
            _require_alive(processes)
            time.sleep(0.1)
        time.sleep(SETTLING)
        started, before = time.monotonic(), [platform.asked() for platform in platforms]
        time.sleep(steady)
        seconds, after = time.monotonic() - started, [platform.asked() for platform in platforms]
        _require_alive(processes)
    return [
        (platform, Usage(total - earlier - (refused - already), refused - already, platform.rate * seconds))
        for platform, (earlier, already), (total, refused) in zip(platforms, before, after, strict=True)
    ]


def sync_for_ever(sources: Path, alias: str, environ: Mapping[str, str]) -> None:
    """Sync one source of a file in full again and again, as separate commands would; a failure is raised."""
    settings = Settings.from_environment(environ, sources.parent)
    (source,) = [source for source in load_sources(sources, SETTINGS) if source.alias == alias]
    while True:
        with (
            open_mirror(settings.mirror_database_url) as mirror,
            closing(open_platform(source, settings, mirror)) as platform,
        ):
            sync = Sync(alias, platform, mirror, SyncOptions(full=True))
            for report in sync.run(sync.plan(), "run"):
                if report.error:
                    raise report.error


def _started(platform: Contested, url: str, folder: Path) -> Iterator[SpawnProcess]:
    """Write a sources file with a source for each process, and start the processes."""
    name = platform.name.lower()
    aliases = [f"{name}-{number}" for number in range(PROCESSES)]
    listed = [
        {"alias": alias, "platform": name, "settings": {"api_url": platform.simulator.api_url, **settings}}
        for alias, settings in zip(aliases, platform.settings, strict=True)
    ]
    sources = folder / f"{name}.yaml"
    sources.write_text(yaml.safe_dump({"sources": listed}))
    environ = {"MIRROR_DATABASE_URL": url, platform.credential[0]: platform.credential[1]}
    for alias in aliases:
        process = _SPAWNING.Process(target=sync_for_ever, args=(sources, alias, environ), daemon=True)
        process.start()
        yield process


def _require_alive(processes: Sequence[SpawnProcess]) -> None:
    if not all(process.is_alive() for process in processes):
        raise AssertionError("a process ended: its sync failed")


def _end(processes: Sequence[SpawnProcess]) -> None:
    for process in processes:
        process.kill()
        process.join()
        process.close()


@contextmanager
def _notion() -> Iterator[Contested]:
    world = notions.generated_world(sources=2 * PROCESSES, pages=60)
    identifiers = list(world.data_sources)
    settings = [{"data_sources": identifiers[number::PROCESSES]} for number in range(PROCESSES)]
    with SimulatedNotion(world) as notion:
        yield Contested("Notion", "180 a minute", 3.0, notion, settings, ("NOTION_TOKEN", notion.token))


@contextmanager
def _airtable() -> Iterator[Contested]:
    world = airtables.generated_world(tables=PROCESSES - 1, records=300)
    (base,) = world.bases.values()
    settings = [{"bases": [{"base": base.id, "tables": [table]}]} for table in base.tables]
    with SimulatedAirtable(world) as airtable:
        yield Contested("Airtable", "5 a second", 5.0, airtable, settings, ("AIRTABLE_TOKEN", airtable.token))
