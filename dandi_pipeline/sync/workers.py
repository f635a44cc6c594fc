"""Runs a platform's requests side by side while holding few of their answers in memory."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import BoundedSemaphore
from types import TracebackType
from typing import Any

from dandi_pipeline.platforms.contract import Argument, Result

ANSWERS_PER_THREAD = 2
"""Answers asked for but not consumed yet, per thread: one being made, one waiting for the database."""


class RequestWorkers:
    """A pool of `concurrency` threads shared by all partitions of a sync.

    However many `map`s are under way, at most `ANSWERS_PER_THREAD * concurrency` results are asked for and not
    yet taken, so memory is bounded by the largest answer and not by the archive.
    """

    def __init__(self, concurrency: int) -> None:
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="request")
        self._room = BoundedSemaphore(ANSWERS_PER_THREAD * concurrency)

    def __enter__(self) -> "RequestWorkers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def map(self, function: Callable[[Argument], Result], arguments: Iterable[Argument]) -> Iterator[Result]:
        """Yield `function(argument)` for each, as they finish; the first error ends it and drops the rest."""
        waiting = iter(arguments)
        running: set[Future[Result]] = set()
        try:
            while True:
                self._fill(function, waiting, running)
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    running.remove(future)
                    try:
                        yield future.result()
                    finally:
                        self._room.release()
        finally:
            self._abandon(running)

    def _fill(
        self, function: Callable[[Argument], Result], waiting: Iterator[Argument], running: set[Future[Result]]
    ) -> None:
        """Submit while there is room; with nothing running, wait for room so that every map goes forward."""
        while self._room.acquire(blocking=not running):
            argument = next(waiting, _END)
            if argument is _END:
                self._room.release()
                return
            running.add(self._threads.submit(function, argument))

    def _abandon(self, running: "set[Future[Any]]") -> None:
        for future in running:
            future.cancel()
        wait(running)
        for _ in running:
            self._room.release()


_END: Any = object()
