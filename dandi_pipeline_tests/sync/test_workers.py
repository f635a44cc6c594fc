"""The shared pool: everything is done once, little is held, nobody is starved, errors end it."""

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dandi_pipeline.sync.workers import ANSWERS_PER_THREAD, RequestWorkers


def test_every_argument_is_worked_on_once_in_whatever_order() -> None:
    with RequestWorkers(3) as workers, workers.share() as share:
        assert sorted(share.map(lambda n: n * n, range(100))) == [n * n for n in range(100)]


def test_no_more_than_the_room_is_asked_for_ahead_of_a_slow_consumer() -> None:
    asked = 0
    lock = threading.Lock()

    def ask(number: int) -> int:
        nonlocal asked
        with lock:
            asked += 1
        return number

    with RequestWorkers(2) as workers, workers.share() as share:
        results = share.map(ask, range(1_000))
        next(results)
        time.sleep(0.05)
        assert asked <= ANSWERS_PER_THREAD * 2
        assert isinstance(results, Iterator)
        assert len(list(results)) == 999


def test_many_maps_at_once_all_come_to_their_end() -> None:
    with RequestWorkers(2) as workers:
        done: list[int] = []

        def add_up() -> None:
            with workers.share() as share:
                done.append(sum(share.map(int, range(200))))

        threads = [threading.Thread(target=add_up) for _ in range(12)]
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

    with RequestWorkers(2) as workers, workers.share() as share:
        for _ in range(10):
            with pytest.raises(ValueError, match="five"):
                list(share.map(fail_at_five, range(100)))
        assert len(list(share.map(int, range(50)))) == 50


class Gate:
    """Calls that wait inside until they are let through; knows how many are inside."""

    def __init__(self) -> None:
        self.inside = 0
        self._changed = threading.Condition()
        self._open = False

    def enter(self, number: int) -> int:
        with self._changed:
            self.inside += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._open, timeout=20)
        return number

    def await_inside(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.inside >= count, timeout=20), self.inside

    def open(self) -> None:
        with self._changed:
            self._open = True
            self._changed.notify_all()


def test_a_partition_alone_has_every_turn() -> None:
    gate = Gate()
    with RequestWorkers(4) as workers, workers.share() as share, ThreadPoolExecutor(1) as threads:
        reading = threads.submit(lambda: list(share.map(gate.enter, range(10))))
        gate.await_inside(4)
        gate.open()
        assert len(reading.result()) == 10


def test_a_partition_whose_answers_do_not_come_leaves_a_turn_for_the_others() -> None:
    gate = Gate()
    with (
        RequestWorkers(4) as workers,
        workers.share() as stuck,
        workers.share() as quick,
        ThreadPoolExecutor(1) as threads,
    ):
        reading = threads.submit(lambda: list(stuck.map(gate.enter, range(10))))
        gate.await_inside(3)
        assert sorted(quick.map(int, range(100))) == list(range(100))
        assert gate.inside == 3
        gate.open()
        assert len(reading.result()) == 10


def test_turns_go_round_the_partitions() -> None:
    """Where there is one turn at a time, what the first has asked for before the second does not all come first."""
    order: list[str] = []
    gate = Gate()

    def note(name: str) -> None:
        gate.enter(0)
        order.append(name)

    with (
        RequestWorkers(1) as workers,
        workers.share() as first,
        workers.share() as second,
        ThreadPoolExecutor(2) as threads,
    ):
        readings = [threads.submit(lambda: list(first.map(note, ["first"] * 2)))]
        gate.await_inside(1)
        readings += [threads.submit(lambda: list(second.map(note, ["second"] * 2)))]
        while not second.asked:
            time.sleep(0.001)
        gate.open()
        for reading in readings:
            reading.result()
    assert order[:2] == ["first", "second"]


def test_no_more_is_asked_for_while_what_waits_is_too_large() -> None:
    asked: list[int] = []

    def ask(number: int) -> int:
        asked.append(number)
        return number

    with RequestWorkers(4, most_bytes=100) as workers, workers.share() as share:
        results = share.map(ask, range(1_000), measure=lambda _: 50)
        next(results)
        time.sleep(0.05)
        taken, filling, under_way = 1, 2, 3
        assert len(asked) <= taken + filling + under_way
        with workers.share() as other:
            assert list(other.map(int, [7], measure=lambda _: 50)) == [7]
        assert len(list(results)) == 999


def test_partitions_come_and_go_while_others_ask() -> None:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with RequestWorkers(2) as workers, ThreadPoolExecutor(32) as threads:

            def come_and_go(_: int) -> int:
                with workers.share() as share:
                    return sum(share.map(int, range(2)))

            assert list(threads.map(come_and_go, range(1000))) == [1] * 1000
    finally:
        sys.setswitchinterval(usual)


def test_what_an_error_withdrew_counts_no_more() -> None:
    def fail(number: int) -> int:
        raise ValueError(number)

    with RequestWorkers(2) as workers, workers.share() as share:
        with pytest.raises(ValueError, match=r"^\d+$"):  # whose error is told first depends on the threads
            list(share.map(fail, range(100)))
        assert share.asked == 0
        gate = Gate()
        with ThreadPoolExecutor(1) as threads:
            reading = threads.submit(lambda: next(iter(share.map(gate.enter, range(10)))))
            gate.await_inside(2)
            gate.open()
            reading.result()
