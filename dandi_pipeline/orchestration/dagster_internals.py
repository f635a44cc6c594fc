"""All that the project uses of Dagster's private code, and what it does instead where a version lacks it.

No other module names anything private of Dagster. A name that is missing costs speed or a mark in the UI, never a sync:
events are then logged one by one, a failed partition keeps its former mark, the output of a run in this process is
captured, such a run is in no job's list, and sensors count as not having looked.
"""

import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import dagster as dg
import sqlalchemy as sa

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
    from dagster._core.events import EventSpecificData
    from dagster._core.remote_origin import RemoteJobOrigin
    from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage

AssetJob: TypeAlias = "UnresolvedAssetJobDefinition"
"""The type of what `dg.define_asset_job` returns."""

HIDDEN_TAG_PREFIX = ".dagster/"
"""Run tags that begin so are kept and filtered like any other, but not shown by Dagster's pages."""

PARTITION_TAG = "dagster/partition"
RANGE_START_TAG, RANGE_END_TAG = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

_MISSING = (ImportError, AttributeError, TypeError, NotImplementedError)
"""What using a private name raises in a version that lacks it or gives it another signature."""


class Unavailable(Exception):
    """This version of Dagster lacks a private name; nothing was done."""


@contextmanager
def _unavailable_if_missing() -> Iterator[None]:
    try:
        yield
    except _MISSING as missing:
        raise Unavailable(str(missing)) from None


@dataclass(frozen=True, slots=True)
class Line:
    """A line for a run's log."""

    text: str


@dataclass(frozen=True, slots=True)
class Planned:
    """That a run was to materialize a partition.

    Dagster shows a partition as failed if a materialization of it was planned in a failed run and did not come. A run
    with its partitions in tags has such plans from the start; for one with its partitions in config there is no public
    call (dagster-io/dagster#17836).
    """

    asset: dg.AssetKey
    partition: str


StepEvent = dg.AssetMaterialization | dg.AssetObservation | Line | Planned


class EventWriter:
    """Writes many events of the running step in one transaction.

    Dagster batches only what a step yields as outputs, and only on PostgreSQL; logged one by one, each event waits for
    the disk several times. Raises `Unavailable`, here or in `write`, where a private name is missing.
    """

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        with _unavailable_if_missing():
            self._entries = _Entries(context)
            self._store = _store_of(context.instance)

    def write(self, events: Sequence[StepEvent]) -> None:
        """Write all of `events`; where it raises `Unavailable`, none of them."""
        with _unavailable_if_missing():
            entries = [self._entries.of(event) for event in events]
        self._store(entries)


def log_planned(context: dg.AssetExecutionContext, planned: Planned) -> None:
    """Log the event by itself; raise `Unavailable` where that is impossible."""
    with _unavailable_if_missing():
        context.instance.handle_new_event(_Entries(context).of(planned))


