"""Budgets are fixed windows; who is over one is told, twice, how long to wait."""

from collections.abc import Iterator

import pytest

from dandi_pipeline_tests.simulators.notion import Limits, SimulatedNotion, World
from dandi_pipeline_tests.test_simulators.notion.asking import Asker


class Seconds:
    """A clock for the limits that the test moves."""

    def __init__(self) -> None:
        self.passed = 1000.0

    def __call__(self) -> float:
        return self.passed


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def notion(world: World, seconds: Seconds) -> Iterator[SimulatedNotion]:
    with SimulatedNotion(world, limits=Limits(now=seconds)) as notion:
        yield notion


def _statuses(asker: Asker, count: int) -> list[int]:
    return [asker.get("/users/me").status_code for _ in range(count)]


def test_180_requests_fit_in_a_minute_at_any_pace_and_the_next_one_waits_for_the_window(
    notion: SimulatedNotion, asker: Asker, seconds: Seconds
) -> None:
    assert set(_statuses(asker, 100)) == {200}
    seconds.passed += 42.5
    assert set(_statuses(asker, 80)) == {200}
    refused = asker.get("/users/me")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused.headers["Retry-After"] == "18"
    assert refused.json()["additional_data"] == {
        "rate_limit_reason": "public_api_request_rate_limit",
        "retry_after": "18",
    }
    assert notion.requests.counts()["rate_limited"] == 1
    seconds.passed += 17.4
    assert asker.get("/users/me").headers["Retry-After"] == "1"
    seconds.passed += 0.1
    assert asker.get("/users/me").status_code == 200


def test_each_connection_has_its_own_budget(
    world: World, notion: SimulatedNotion, asker: Asker, seconds: Seconds
) -> None:
    world.connect("Other", token="ntn_other")
    notion.limiter.set(Limits(requests=2, now=seconds))
    with Asker(notion, token="ntn_other") as other:
        assert _statuses(asker, 3) == [200, 200, 429]
        assert _statuses(other, 3) == [200, 200, 429]


def test_the_workspaces_budget_is_shared_and_may_ask_for_more_than_a_minute(
    world: World, notion: SimulatedNotion, asker: Asker, seconds: Seconds
) -> None:
    world.connect("Other", token="ntn_other")
    notion.limiter.set(Limits(workspace_requests=3, workspace_window=90, now=seconds))
    with Asker(notion, token="ntn_other") as other:
        assert _statuses(other, 2) == [200, 200]
    assert _statuses(asker, 1) == [200]
    refused = asker.get("/users/me")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "90")
    assert refused.json()["additional_data"]["rate_limit_reason"] == "public_api_space_request_rate_limit"


def test_a_blocked_connection_stays_blocked_whatever_it_waits(
    notion: SimulatedNotion, asker: Asker, seconds: Seconds
) -> None:
    notion.limiter.block(notion.token)
    for _ in range(2):
        refused = asker.get("/users/me")
        assert refused.status_code == 429
        assert refused.json()["additional_data"]["rate_limit_reason"] == "public_api_request_blocked"
        seconds.passed += 3600
    notion.limiter.unblock(notion.token)
    assert asker.get("/users/me").status_code == 200


def test_limits_can_be_off(notion: SimulatedNotion, asker: Asker, seconds: Seconds) -> None:
    notion.limiter.set(Limits(requests=None, now=seconds))
    assert set(_statuses(asker, 181)) == {200}
