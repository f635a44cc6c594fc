"""Runs the requests of all partitions side by side, fairly, while holding few of their answers in memory."""

import gc
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Lock, RLock
from types import TracebackType
from typing import Any

from dandi_pipeline.model import Argument, Result, weightless

OBJECTS = 100_000
"""How many containers more there are to be before the collector looks at them; a page of 1,000 assets has 45,000.

By Python's own 700 it looks at all that is parsed dozens of times, which takes twice as long as the parsing itself.
"""


class _Collector:
    """The garbage collector, which is one for the process: patient from the first who asks to the last who is done."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._usual = gc.get_threshold()

    def enter(self) -> None:
        with self._lock:
            if not self._users:
                self._usual = gc.get_threshold()
                if 0 < self._usual[0] < OBJECTS:
                    gc.set_threshold(OBJECTS, *self._usual[1:])
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                gc.set_threshold(*self._usual)


_collector = _Collector()


@contextmanager
def rare_collections() -> Iterator[None]:
    """Let the garbage collector be patient while the block runs, in whichever thread; nest and overlap at will."""
    _collector.enter()
    try:
        yield
    finally:
        _collector.leave()


ANSWERS_PER_THREAD = 2
"""Answers asked for but not consumed yet, per thread: one being made, one waiting for the database."""

MOST_BYTES = 64 * 2**20
"""Bytes of answers that wait to be consumed, beyond which no more are asked for."""


@dataclass(eq=False, slots=True)
class _Task:
    """One call to make, and what it came to; `size` is known once it is made."""

    call: Callable[[], Any]
    measure: Callable[[Any], int]
    future: "Future[Any]" = field(default_factory=Future)
    size: int = 0

    def run(self) -> Any:
        """Make the call and measure the result: what either raises belongs to whoever waits for it."""
        result = self.call()
        self.size = self.measure(result)
        return result


class RequestWorkers:
    """Makes `concurrency` calls at once for all partitions of a sync, each of which has its `share`.

    Turns go round the shares. While there are several none of them has every turn, so that one whose answers are
    slow never keeps the others waiting. At most `ANSWERS_PER_THREAD * concurrency` results are asked for and not
    yet taken, and none is asked for while those that wait measure `most_bytes`; but a share that has nothing under
    way always gets one. So memory is bounded by the largest answers, and not by the archive.
    """

    def __init__(self, concurrency: int, most_bytes: int = MOST_BYTES) -> None:
        self._concurrency = concurrency
        self._most_bytes = most_bytes
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="request")
        self._lock = RLock()
        self._shares: deque[Share] = deque()
        self._running = 0

    def __enter__(self) -> "RequestWorkers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=True)

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """Give a partition its share while it is worked on."""
        share = Share(self)
        with self._lock:
            self._shares.append(share)
        try:
            yield share
        finally:
            with self._lock:
                self._shares.remove(share)
                self._dispatch()

    @property
    def _most_of_a_share(self) -> int:
        return max(1, self._concurrency - (len(self._shares) > 1))

    def has_room(self, share: "Share") -> bool:
        """Tell whether a share may ask for one more."""
        with self._lock:
            asked = sum(other.asked for other in self._shares)
            most = ANSWERS_PER_THREAD * self._most_of_a_share
            return share.asked == 0 or (asked < ANSWERS_PER_THREAD * self._concurrency and share.asked < most)

    def submit(self, share: "Share", task: _Task) -> None:
        """Let a task wait for its share's turn."""
        with self._lock:
            share.asked += 1
            share.queue.append(task)
            self._dispatch()

    def taken(self, share: "Share", task: _Task) -> None:
        """Take note that a result was consumed, or is not wanted any more."""
        with self._lock:
            share.asked -= 1
            share.held -= task.size
            self._dispatch()

    def withdraw(self, share: "Share", tasks: Iterable[_Task]) -> list[_Task]:
        """Drop those tasks that have not had their turn yet; return the others."""
        with self._lock:
            dropped = [task for task in tasks if task in share.queue]
            for task in dropped:
                share.queue.remove(task)
                self.taken(share, task)
            return [task for task in tasks if task not in dropped]

    def _dispatch(self) -> None:
        """Start what may be started, going round the shares."""
        while self._running < self._concurrency and (share := self._next_share()):
            self._running += 1
            share.running += 1
            task = share.queue.popleft()
            self._threads.submit(task.run).add_done_callback(partial(self._finish, share, task))

    def _next_share(self) -> "Share | None":
        for _ in range(len(self._shares)):
            share = self._shares[0]
            self._shares.rotate(-1)
            if share.queue and share.running < self._most_of_a_share and self._affords(share):
                return share
        return None

    def _affords(self, share: "Share") -> bool:
        idle = not share.running and not share.held
        return idle or sum(other.held for other in self._shares) < self._most_bytes

    def _finish(self, share: "Share", task: _Task, made: "Future[Any]") -> None:
        error = made.exception()
        with self._lock:
            self._running -= 1
            share.running -= 1
            share.held += task.size
            self._dispatch()
        if error:
            task.future.set_exception(error)
        else:
            task.future.set_result(made.result())


class Share:
    """One partition's part of the workers: what it has asked for, what is under way, and what waits to be taken."""

    def __init__(self, workers: RequestWorkers) -> None:
        self.queue: deque[_Task] = deque()
        self.asked = 0
        self.running = 0
        self.held = 0
        self._workers = workers

    def map(
        self,
        function: Callable[[Argument], Result],
        arguments: Iterable[Argument],
        *,
        measure: Callable[[Result], int] = weightless,
    ) -> Iterator[Result]:
        """Yield `function(argument)` for each, as they finish; the first error ends it and drops the rest."""
        waiting = iter(arguments)
        asked: dict[Future[Any], _Task] = {}
        try:
            while True:
                self._fill(function, waiting, measure, asked)
                if not asked:
                    return
                done, _ = wait(asked, return_when=FIRST_COMPLETED)
                for future in done:
                    task = asked.pop(future)
                    try:
                        yield future.result()
                    finally:
                        self._workers.taken(self, task)
        finally:
            under_way = self._workers.withdraw(self, list(asked.values()))
            wait([task.future for task in under_way])
            for task in under_way:
                self._workers.taken(self, task)

    def _fill(
        self,
        function: Callable[[Argument], Result],
        waiting: Iterator[Argument],
        measure: Callable[[Result], int],
        asked: "dict[Future[Any], _Task]",
    ) -> None:
        while self._workers.has_room(self):
            argument = next(waiting, _END)
            if argument is _END:
                return
            task = _Task(partial(function, argument), measure)
            asked[task.future] = task
            self._workers.submit(self, task)


_END: Any = object()