class _Entries:
    """Makes events' entries in the log as Dagster makes them of those that the running step logs."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._run_id = context.run.run_id
        self._job_name = context.job_name
        self._step = context.get_step_execution_context().step

    def of(self, event: StepEvent) -> dg.EventLogEntry:
        from dagster._core.events import (
            AssetMaterializationPlannedData,
            AssetObservationData,
            StepMaterializationData,
        )

        kinds = dg.DagsterEventType
        if isinstance(event, Line):
            return self._entry(logging.INFO, event.text, None)
        if isinstance(event, Planned):
            planned = AssetMaterializationPlannedData(event.asset, partition=event.partition)
            return self._of_step(kinds.ASSET_MATERIALIZATION_PLANNED, planned, None)
        if isinstance(event, dg.AssetMaterialization):
            return self._of_step(kinds.ASSET_MATERIALIZATION, StepMaterializationData(event), event.description)
        return self._of_step(kinds.ASSET_OBSERVATION, AssetObservationData(event), None)

    def _of_step(self, kind: dg.DagsterEventType, data: "EventSpecificData", message: str | None) -> dg.EventLogEntry:
        event = dg.DagsterEvent(
            event_type_value=kind.value,
            job_name=self._job_name,
            step_handle=self._step.handle,
            node_handle=self._step.node_handle,
            step_kind_value=self._step.kind.value,
            event_specific_data=data,
            message=message,
            pid=os.getpid(),
        )
        return self._entry(logging.DEBUG, "", event)

    def _entry(self, level: int, message: str, event: dg.DagsterEvent | None) -> dg.EventLogEntry:
        return dg.EventLogEntry(  # type: ignore[no-untyped-call]
            error_info=None,
            level=level,
            user_message=message,
            run_id=self._run_id,
            timestamp=time.time(),
            step_key=self._step.key,
            job_name=self._job_name,
            dagster_event=event,
        )


_Store = Callable[[Sequence[dg.EventLogEntry]], None]


def _store_of(instance: dg.DagsterInstance) -> _Store:
    from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage

    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        return _store_in_files(storage)
    if isinstance(storage, SqlEventLogStorage):
        return _store_in_one_database(storage)
    raise NotImplementedError(f"{type(storage).__name__} is not a storage in SQL")


def _store_in_one_database(storage: "SqlEventLogStorage") -> _Store:
    connect, insert_lines, insert_events, insert_event = (
        storage.run_connection,
        storage.prepare_insert_event_batch,
        storage.store_event_batch,
        storage.store_event,
    )
    # Writes nothing: a version that takes batches in another way says so here, before anything is written.
    insert_events([])

    def store(entries: Sequence[dg.EventLogEntry]) -> None:
        lines, events = _told_apart(entries)
        if lines:
            with _unavailable_if_missing():
                statement, connecting = insert_lines(lines), connect(lines[0].run_id)
            with connecting as connection:
                connection.execute(statement)
        # The storage takes one kind of event at a time, and notes the last one as its asset's latest.
        for (kind, _), batch in groupby(sorted(events, key=_kind), key=_kind):
            if kind == dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value:
                # Few, and no batch in Dagster before 1.13: there is one for each failed partition.
                for entry in batch:
                    insert_event(entry)
            else:
                insert_events(list(batch))

    return store


def _store_in_files(storage: "SqliteEventLogStorage") -> _Store:
    """Return what writes all into the run's file, and events into the index too, as the storage does with each."""
    insert, index_transaction, store_tags, store_latest, url_of_file = (
        storage.prepare_insert_event,
        storage.index_transaction,
        storage._store_asset_event_tags,
        storage._store_asset_event,
        storage.conn_string_for_shard,
    )

    @contextmanager
    def run_transaction(run_id: str) -> Iterator[sa.Connection]:
        # By an engine of its own: the storage lets one thread open one file at a time.
        engine = sa.create_engine(
            url_of_file(run_id), poolclass=sa.NullPool, connect_args={"timeout": _PATIENCE_SECONDS}
        )
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()

    def store(entries: Sequence[dg.EventLogEntry]) -> None:
        _, events = _told_apart(entries)
        # One inside the other: what fails in either file leaves both as they were.
        with _unavailable_if_missing(), index_transaction() as index, run_transaction(entries[0].run_id) as run:
            for entry in entries:
                run.execute(insert(entry))
            numbers = [_number(index.execute(insert(entry))) for entry in events]
            if events:
                store_tags(index, events, numbers)
            latest = {_kind(entry): (entry, number) for entry, number in zip(events, numbers, strict=True)}
            for entry, number in latest.values():
                store_latest(index, entry, number)

    return store


_PATIENCE_SECONDS = 30
"""For how long to wait for a file that another process writes, as Dagster does."""


def _told_apart(entries: Sequence[dg.EventLogEntry]) -> tuple[list[dg.EventLogEntry], list[dg.EventLogEntry]]:
    """Return the lines, then the events."""
    lines = [entry for entry in entries if not entry.is_dagster_event]
    return lines, [entry for entry in entries if entry.is_dagster_event]


def _kind(entry: dg.EventLogEntry) -> tuple[str, str]:
    event = entry.get_dagster_event()
    return event.event_type_value, str(event.asset_key)


def _number(inserted: Any) -> int:
    """Return the number that the storage gave to an event."""
    return int(inserted.inserted_primary_key[0])


@contextmanager
def _migrations_read_once() -> Iterator[None]:
    """Have Alembic read Dagster's ninety migrations once: for each file that Dagster opens it reads them all again.

    In SQLite a run has a file of its own, so a sync opens several. What was read is kept no longer than the block.
    """
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    of_class, read = vars(ScriptDirectory)["from_config"], ScriptDirectory.from_config
    directories: dict[str | None, ScriptDirectory] = {}

    def from_config(config: Config) -> ScriptDirectory:
        place = config.get_main_option("script_location")
        return directories.get(place) or directories.setdefault(place, read(config))

    ScriptDirectory.from_config = staticmethod(from_config)  # type: ignore[method-assign]
    try:
        yield
    finally:
        ScriptDirectory.from_config = of_class  # type: ignore[method-assign]


