"""A budget bounds how often, for every thread at once, a pause holds all of them, and nothing is lost in counting."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from heapq import heappop, heappush

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dandi_pipeline.http import LocalBudgets, Metrics, RateBudget, RateLimit, Traffic, pseudonym
from dandi_pipeline.http.rate_limits import ANSWERED_WITHIN, HORIZON, Claim, Grants, LedgerBudget, Requests
from dandi_pipeline_tests.http.fake_time import FakeTime


@pytest.fixture
def fake() -> FakeTime:
    return FakeTime()


@pytest.fixture
def budgets(fake: FakeTime) -> LocalBudgets:
    return LocalBudgets(sleep=fake.sleep, clock=fake.clock)


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Let threads take turns after nearly every instruction, so that a missing lock shows."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


# Four a second, stretched by 8%: three at once in any 0.81 s, or one in any 0.27 s.
THREE_AT_ONCE = RateLimit("host", 12, 3, burst=3)
ONE_BY_ONE = RateLimit("host", 4, 1)
UNMETERED: tuple[RateLimit, ...] = ()


def sent(budget: RateBudget) -> float:
    """Take, and be answered at once; return the seconds waited."""
    waited = budget.take()
    budget.answered()
    return waited


def local(fake: FakeTime, *limits: RateLimit) -> RateBudget:
    return LocalBudgets(sleep=fake.sleep, clock=fake.clock).budget(*limits)


def test_a_burst_passes_and_then_the_rate_holds() -> None:
    budget = local(FakeTime(), THREE_AT_ONCE)
    assert [sent(budget) for _ in range(6)] == pytest.approx([0, 0, 0, 0.81, 0, 0])


def test_without_a_burst_requests_go_one_by_one() -> None:
    budget = local(FakeTime(), ONE_BY_ONE)
    assert [sent(budget) for _ in range(4)] == pytest.approx([0, 0.27, 0.27, 0.27])


def test_after_a_quiet_time_there_is_one_burst_and_no_more() -> None:
    fake = FakeTime()
    budget = local(fake, THREE_AT_ONCE)
    sent(budget)
    fake.sleep(100)
    assert [sent(budget) for _ in range(4)] == pytest.approx([0, 0, 0, 0.81])


def test_without_a_limit_only_pauses_wait() -> None:
    budget = local(FakeTime())
    assert sum(sent(budget) for _ in range(1000)) == 0
    budget.pause(7)
    assert [sent(budget), sent(budget)] == [7, 0]


def test_after_a_pause_the_burst_is_used_up() -> None:
    budget = local(FakeTime(), THREE_AT_ONCE)
    budget.pause(30)
    assert [sent(budget) for _ in range(4)] == pytest.approx([30, 0.27, 0.27, 0.27])


@pytest.mark.parametrize("limits", [UNMETERED, (ONE_BY_ONE,)])
def test_a_shorter_pause_does_not_end_a_longer_one(limits: tuple[RateLimit, ...]) -> None:
    budget = local(FakeTime(), *limits)
    budget.pause(30)
    budget.pause(1)
    assert sent(budget) == pytest.approx(30)


def test_budgets_with_one_key_share_its_limit_and_its_pauses() -> None:
    fake = FakeTime()
    budgets = LocalBudgets(sleep=fake.sleep, clock=fake.clock)
    one, another, stranger = (
        budgets.budget(ONE_BY_ONE),
        budgets.budget(ONE_BY_ONE),
        budgets.budget(RateLimit("b", 1, 1)),
    )
    assert [sent(one), sent(another), sent(stranger)] == pytest.approx([0, 0.27, 0])
    another.pause(9)
    assert sent(one) == pytest.approx(9)


def test_a_pause_holds_back_the_first_limits_users_alone() -> None:
    fake = FakeTime()
    budgets = LocalBudgets(sleep=fake.sleep, clock=fake.clock)
    user = RateLimit("user", 50, 1, burst=50)
    one, another = budgets.budget(RateLimit("base 1", 5, 1), user), budgets.budget(RateLimit("base 2", 5, 1), user)
    one.pause(30)
    assert [sent(another), sent(one)] == pytest.approx([0, 30])


def test_every_limit_of_a_budget_is_kept() -> None:
    fake = FakeTime()
    budgets = LocalBudgets(sleep=fake.sleep, clock=fake.clock)
    bases = [budgets.budget(RateLimit(f"base {n}", 5, 1, burst=5), RateLimit("user", 6, 1, burst=6)) for n in range(2)]
    assert [sent(base) for base in bases * 3] == [0] * 6
    assert sent(bases[0]) == pytest.approx(1.08)


def test_threads_share_the_rate() -> None:
    budget = LocalBudgets().budget(RateLimit("host", 100, 1))
    started = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: sent(budget), range(30)))
    assert time.monotonic() - started >= 0.29


def test_no_take_is_lost_between_threads(eager_switching: None) -> None:
    fake = FakeTime()
    budget = local(fake, RateLimit("host", 4000, 4000, burst=4000))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: [sent(budget) for _ in range(500)], range(8)))
    assert fake.sleeps == []
    assert sent(budget) == pytest.approx(4001)


def test_no_count_is_lost_between_threads(eager_switching: None) -> None:
    metrics = Metrics()

    def count(_: int) -> None:
        for _ in range(500):
            metrics.add(requests=1, bytes_received=7)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(8)))
    assert metrics.snapshot() == Traffic(requests=4000, bytes_received=28000)


@pytest.mark.parametrize("limits", [UNMETERED, (RateLimit("host", 5, 1),)])
def test_a_pause_reaches_a_thread_that_already_waits(limits: tuple[RateLimit, ...]) -> None:
    budget = LocalBudgets().budget(*limits)
    sent(budget)
    budget.pause(0.1)
    started = time.monotonic()
    waiting = threading.Thread(target=budget.take)
    waiting.start()
    budget.pause(0.5)
    waiting.join()
    assert time.monotonic() - started >= 0.5


@dataclass
class CountingLedger:
    """Grants everything at once, or after `delay`, and remembers what it was asked and told."""

    clock: Callable[[], float]
    delay: float = 0.0
    asked: list[int] = field(default_factory=list)
    settled: list[tuple[float, float]] = field(default_factory=list)
    withdrawn: list[float] = field(default_factory=list)

    def claim(self, limits: Sequence[RateLimit], count: int) -> Claim:
        self.asked.append(count)
        now = self.clock()
        return Claim(now, [now + self.delay] * count, now)

    def settle(self, limits: Sequence[RateLimit], granted: float, late: float) -> None:
        self.settled.append((granted, late))

    def withdraw(self, limits: Sequence[RateLimit], granted: float) -> None:
        self.withdrawn.append(granted)

    def pause(self, limit: RateLimit, seconds: float) -> None: ...


def test_the_ledger_is_asked_once_for_all_that_wait() -> None:
    gate = threading.Barrier(9)

    class Held(FakeTime):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if len(self.sleeps) == 1:
                gate.wait()
                # Those who passed the gate only now begin to wait.
                time.sleep(0.2)

    fake = Held()
    ledger = CountingLedger(fake.clock)
    budget = LedgerBudget(ledger, [ONE_BY_ONE], sleep=fake.sleep, clock=fake.clock)
    budget.pause(1)

    def take_behind_the_gate(_: int) -> None:
        gate.wait()
        sent(budget)

    with ThreadPoolExecutor(9) as threads:
        first = threads.submit(budget.take)
        list(threads.map(take_behind_the_gate, range(8)))
        first.result()
    assert ledger.asked == [9]


def test_a_grant_that_is_used_too_late_is_given_up_for_another() -> None:
    class Overslept(FakeTime):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds + (0.25 if not self.sleeps else 0))

    fake = Overslept()
    ledger = CountingLedger(fake.clock, delay=0.5)
    assert sent(LedgerBudget(ledger, [ONE_BY_ONE], sleep=fake.sleep, clock=fake.clock)) == pytest.approx(1.25)
    assert ledger.asked == [1, 1]
    assert ledger.withdrawn == [pytest.approx(1000.5)]


def test_a_request_that_is_answered_later_than_usual_counts_from_then() -> None:
    fake = FakeTime()
    limit = RateLimit("host", 5, 1, burst=5)
    ledger = CountingLedger(fake.clock)
    budget = LedgerBudget(ledger, [limit], sleep=fake.sleep, clock=fake.clock)
    for seconds in (0.3, 0.33, *[0.3] * 8, 0.8):
        budget.take()
        fake.sleep(seconds)
        budget.answered()
    late = [late for _, late in ledger.settled]
    unknown_yet = pytest.approx([0.24, 0.27, *[0.24] * 7])
    assert 0.75 * limit.slack == pytest.approx(0.06)
    assert late[:9] == unknown_yet, "all of the time counts until it is known how long an answer takes"
    assert late[9:] == pytest.approx([0, 0.8 - 0.3 - 0.06])
    assert ledger.settled[-1][0] == pytest.approx(1003.03)


def test_a_request_counts_from_its_answer_by_the_ledgers_clock_however_slow_the_ledger_is() -> None:
    fake = FakeTime()

    class Slow(CountingLedger):
        def claim(self, limits: Sequence[RateLimit], count: int) -> Claim:
            claim = super().claim(limits, count)
            fake.sleep(0.5)
            return claim

    ledger = Slow(fake.clock)
    sent(LedgerBudget(ledger, [ONE_BY_ONE], sleep=fake.sleep, clock=fake.clock))
    [(granted, late)] = ledger.settled
    assert granted + late == pytest.approx(fake.clock() - 0.75 * ONE_BY_ONE.slack)


def test_a_request_without_an_answer_may_yet_arrive(budgets: LocalBudgets, fake: FakeTime) -> None:
    limit = RateLimit("host", 2, 1, burst=2)
    slow, quick = budgets.budget(limit), budgets.budget(limit)
    slow.take()
    fake.sleep(5)
    assert [sent(quick), sent(quick)] == pytest.approx([0, 1.08])


def test_a_request_that_is_never_answered_counts_for_ten_seconds(budgets: LocalBudgets, fake: FakeTime) -> None:
    limit = RateLimit("host", 1, 1)
    budgets.budget(limit).take()
    assert budgets.budget(limit).take() == pytest.approx(ANSWERED_WITHIN + limit.span, abs=0.4)


def test_a_late_request_keeps_its_place_from_others() -> None:
    fake = FakeTime()
    budget = local(fake, RateLimit("host", 2, 1, burst=2))
    sent(budget)
    budget.take()
    fake.sleep(0.54)
    budget.answered()
    assert [sent(budget), sent(budget)] == pytest.approx([0.54, 0.48])


@pytest.mark.parametrize("burst", [1, 5])
def test_late_requests_do_not_let_more_of_them_arrive_than_the_limit_allows(burst: int) -> None:
    fake, arrived = FakeTime(), []
    budget = local(fake, RateLimit("host", 5, 1, burst))
    for delay in [0, *([0.3, 0.0, 0.12, 0.0, 0.0, 0.25, 0.0] * 20)]:
        budget.take()
        fake.sleep(delay)
        arrived.append(fake.clock())
        budget.answered()
    assert _most_within(1, arrived) <= 5


@pytest.mark.parametrize("ahead", [0.0, 1e9, -1e6])
def test_the_ledgers_clock_need_not_agree_with_the_processs(ahead: float) -> None:
    fake = FakeTime()

    class Elsewhere(FakeTime):
        def __init__(self) -> None:
            super().__init__()
            self.ahead = ahead

        def clock(self) -> float:
            return fake.clock() + self.ahead

    elsewhere = Elsewhere()
    ledger = LocalBudgets(clock=elsewhere.clock)
    budget = LedgerBudget(ledger, [ONE_BY_ONE], sleep=fake.sleep, clock=fake.clock)
    assert [sent(budget) for _ in range(3)] == pytest.approx([0, 0.27, 0.27], abs=1e-5)
    elsewhere.ahead += 3600
    assert [sent(budget) for _ in range(3)] == pytest.approx([0, 0.27, 0.27], abs=1e-5)
    elsewhere.ahead -= 7200
    assert [sent(budget) for _ in range(3)] == pytest.approx([0, 0.27, 0.27], abs=1e-5)


def test_asking_that_takes_its_time_makes_no_request_early_and_later_ones_no_later() -> None:
    fake = FakeTime()

    class Slow(CountingLedger):
        def claim(self, limits: Sequence[RateLimit], count: int) -> Claim:
            claim = super().claim(limits, count)
            fake.sleep(0.1 if len(self.asked) == 1 else 0)
            return claim

    budget = LedgerBudget(Slow(fake.clock, delay=0.3), [ONE_BY_ONE], sleep=fake.sleep, clock=fake.clock)
    assert [sent(budget), sent(budget)] == pytest.approx([0.4, 0.3])


@pytest.mark.parametrize(("requests", "seconds", "burst"), [(0, 1, 1), (1, 0, 1), (1, -1, 1), (1, 1, 0), (5, 1, 2)])
def test_a_limit_that_makes_no_sense_is_refused(requests: int, seconds: float, burst: int) -> None:
    with pytest.raises(ValueError, match=r"never sends anything|does not divide"):
        RateLimit("host", requests, seconds, burst)


def test_a_pseudonym_is_the_same_for_all_who_hold_the_secret_and_tells_nothing_of_it() -> None:
    assert pseudonym("ntn_secret") == pseudonym("ntn_secret") != pseudonym("ntn_other")
    assert "secret" not in pseudonym("ntn_secret")


# -- any limits, any demand -------------------------------------------------------------------------------------------

limits = st.builds(
    lambda key, burst, times, seconds: RateLimit(key, burst * times, seconds, burst),
    st.sampled_from(["a", "b"]),
    st.integers(1, 6),
    st.integers(1, 6),
    st.sampled_from([0.5, 1.0, 7.0]),
)


@given(
    all_limits=st.lists(
        st.lists(limits, min_size=1, max_size=2, unique_by=lambda limit: limit.key), min_size=1, max_size=3
    ),
    claims=st.lists(st.tuples(st.floats(0, 3), st.integers(0, 2), st.integers(1, 8)), max_size=40),
)
def test_no_window_of_any_limit_ever_holds_more_than_it_allows(
    all_limits: list[list[RateLimit]], claims: list[tuple[float, int, int]]
) -> None:
    shared = {limit.key: limit for some in all_limits for limit in some}
    fake = FakeTime()
    granted: dict[str, list[float]] = {key: [] for key in shared}
    ledger = LocalBudgets(sleep=fake.sleep, clock=fake.clock)
    for pause, chosen, count in claims:
        fake.sleep(pause)
        named = [shared[limit.key] for limit in all_limits[chosen % len(all_limits)]]
        claim = ledger.claim(named, count)
        for instant in claim.instants:
            ledger.settle(named, instant, 0)
            assert claim.now <= instant <= claim.now + HORIZON
            for limit in named:
                granted[limit.key].append(instant)
    for key, instants in granted.items():
        assert _most_within(shared[key].seconds, instants) <= shared[key].requests
        assert _most_within(shared[key].window - 1e-3, instants) <= shared[key].burst


class Network:
    """Answers requests after a while, of which nobody knows how much was the way there."""

    def __init__(self, ledger: LocalBudgets, limit: RateLimit, fake: FakeTime) -> None:
        self.arrived: list[float] = []
        self._ledger = ledger
        self._limit = limit
        self._fake = fake
        self._answers: list[tuple[float, float]] = []

    def send(self, granted: float, there: float, back: float) -> None:
        self.arrived.append(granted + there)
        heappush(self._answers, (granted + there + back, granted))

    def wait_until(self, instant: float) -> None:
        while self._answers and self._answers[0][0] <= instant:
            answered, granted = heappop(self._answers)
            self._fake.sleep(max(0.0, answered - self._fake.clock()))
            late = max(0.0, answered - granted - 0.75 * self._limit.slack)
            self._ledger.settle([self._limit], granted, late)
        self._fake.sleep(max(0.0, instant - self._fake.clock()))


@given(
    burst=st.sampled_from([1, 5]),
    ways=st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3)), min_size=12, max_size=40),
)
def test_however_long_requests_take_no_more_arrive_than_the_limit_allows(
    burst: int, ways: list[tuple[float, float]]
) -> None:
    fake, limit = FakeTime(), RateLimit("host", 5, 1, burst)
    ledger = LocalBudgets(sleep=fake.sleep, clock=fake.clock)
    network = Network(ledger, limit, fake)
    for there, back in ways:
        while not (claim := ledger.claim([limit], 1)).instants:
            network.wait_until(claim.retry_at)
        network.send(claim.instants[0], there, back)
    assert _most_within(1, network.arrived) <= 5


@pytest.mark.parametrize(
    "limit", [RateLimit("base", 5, 1), RateLimit("token", 180, 60, 30), RateLimit("user", 50, 1, 10)]
)
def test_nine_tenths_of_a_limit_can_be_used(limit: RateLimit) -> None:
    fake = FakeTime()
    budget = local(fake, limit)
    started = fake.clock()
    for _ in range(10 * limit.requests):
        sent(budget)
    assert 10 * limit.requests / (fake.clock() - started) >= 0.92 * limit.requests / limit.seconds


def test_a_clock_that_is_set_back_holds_nobody_back() -> None:
    grants = Grants(ONE_BY_ONE, Requests([5000.0], [5001.0]), None, now=1000.0)
    assert grants.earliest(1000.0) == 1000.0


def test_no_request_counts_from_later_than_now() -> None:
    grants = Grants(ONE_BY_ONE, Requests(in_flight=[999.9]), None, now=1000.0)
    grants.settle(999.9, late=60)
    assert Grants(ONE_BY_ONE, grants.requests, None, now=1000.0).earliest(1000.0) == pytest.approx(1000.27)


def _most_within(seconds: float, instants: list[float]) -> int:
    """Return how many instants the fullest half-open window of so many seconds holds."""
    instants = sorted(instants)
    return max((sum(first <= other < first + seconds for other in instants) for first in instants), default=0)


def test_totals_of_several_clients_add_up_by_host_and_keep_what_a_platform_counts() -> None:
    first, second = Metrics(), Metrics()
    first.add(requests=2, opened=1, seconds_slept=0.5)
    first.count("manifests_read")
    second.add(requests=3, waited=1)
    second.count("manifests_read", 2)
    one, other = first.snapshot().of_host("api.example.org"), second.snapshot().of_host("files.example.org")
    total = one + other + other
    assert (total.requests, total.opened, total.waited, total.seconds_slept) == (8, 1, 2, 0.5)
    assert total.counters == {"manifests_read": 5}
    assert {host: traffic.requests for host, traffic in total.hosts.items()} == {
        "api.example.org": 2,
        "files.example.org": 6,
    }
