"""What it costs that a sync is a Dagster run with an event for each part of each partition.

The dandisets are small, so that there are many events for little work. The mirror is SQLite each time; what differs
is whether there is a run, and where Dagster keeps it.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import dagster as dg

from dandi_pipeline.orchestration.connections import Connections
from dandi_pipeline.orchestration.event_batches import EventBatches
from dandi_pipeline.orchestration.home import open_instance, prepare_home
from dandi_pipeline.orchestration.launch import run_sync
from dandi_pipeline.platforms.registry import SETTINGS
from dandi_pipeline.settings import Settings, Source, load_sources
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline_tests.benchmarks.served import ServedArchive, quiet_world
from dandi_pipeline_tests.benchmarks.tables import Scale, Table
from dandi_pipeline_tests.postgresql import running_postgresql

_SIZES = {Scale.QUICK: (150, 20), Scale.FULL: (1500, 20)}
"""Dandisets, and about how many assets each has."""

_EVENTS_ONE_BY_ONE = 100
"""How many are timed: enough for a mean, and few enough not to wait minutes for it."""

_ON_POSTGRESQL = """
storage: {{postgres: {{postgres_url: "{url}"}}}}
telemetry: {{enabled: false}}
"""


def measure(scale: Scale) -> Table:
    """Measure one first copy without Dagster and one for each of its storages; then the events by themselves."""
    dandisets, assets = _SIZES[scale]
    world = quiet_world(dandisets=dandisets, assets=assets)
    with (
        ServedArchive(world) as archive,
        running_postgresql() as postgresql,
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
    ):
        homes = {
            "SQLite": _home(Path(folder) / "sqlite"),
            "PostgreSQL": _home(Path(folder) / "postgresql", postgresql.create_database()),
        }
        alone = _timed(partial(_sync_alone, *_source(archive, Path(folder) / "alone")))
        runs = {name: _timed(partial(_sync_as_run, *_source(archive, home))) for name, home in homes.items()}
        events = {(name, way): _seconds_an_event(home, way) for name, home in homes.items() for way in _WAYS}
    number = 2 * (dandisets - 1)
    return Table(
        title="Syncs as Dagster runs",
        command=scale.command("dagster"),
        columns=("way", "seconds", "ratio", "ms an event"),
        rows=(
            ("the sync without Dagster", f"{alone:.2f}", "1.00", ""),
            *((f"the same as a run, {name}", f"{took:.2f}", f"{took / alone:.2f}", "") for name, took in runs.items()),
            *(
                (
                    f"its events {way}, {name}",
                    f"{number * each:.2f}",
                    f"{number * each / alone:.2f}",
                    f"{1e3 * each:.2f}",
                )
                for (name, way), each in events.items()
            ),
        ),
        notes=(
            f"{dandisets - 1:,} dandisets of about {assets} assets: {number:,} events, which a run writes while it "
            f"waits for the archive. One by one, {_EVENTS_ONE_BY_ONE} were timed, and the seconds follow from them.",
        ),
    )


def _home(path: Path, postgresql_url: str | None = None) -> Path:
    path.mkdir()
    if postgresql_url:
        url = postgresql_url.replace("postgresql:", "postgresql+psycopg2:")
        (path / "dagster.yaml").write_text(_ON_POSTGRESQL.format(url=url))
    return prepare_home(path)


def _source(archive: ServedArchive, home: Path) -> tuple[Source, Settings]:
    home.mkdir(exist_ok=True)
    environ = {"DANDI_API_URL": archive.api_url, "DAGSTER_HOME": str(home)}
    return load_sources(None, SETTINGS)[0], Settings.from_environment(environ, home)


def _sync_alone(source: Source, settings: Settings) -> None:
    options = SyncOptions(max_concurrent=source.settings.max_concurrent)
    with Connections([source], settings).open(source.alias) as connection:
        sync = Sync(source.alias, connection.platform, connection.mirror, options)
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


def _seconds_an_event(home: Path, way: str) -> float:
    """Return how long one event takes of many that a step logs."""
    log, number = _WAYS[way]
    taken: list[float] = []

    @dg.asset(output_required=False)
    def measured(context: dg.AssetExecutionContext) -> Iterator[dg.Output[None]]:
        taken.append(_timed(lambda: log(context, number)))
        yield from ()

    with open_instance(home) as instance:
        dg.materialize([measured], instance=instance, run_config=_UNSEEN)
    return taken[0] / number


def _event(asset: dg.AssetKey) -> dg.AssetMaterialization:
    counts = dict.fromkeys(("checked", "added", "updated", "deleted", "unchanged"), 20)
    words = {"outcome": "synced", "name": "Place fields", "reason": "new", "plan": "full pages (small: 1 page)"}
    return dg.AssetMaterialization(
        asset, "000001: 20 assets added", {**counts, **words}, "000001", {"dagster/data_version": "0" * 60}
    )


def _timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started