@contextmanager
def instance_in_process(home: Path) -> Iterator[dg.DagsterInstance]:
    """Open the instance of a prepared home for runs in this process, whose output is left alone.

    Dagster would move a run's standard output and error into files; where that cannot be kept from it, it does.
    """
    with _migrations_read_once(), _opened_in_process(home) as instance:
        yield instance


def _opened_in_process(home: Path) -> dg.DagsterInstance:
    try:
        from dagster._core.instance import InstanceRef

        uncaptured = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
        opened = dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides={"compute_logs": uncaptured}))
        opened.compute_log_manager  # noqa: B018 - loaded on first use, and missing then at the latest
    except _MISSING:
        opened = dg.DagsterInstance.from_config(str(home))
    return opened


CODE_LOCATION = "dandi_pipeline"
"""What `workspace.yaml` calls the code location: Dagster keeps runs, switches and ticks by that name."""

DEFINITIONS_MODULE = "dandi_pipeline.definitions"
"""What that code location loads."""

_REPOSITORY = "__repository__"
"""What Dagster calls what it makes of a module's definitions."""


def execute_in_process(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    *,
    run_config: dg.RunConfig,
    assets: Sequence[dg.AssetKey],
    tags: Mapping[str, str],
) -> None:
    """Run some assets of a job in this process, and raise what it raises.

    The run is the code location's own: listed under its job and on the timeline, and executed again from the UI.
    `JobDefinition.execute_in_process` gives its runs no origin, so that they are none of that.
    """
    try:
        from dagster._core.definitions.job_base import InMemoryJob
        from dagster._core.execution.api import execute_run

        run = instance.create_run_for_job(
            job,
            run_config=run_config.to_config_dict(),  # type: ignore[no-untyped-call]
            asset_selection=frozenset(assets),
            tags={**job.run_tags, **tags},
            remote_job_origin=_origin_of(job.name),
        )
    except _MISSING:
        job.execute_in_process(run_config=run_config, instance=instance, asset_selection=assets, tags=dict(tags))
        return
    execute_run(InMemoryJob(job), run, instance, raise_on_error=True)


def _origin_of(job_name: str) -> "RemoteJobOrigin":
    """Return where the code location has a job, as if its process had launched it."""
    from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteRepositoryOrigin
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

    target = LoadableTargetOrigin(executable_path=sys.executable, module_name=DEFINITIONS_MODULE)
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, CODE_LOCATION)
    return RemoteRepositoryOrigin(location, _REPOSITORY).get_job_origin(job_name)


def launched_whole(job: AssetJob) -> AssetJob:
    """Return a job of partitioned assets that is launched without a partition, as far as Dagster's pages know.

    Its launchpad then has no field for one, which would be red as long as it is empty. Where that cannot be had, it
    has, and the run can be launched all the same.
    """
    try:
        from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

        class LaunchedWhole(UnresolvedAssetJobDefinition):
            def resolve(self, *args: Any, **kwargs: Any) -> dg.JobDefinition:
                resolved = super().resolve(*args, **kwargs)
                # Read when the job is first asked for its partitions, and by nothing else.
                resolved._original_partitions_def_argument = None
                return resolved

        given = {name: getattr(job, name) for name in _OF_A_JOB}
        return LaunchedWhole(**given)
    except _MISSING:
        return job


_OF_A_JOB = (
    "name",
    "selection",
    "config",
    "description",
    "tags",
    "run_tags",
    "metadata",
    "partitions_def",
    "executor_def",
    "hooks",
    "op_retry_policy",
)
"""What the oldest version that is admitted knows of a job."""


def database_url(folder: Path, name: str) -> str:
    """Return the URL by which Dagster opens a database file that it keeps in `folder`."""
    try:
        from dagster._core.storage.sqlite import create_db_conn_string

        return str(create_db_conn_string(str(folder), name))
    except _MISSING:
        return f"sqlite:///{folder / name}.db"


def shown_as_materialized(
    instance: dg.DagsterInstance,
    asset: dg.AssetKey,
    partitions: dg.DynamicPartitionsDefinition,
    keys: Sequence[str],
) -> frozenset[str]:
    """Return those of the partitions that Dagster shows as materialized, or as being so; none if it cannot say.

    What it cannot say is materialized again, which costs no more than what hangs on it running once too often.
    """
    try:
        statuses = instance.get_status_by_partition(asset, list(keys), partitions) or {}
        return frozenset(
            key for key, status in statuses.items() if status and status.value in ("MATERIALIZED", "IN_PROGRESS")
        )
    except _MISSING:
        return frozenset()


