"""All that the project uses of Dagster's private code, and what it does instead where a version lacks it.

No other module names anything private of Dagster. A name that is missing costs speed or a mark in the UI, never a sync:
events are then logged one by one, a failed partition keeps its former mark, the output of a run in this process is
captured, and sensors count as not having looked.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition as AssetJob
    from dagster._core.events import EventSpecificData
    from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
else:
    AssetJob = object
    """The type of what `dg.define_asset_job` returns."""

HIDDEN_TAG_PREFIX = ".dagster/"
"""Run tags that begin so are kept and filtered like any other, but not shown by Dagster's pages."""

PARTITION_TAG = "dagster/partition"
RANGE_START_TAG, RANGE_END_TAG = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

_MISSING = (ImportError, AttributeError, TypeError, NotImplementedError)
"""What using a private name raises in a version that lacks it or gives it another signature."""


class Unavailable(Exception):
    """This version of Dagster lacks a private name; nothing was done."""


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
        try:
            self._entries = _Entries(context)
            self._store = _store_of(context.instance)
        except _MISSING as missing:
            raise Unavailable(str(missing)) from None

    def write(self, events: Sequence[StepEvent]) -> None:
        """Write all of `events`, or none of them."""
        try:
            self._store([self._entries.of(event) for event in events])
        except _MISSING as missing:
            raise Unavailable(str(missing)) from None


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
    insert_lines, insert_events = storage.prepare_insert_event_batch, storage.store_event_batch

    def store(entries: Sequence[dg.EventLogEntry]) -> None:
        lines, events = _told_apart(entries)
        if lines:
            with storage.run_connection(lines[0].run_id) as connection:
                connection.execute(insert_lines(lines))
        # The storage takes one kind of event at a time, and notes the last one as its asset's latest.
        for _, batch in groupby(sorted(events, key=_kind), key=_kind):
            insert_events(list(batch))

    return store


def _store_in_files(storage: "SqliteEventLogStorage") -> _Store:
    """Return what writes all into the run's file, and events into the index too, as the storage does with each."""
    insert, store_tags, store_latest = (
        storage.prepare_insert_event,
        storage._store_asset_event_tags,
        storage._store_asset_event,
    )

    def store(entries: Sequence[dg.EventLogEntry]) -> None:
        _, events = _told_apart(entries)
        inserts = [insert(entry) for entry in entries]
        # One inside the other: what fails in the index leaves the run's file as it was.
        with storage.run_connection(entries[0].run_id) as run, storage.index_transaction() as index:
            for statement in inserts:
                run.execute(statement)
            numbers = [_number(index.execute(insert(entry))) for entry in events]
            if events:
                store_tags(index, events, numbers)
            latest = {_kind(entry): (entry, number) for entry, number in zip(events, numbers, strict=True)}
            for entry, number in latest.values():
                store_latest(index, entry, number)

    return store


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
def instance_in_process(home: Path) -> Iterator[dg.DagsterInstance]:
    """Open the instance of a prepared home for runs in this process, whose output is left alone.

    Dagster would move a run's standard output and error into files; where that cannot be kept from it, it does.
    """
    try:
        from dagster._core.instance import InstanceRef

        uncaptured = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
        opened = dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides={"compute_logs": uncaptured}))
        opened.compute_log_manager  # noqa: B018 - loaded on first use, and missing then at the latest
    except _MISSING:
        opened = dg.DagsterInstance.from_config(str(home))
    with opened as instance:
        yield instance


def sensor_ticks(instance: dg.DagsterInstance) -> dict[str, float]:
    """Return when each sensor last looked and came to an answer, as seconds since 1970, by its name."""
    try:
        from dagster._core.definitions.run_request import InstigatorType
        from dagster._core.scheduler.instigation import TickStatus

        answered = [TickStatus.SUCCESS, TickStatus.SKIPPED]
        states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
        ticks = {
            state.name: instance.get_ticks(
                state.instigator_origin_id, state.selector_id, limit=1, statuses=answered
            )
            for state in states
        }
    except _MISSING:
        return {}
    return {name: found[0].timestamp for name, found in ticks.items() if found}
