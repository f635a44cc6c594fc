"""Writes a run's events in batches: written one by one, each would wait for the disk several times."""

from collections.abc import Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Event, Thread

import dagster as dg

from dandi_pipeline.orchestration.dagster_internals import (
    EventWriter,
    Line,
    Planned,
    StepEvent,
    Unavailable,
    log_planned,
)

_GATHERED_FOR = 2.0
"""Seconds for which events are gathered. On a busy sync this leaves the disk to the mirror's own commits."""


class EventBatches:
    """One run's events on their way into Dagster's event log, written by a thread of their own.

    What was added is written within about two seconds, so that is what a killed process loses at most; `close` writes
    the rest. Errors while writing events are raised by the next call. With a version of Dagster that cannot write
    batches, events are logged one by one.
    """

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context = context
        self._waiting: SimpleQueue[StepEvent] = SimpleQueue()
        self._closing = Event()
        self._written: Future[None] = Future()
        # A daemon: what an interrupt keeps from being closed must not keep the process from ending.
        Thread(target=self._work, name="events", daemon=True).start()

    def add(self, event: StepEvent) -> None:
        """Have an event of the run, or a line of its log, written after what was added before."""
        self._waiting.put(event)
        if self._written.done():
            self._written.result()
            self._log_waiting()

    def close(self) -> None:
        """Write what is left."""
        self._closing.set()
        self._written.result()
        self._log_waiting()

    def _work(self) -> None:
        try:
            self._write_until_closed()
        except BaseException as error:  # noqa: BLE001 - whoever calls next raises it
            self._written.set_exception(error)
        else:
            self._written.set_result(None)

    def _write_until_closed(self) -> None:
        """Write until closed, or until that turns out to be impossible; what waits is then logged one by one."""
        try:
            writer = EventWriter(self._context)
            while not self._closing.wait(_GATHERED_FOR):
                self._write(writer)
            self._write(writer)
        except Unavailable as missing:
            self._waiting.put(Line(f"Events are logged one by one with this version of Dagster: {missing}"))

    def _write(self, writer: EventWriter) -> None:
        events = list(_drained(self._waiting))
        if not events:
            return
        try:
            writer.write(events)
        except Unavailable:
            for event in events:
                self._waiting.put(event)
            raise

    def _log_waiting(self) -> None:
        for event in _drained(self._waiting):
            self._log(event)

    def _log(self, event: StepEvent) -> None:
        if isinstance(event, Line):
            self._context.log.info(event.text)
        elif isinstance(event, Planned):
            self._log_planned(event)
        else:
            self._context.log_event(event)

    def _log_planned(self, planned: Planned) -> None:
        try:
            log_planned(self._context, planned)
        except Unavailable:
            self._context.log.warning(f"{planned.partition}: cannot be shown as failed with this version of Dagster")


def _drained(queue: "SimpleQueue[StepEvent]") -> Iterator[StepEvent]:
    while True:
        try:
            yield queue.get_nowait()
        except Empty:
            return