def tag_values(instance: dg.DagsterInstance, tag: str) -> list[str]:
    """Return every value that runs have under a tag; a filter takes tags with their values only."""
    try:
        return sorted({value for _, values in instance.get_run_tags([tag]) for value in values})
    except _MISSING:
        return sorted({run.tags[tag] for run in instance.get_runs() if tag in run.tags})


_AT_A_TIME = 500
"""Events that are asked for by their numbers in one query."""


def runs_with_latest_events(instance: dg.DagsterInstance, asset: dg.AssetKey) -> set[str]:
    """Return the runs that hold the latest event of any partition of an asset: of what was done, planned and noted.

    By those Dagster shows how a partition stands.
    """
    kinds = dg.DagsterEventType
    try:
        log, runs = instance.event_log_storage, set[str]()
        for kind in (kinds.ASSET_MATERIALIZATION, kinds.ASSET_MATERIALIZATION_PLANNED, kinds.ASSET_OBSERVATION):
            numbers = sorted(log.get_latest_storage_id_by_partition(asset, kind).values())
            for start in range(0, len(numbers), _AT_A_TIME):
                wanted = dg.EventRecordsFilter(kind, storage_ids=numbers[start : start + _AT_A_TIME])
                runs |= {record.event_log_entry.run_id for record in log.get_event_records(wanted)}
        return runs
    except _MISSING:
        return _runs_with_latest_public_events(instance, asset)


def _runs_with_latest_public_events(instance: dg.DagsterInstance, asset: dg.AssetKey) -> set[str]:
    """Find them by public calls alone: through all events of the asset, of each kind the newest first."""
    newest: dict[tuple[str, str | None], str] = {}
    for fetch in (instance.fetch_materializations, instance.fetch_observations):
        cursor: str | None = None
        more = True
        while more:
            result = fetch(asset, limit=_AT_A_TIME, cursor=cursor)
            for record in result.records:
                newest.setdefault((fetch.__name__, record.partition_key), record.run_id)
            cursor, more = result.cursor, result.has_more
    return set(newest.values())


def delete_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Delete a run, its events, and what it printed.

    In SQLite a run's events have a file of their own, which Dagster empties and leaves.
    """
    instance.delete_run(run_id)
    shutil.rmtree(Path(instance.root_directory) / "storage" / run_id, ignore_errors=True)
    try:
        from dagster._core.storage.event_log import SqliteEventLogStorage

        log = instance.event_log_storage
        file = log.path_for_shard(run_id) if isinstance(log, SqliteEventLogStorage) else None
    except _MISSING:
        return
    if file is not None:
        for ending in ("", "-wal", "-shm"):
            Path(f"{file}{ending}").unlink(missing_ok=True)


def sensor_ticks(instance: dg.DagsterInstance, before: float) -> dict[str, float]:
    """Return when each sensor last looked and came to an answer, up to `before`, by its name.

    Instants are seconds since 1970.
    """
    try:
        from dagster._core.definitions.run_request import InstigatorType
        from dagster._core.scheduler.instigation import TickStatus

        answered = [TickStatus.SUCCESS, TickStatus.SKIPPED]
        states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
        ticks = {
            state.name: instance.get_ticks(
                state.instigator_origin_id, state.selector_id, before=before, limit=1, statuses=answered
            )
            for state in states
        }
    except _MISSING:
        return {}
    return {name: found[0].timestamp for name, found in ticks.items() if found}


@dataclass(frozen=True, slots=True)
class FailedTick:
    """A look of a sensor that ended with an error, in its own words."""

    at: float
    message: str


def failed_ticks(instance: dg.DagsterInstance, sensors: Collection[str], limit: int = 2) -> dict[str, list[FailedTick]]:
    """Return of each of these sensors whose last look failed the failed ones in a row, newest first."""
    try:
        from dagster._core.definitions.run_request import InstigatorType
        from dagster._core.scheduler.instigation import TickStatus

        ended = [TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE]
        found = {}
        for state in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
            if state.name in sensors:
                ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=limit, statuses=ended)
                failed = [*takewhile(lambda tick: tick.status is TickStatus.FAILURE, ticks)]
                if failed:
                    found[state.name] = [FailedTick(tick.timestamp, _said(tick.error)) for tick in failed]
        return found
    except _MISSING:
        return {}


def _said(error: Any) -> str:
    """Return what an error says, without the name of its class."""
    while error is not None and error.cause is not None:
        error = error.cause
    return "" if error is None else str(error.message).partition(": ")[2].strip()
