"""The service fails as Notion fails, where and as often as it is told to, the same way for the same seed."""

import pytest
import requests

from dandi_pipeline_tests.simulators.notion import UNLIMITED, SimulatedNotion, World, generated_world
from dandi_pipeline_tests.test_simulators.notion.asking import Asker


@pytest.fixture
def tasks(world: World) -> str:
    source = world.add_data_source("Tasks")
    for number in range(60):
        world.add_page(source.id, {"Name": str(number)})
    return source.id


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (409, "conflict_error"),
        (500, "internal_server_error"),
        (502, "bad_gateway"),
        (503, "service_unavailable"),
        (504, "gateway_timeout"),
        (529, "service_overload"),
    ],
)
def test_a_fault_is_an_error_of_the_usual_shape_for_as_often_as_asked(
    notion: SimulatedNotion, asker: Asker, status: int, code: str
) -> None:
    notion.faults.add("status", status=status, times=1)
    failed, fine = asker.get("/users/me"), asker.get("/users/me")
    assert (failed.status_code, failed.json()["status"], failed.json()["code"]) == (status, status, code)
    assert fine.status_code == 200


def test_an_overloaded_service_says_when_to_come_back(notion: SimulatedNotion, asker: Asker) -> None:
    notion.faults.add("status", status=529, retry_after=7)
    failed = asker.get("/users/me")
    assert failed.headers["Retry-After"] == failed.json()["additional_data"]["retry_after"] == "7"


def test_a_rate_limit_can_have_any_reason(notion: SimulatedNotion, asker: Asker) -> None:
    notion.faults.add("status", status=429, retry_after=3, reason="public_api_endpoint_rate_limit", kind="search")
    assert asker.get("/users/me").status_code == 200
    told = asker.post("/search", {}).json()["additional_data"]
    assert told == {"rate_limit_reason": "public_api_endpoint_rate_limit", "retry_after": "3"}


def test_an_unavailable_query_gives_guidance(notion: SimulatedNotion, asker: Asker, tasks: str) -> None:
    notion.faults.add("status", status=503, kind="query")
    told = asker.post(f"/data_sources/{tasks}/query", {}).json()["additional_data"]
    assert told["endpoint_name"] == "public_queryDataSource"
    assert "Reduce page_size" in told["retry_guidance"]


def test_large_pages_time_out_and_smaller_ones_do_not(notion: SimulatedNotion, asker: Asker, tasks: str) -> None:
    notion.behaviour.slow_above = 25
    statuses = [asker.post(f"/data_sources/{tasks}/query", {"page_size": size}).status_code for size in (100, 50, 25)]
    assert statuses == [504, 504, 200]
    assert asker.post(f"/data_sources/{tasks}/query", {}).json()["code"] == "gateway_timeout"


def test_a_connection_is_reset(notion: SimulatedNotion, asker: Asker) -> None:
    notion.faults.add("reset", times=1)
    with pytest.raises(requests.ConnectionError):
        asker.get("/users/me")
    assert asker.get("/users/me").status_code == 200


def test_a_body_ends_too_early(notion: SimulatedNotion, asker: Asker, tasks: str) -> None:
    notion.faults.add("cut_body", kind="query", times=1)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        asker.query(tasks)
    assert len(asker.query(tasks)["results"]) == 60


def test_chance_picks_the_same_requests_for_the_same_seed(world: World) -> None:
    def failures(seed: int) -> list[int]:
        with SimulatedNotion(world, limits=UNLIMITED, seed=seed) as notion, Asker(notion) as asker:
            notion.faults.add("status", status=500, probability=0.5)
            return [asker.get("/users/me").status_code for _ in range(20)]

    assert failures(1) == failures(1)
    assert {*failures(1)} == {200, 500}
    assert failures(1) != failures(2)


def test_a_fault_that_does_not_exist_is_refused(notion: SimulatedNotion) -> None:
    for name in ("earthquake", "wrong_count"):
        with pytest.raises(ValueError, match=name):
            notion.faults.add(name)


def test_the_same_seed_makes_the_same_world() -> None:
    assert generated_world(pages=3, seed=5).snapshot() == generated_world(pages=3, seed=5).snapshot()
    assert generated_world(pages=3, seed=5).snapshot() != generated_world(pages=3, seed=6).snapshot()
