"""Writes a run's events in batches: written one by one, each would wait for the disk several times.

Dagster batches only what a step yields as outputs, and only on PostgreSQL. What is private in Dagster is used here
and nowhere else; where a version of it lacks that, events are logged one by one.
"""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from queue import Empty, SimpleQueue
from threading import Event
from typing import TYPE_CHECKING, Any

import dagster as dg
from sqlalchemy import CursorResult

if TYPE_CHECKING:
    from dagster._core.events import EventSpecificData
    from dagster._core.storage.event_log import EventLogStorage, SqliteEventLogStorage

_GATHERED_FOR = 2.0
"""Seconds for which events are gathered. On a busy sync this leaves the disk to the mirror's own commits."""


class EventBatches:
    """One run's events on their way into Dagster's event log, written by a thread of their own.

    What was added is written within about two seconds, so that is what a killed process loses at most; `close` writes
    the rest. What keeps events from being written is raised by the next call.
    """

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context = context
        self._storage: EventLogStorage = context.instance.event_log_storage
        self._waiting: SimpleQueue[dg.EventLogEntry] = SimpleQueue()
        self._closing = Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="events")
        self._written = self._thread.submit(self._write_until_closed)

    def add(self, event: dg.AssetMaterialization | dg.AssetObservation) -> None:
        """Have an event of the run written, as `context.log_event` would."""
        if self._written.done():
            self._written.result()
        try:
            self._waiting.put(_entry(self._context, event))
        except (ImportError, AttributeError, TypeError):
            self._context.log_event(event)

    def add_line(self, line: str) -> None:
        """Have a line written into the run's log, as `context.log.info` would, before the events added after it."""
        self._waiting.put(_line_entry(self._context, line))

    def add_planned(self, asset: dg.AssetKey, partition: str) -> None:
        """Have it written that the run was to materialize a partition.

        Dagster shows a partition as failed if a materialization of it was planned in a failed run and did not come.
        A run with its partitions in tags has such plans from the start; for one with its partitions in config there is
        no public call (dagster-io/dagster#17836). Without the private one the partition keeps the status it had.
        """
        try:
            self._waiting.put(_planned_entry(self._context, asset, partition))
        except (ImportError, AttributeError, TypeError) as error:
            self._context.log.warning(f"{partition}: cannot be shown as failed with this version of Dagster ({error})")

    def close(self) -> None:
        """Write what is left."""
        self._closing.set()
        with self._thread:
            self._written.result()

    def _write_until_closed(self) -> None:
        while not self._closing.wait(_GATHERED_FOR):
            self._write()
        self._write()

    def _write(self) -> None:
        if entries := list(_drained(self._waiting)):
            _store(self._storage, entries)


def _entry(context: dg.AssetExecutionContext, event: dg.AssetMaterialization | dg.AssetObservation) -> dg.EventLogEntry:
    from dagster._core.events import AssetObservationData, StepMaterializationData

    if isinstance(event, dg.AssetMaterialization):
        return _of_step(
            context, dg.DagsterEventType.ASSET_MATERIALIZATION, StepMaterializationData(event), event.description
        )
    return _of_step(context, dg.DagsterEventType.ASSET_OBSERVATION, AssetObservationData(event), None)


def _line_entry(context: dg.AssetExecutionContext, line: str) -> dg.EventLogEntry:
    return dg.EventLogEntry(  # type: ignore[no-untyped-call]
        error_info=None,
        level=logging.INFO,
        user_message=line,
        run_id=context.run.run_id,
        timestamp=time.time(),
        step_key=context.get_step_execution_context().step.key,
        job_name=context.job_name,
    )


def _planned_entry(context: dg.AssetExecutionContext, asset: dg.AssetKey, partition: str) -> dg.EventLogEntry:
    from dagster._core.events import AssetMaterializationPlannedData

    planned = AssetMaterializationPlannedData(asset, partition=partition)
    return _of_step(context, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, planned, None)


def _of_step(
    context: dg.AssetExecutionContext, kind: dg.DagsterEventType, data: "EventSpecificData", message: str | None
) -> dg.EventLogEntry:
    """Return an event as Dagster makes it of one that the running step logs, but for what it would say twice."""
    step = context.get_step_execution_context()
    event = dg.DagsterEvent(
        event_type_value=kind.value,
        job_name=context.job_name,
        step_handle=step.step.handle,
        node_handle=step.step.node_handle,
        step_kind_value=step.step.kind.value,
        event_specific_data=data,
        message=message,
        pid=os.getpid(),
    )
    return dg.EventLogEntry(  # type: ignore[no-untyped-call]
        error_info=None,
        level=logging.DEBUG,
        user_message="",
        run_id=context.run.run_id,
        timestamp=time.time(),
        step_key=step.step.key,
        job_name=context.job_name,
        dagster_event=event,
    )


def _kind(entry: dg.EventLogEntry) -> tuple[str, str]:
    event = entry.get_dagster_event()
    return event.event_type_value, str(event.asset_key)


def _drained(queue: "SimpleQueue[dg.EventLogEntry]") -> Iterator[dg.EventLogEntry]:
    while True:
        try:
            yield queue.get_nowait()
        except Empty:
            return


def _store(storage: "EventLogStorage", entries: Sequence[dg.EventLogEntry]) -> None:
    from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage

    lines = [entry for entry in entries if not entry.is_dagster_event]
    told = [entry for entry in entries if entry.is_dagster_event]
    if isinstance(storage, SqliteEventLogStorage):
        _store_in_files(storage, lines, told)
        return
    assert isinstance(storage, SqlEventLogStorage), "Dagster keeps runs in SQL"
    if lines:
        with storage.run_connection(lines[0].run_id) as connection:
            connection.execute(storage.prepare_insert_event_batch(lines))
    # PostgreSQL's storage takes one kind of event at a time, and notes the last one as its asset's latest.
    for _, batch in groupby(sorted(told, key=_kind), key=_kind):
        storage.store_event_batch(list(batch))


def _store_in_files(
    storage: "SqliteEventLogStorage", lines: Sequence[dg.EventLogEntry], entries: Sequence[dg.EventLogEntry]
) -> None:
    """Write each as the storage does by itself, all into the run's file, events into the index too, but at once."""
    inserts = [storage.prepare_insert_event(entry) for entry in entries]
    with storage.run_connection([*lines, *entries][0].run_id) as connection:
        for insert in [*map(storage.prepare_insert_event, lines), *inserts]:
            connection.execute(insert)
    if not entries:
        return
    with storage.index_transaction() as connection:
        numbers = [_number(connection.execute(insert)) for insert in inserts]
        storage._store_asset_event_tags(connection, entries, numbers)
        latest = {_kind(entry): (entry, number) for entry, number in zip(entries, numbers, strict=True)}
        for entry, number in latest.values():
            storage._store_asset_event(connection, entry, number)


def _number(inserted: CursorResult[Any]) -> int:
    """Return the number that the storage gave to an event."""
    key = inserted.inserted_primary_key
    assert key is not None, "a single row was inserted"
    return int(key[0])
