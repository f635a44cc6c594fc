"""A budget bounds how often, for every thread at once, a pause holds all of them, and nothing is lost in counting."""

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dandi_pipeline.http import Metrics, TokenBucket, Traffic
from dandi_pipeline_tests.http.fake_time import FakeTime


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Let threads take turns after nearly every instruction, so that a missing lock shows."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def test_a_burst_passes_and_then_the_rate_holds() -> None:
    fake = FakeTime()
    bucket = TokenBucket(4, burst=3, sleep=fake.sleep, clock=fake.clock)
    assert [bucket.take() for _ in range(3)] == [0, 0, 0]
    assert [bucket.take() for _ in range(3)] == pytest.approx([0.25] * 3)


def test_the_bucket_fills_again_up_to_its_burst() -> None:
    fake = FakeTime()
    bucket = TokenBucket(4, burst=2, sleep=fake.sleep, clock=fake.clock)
    bucket.take()
    fake.sleep(100)
    assert [bucket.take() for _ in range(3)] == pytest.approx([0, 0, 0.25])


def test_without_a_rate_only_pauses_wait() -> None:
    fake = FakeTime()
    bucket = TokenBucket(sleep=fake.sleep, clock=fake.clock)
    assert sum(bucket.take() for _ in range(1000)) == 0
    bucket.pause(7)
    assert [bucket.take(), bucket.take()] == [7, 0]


def test_after_a_pause_the_burst_is_used_up() -> None:
    fake = FakeTime()
    bucket = TokenBucket(2, burst=10, sleep=fake.sleep, clock=fake.clock)
    bucket.pause(30)
    assert [bucket.take() for _ in range(3)] == pytest.approx([30, 0.5, 0.5])


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    fake = FakeTime()
    bucket = TokenBucket(sleep=fake.sleep, clock=fake.clock)
    bucket.pause(30)
    bucket.pause(1)
    assert bucket.take() == 30


def test_threads_share_the_rate() -> None:
    bucket = TokenBucket(100, burst=1)
    started = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: bucket.take(), range(30)))
    assert time.monotonic() - started >= 0.29


def test_no_take_is_lost_between_threads(eager_switching: None) -> None:
    fake = FakeTime()
    bucket = TokenBucket(1, burst=4000, sleep=fake.sleep, clock=fake.clock)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: [bucket.take() for _ in range(500)], range(8)))
    assert fake.sleeps == []
    assert bucket.take() == pytest.approx(1)


def test_no_count_is_lost_between_threads(eager_switching: None) -> None:
    metrics = Metrics()

    def count(_: int) -> None:
        for _ in range(500):
            metrics.add(requests=1, bytes_received=7)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(8)))
    assert metrics.snapshot() == Traffic(requests=4000, bytes_received=28000)


def test_a_pause_reaches_a_thread_that_already_waits() -> None:
    bucket = TokenBucket(5, burst=1)
    bucket.take()
    started = time.monotonic()
    waiting = threading.Thread(target=bucket.take)
    waiting.start()
    bucket.pause(0.5)
    waiting.join()
    assert time.monotonic() - started >= 0.5


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_a_budget_that_never_sends_anything_is_refused(rate: float, burst: int) -> None:
    with pytest.raises(ValueError, match="never sends anything"):
        TokenBucket(rate, burst)
