"""The shared pool: everything is done once, little is held, nobody is starved, errors end it."""

import threading
import time
from collections.abc import Iterator

import pytest

from dandi_pipeline.sync.workers import ANSWERS_PER_THREAD, RequestWorkers


def test_every_argument_is_worked_on_once_in_whatever_order() -> None:
    with RequestWorkers(3) as workers:
        assert sorted(workers.map(lambda n: n * n, range(100))) == [n * n for n in range(100)]


def test_no_more_than_the_room_is_asked_for_ahead_of_a_slow_consumer() -> None:
    asked = 0
    lock = threading.Lock()

    def ask(number: int) -> int:
        nonlocal asked
        with lock:
            asked += 1
        return number

    with RequestWorkers(2) as workers:
        results = workers.map(ask, range(1_000))
        next(results)
        time.sleep(0.05)
        assert asked <= ANSWERS_PER_THREAD * 2
        assert isinstance(results, Iterator)
        assert len(list(results)) == 999


def test_many_maps_at_once_all_come_to_their_end() -> None:
    with RequestWorkers(2) as workers:
        done: list[int] = []
        threads = [threading.Thread(target=lambda: done.append(sum(workers.map(int, range(200))))) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=20)
        assert done == [sum(range(200))] * 12


def test_the_first_error_ends_a_map_and_leaves_the_pool_usable() -> None:
    def fail_at_five(number: int) -> int:
        if number == 5:
            raise ValueError("five")
        return number

    with RequestWorkers(2) as workers:
        for _ in range(10):
            with pytest.raises(ValueError, match="five"):
                list(workers.map(fail_at_five, range(100)))
        assert len(list(workers.map(int, range(50)))) == 50
