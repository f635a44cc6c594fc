"""What it costs that a sync is a Dagster run with an event for each part of each partition.

The dandisets are small, so that there are many events for little work. The mirror is SQLite each time; what differs
is whether there is a run, and where Dagster keeps it.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import dagster as dg

from dandi_pipeline.orchestration.event_batches import EventBatches
from dandi_pipeline.orchestration.instance import open_instance, prepare_home
from dandi_pipeline.orchestration.launch import run_sync
from dandi_pipeline.orchestration.resources import Connections
from dandi_pipeline.platforms.registry import SETTINGS
from dandi_pipeline.settings import Settings, Source, load_sources
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline_tests.benchmarks.served import ServedArchive, quiet_world
from dandi_pipeline_tests.benchmarks.tables import Scale, Table
from dandi_pipeline_tests.postgresql import PostgresqlServer, running_postgresql

_SIZES = {Scale.QUICK: (150, 20), Scale.FULL: (1500, 20)}
"""Dandisets, and about how many assets each has."""

_ROUNDS = 2

_EVENTS_ONE_BY_ONE = 100
"""How many are timed: enough for a mean, and few enough not to wait minutes for it."""

ALONE = "the sync without Dagster"

_ON_POSTGRESQL = """
storage: {{postgres: {{postgres_url: "{url}"}}}}
telemetry: {{enabled: false}}
"""


class Spent(NamedTuple):
    """Seconds by the clock, and of this process's work."""

    seconds: float
    work: float


def measure(scale: Scale) -> Table:
    """Measure a first copy without Dagster and as a run in each of its storages, in turn; then events by themselves."""
    dandisets, assets = _SIZES[scale]
    world = quiet_world(dandisets=dandisets, assets=assets)
    with (
        ServedArchive(world) as archive,
        running_postgresql() as postgresql,
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
    ):
        rounds = [_copies(archive, postgresql, Path(folder) / str(number)) for number in range(_ROUNDS)]
        homes = {"SQLite": _home(Path(folder) / "home"), "PostgreSQL": _home(Path(folder) / "other", postgresql)}
        events = {(name, way): _an_event(home, way) for name, home in homes.items() for way in _WAYS}
    fastest = {way: min(copies[way] for copies in rounds) for way in rounds[0]}
    number = 2 * (dandisets - 1)
    return Table(
        title="Syncs as Dagster runs",
        command=scale.command("dagster"),
        columns=("way", "seconds", "ratio", "CPU seconds", "ms an event"),
        rows=(
            *(_row(way, spent, fastest[ALONE]) for way, spent in fastest.items()),
            *(
                (
                    *_row(
                        f"its events {way}, {name}", Spent(number * each.seconds, number * each.work), fastest[ALONE]
                    )[:4],
                    f"{1e3 * each.seconds:.2f}",
                )
                for (name, way), each in events.items()
            ),
        ),
        notes=(
            f"{dandisets - 1:,} dandisets of about {assets} assets: {number:,} events, which a run writes while it "
            f"waits for the archive. The fastest of {_ROUNDS} rounds; CPU seconds are those of the client's process. "
            f"One by one, {_EVENTS_ONE_BY_ONE} events were timed, and the rest follows from them. This PostgreSQL does "
            "not wait for the disk.",
        ),
    )


def _row(way: str, spent: Spent, alone: Spent) -> tuple[str, ...]:
    return way, f"{spent.seconds:.2f}", f"{spent.seconds / alone.seconds:.2f}", f"{spent.work:.2f}", ""


def _copies(archive: ServedArchive, postgresql: PostgresqlServer, place: Path) -> dict[str, Spent]:
    """Make a first copy each way."""
    place.mkdir()
    homes = {
        ALONE: place / "alone",
        "the same as a run, SQLite": _home(place / "sqlite"),
        "the same as a run, PostgreSQL": _home(place / "postgresql", postgresql),
    }
    return {
        way: _spent(partial(_sync_alone if way == ALONE else _sync_as_run, *_source(archive, home)))
        for way, home in homes.items()
    }


def _home(path: Path, postgresql: PostgresqlServer | None = None) -> Path:
    path.mkdir()
    if postgresql:
        url = postgresql.create_database().replace("postgresql:", "postgresql+psycopg2:")
        (path / "dagster.yaml").write_text(_ON_POSTGRESQL.format(url=url))
    return prepare_home(path)


def _source(archive: ServedArchive, home: Path) -> tuple[Source, Settings]:
    home.mkdir(exist_ok=True)
    environ = {"DANDI_API_URL": archive.api_url, "DAGSTER_HOME": str(home)}
    return load_sources(None, SETTINGS)[0], Settings.from_environment(environ, home)


def _sync_alone(source: Source, settings: Settings) -> None:
    with Connections([source], settings).open(source.alias) as connection:
        sync = Sync(source.alias, connection.platform, connection.mirror, SyncOptions())
        assert not any(report.error for report in sync.run(sync.plan(), "run"))


def _sync_as_run(source: Source, settings: Settings) -> None:
    assert not run_sync(source, settings, SyncOptions()).problems


def _one_by_one(context: dg.AssetExecutionContext, number: int) -> None:
    for _ in range(number):
        context.log_event(_event(context.asset_key))


def _in_batches(context: dg.AssetExecutionContext, number: int) -> None:
    batches = EventBatches(context)
    for _ in range(number):
        batches.add(_event(context.asset_key))
    batches.close()


_UNSEEN = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

_WAYS: dict[str, tuple[Callable[[dg.AssetExecutionContext, int], None], int]] = {
    "in batches": (_in_batches, 20 * _EVENTS_ONE_BY_ONE),
    "one by one": (_one_by_one, _EVENTS_ONE_BY_ONE),
}


def _an_event(home: Path, way: str) -> Spent:
    """Return what one event takes of many that a step logs."""
    log, number = _WAYS[way]
    taken: list[Spent] = []

    @dg.asset(output_required=False)
    def measured(context: dg.AssetExecutionContext) -> Iterator[dg.Output[None]]:
        taken.append(_spent(lambda: log(context, number)))
        yield from ()

    with open_instance(home) as instance:
        dg.materialize([measured], instance=instance, run_config=_UNSEEN)
    return Spent(taken[0].seconds / number, taken[0].work / number)


def _event(asset: dg.AssetKey) -> dg.AssetMaterialization:
    counts = dict.fromkeys(("checked", "added", "updated", "deleted", "unchanged"), 20)
    words = {"outcome": "synced", "name": "Place fields", "reason": "new", "plan": "full pages (small: 1 page)"}
    return dg.AssetMaterialization(
        asset, "000001: 20 assets added", {**counts, **words}, "000001", {"dagster/data_version": "0" * 60}
    )


def _spent(work: Callable[[], object]) -> Spent:
    started, working = time.monotonic(), time.process_time()
    work()
    return Spent(time.monotonic() - started, time.process_time() - working)
