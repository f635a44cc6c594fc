"""Limits: requests a second and a month, lock-outs, and what an intemperate client is told."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone

import pytest
import requests

from dandi_pipeline_tests.simulators.airtable import UNLIMITED, Clock, Limits, SimulatedAirtable, World

from .laboratory import Client, Laboratory


@pytest.fixture
def airtable(lab: Laboratory) -> Iterator[SimulatedAirtable]:
    """A laboratory that is served with the limits of the real API, its clock held."""
    with SimulatedAirtable(lab.world) as airtable:
        yield airtable


def statuses(client: Client, path: str, times: int) -> list[int]:
    return [client.get(path).status_code for _ in range(times)]


def test_a_base_answers_five_requests_in_any_second(client: Client, lab: Laboratory, path: str) -> None:
    for _ in range(3):
        assert statuses(client, path, 5) == [200] * 5
        lab.world.clock.advance(1)


def test_the_second_slides(client: Client, lab: Laboratory, path: str) -> None:
    assert statuses(client, path, 3) == [200] * 3
    lab.world.clock.advance(0.6)
    assert statuses(client, path, 2) == [200] * 2
    lab.world.clock.advance(0.5)
    assert statuses(client, path, 4) == [200, 200, 200, 429]


def test_a_base_asked_too_fast_is_locked_for_thirty_seconds(client: Client, lab: Laboratory, path: str) -> None:
    assert statuses(client, path, 6)[-1] == 429
    lab.world.clock.advance(29.9)
    assert statuses(client, path, 1) == [429]
    assert client.get(f"meta/bases/{lab.base}/tables").status_code == 429
    lab.world.clock.advance(0.1)
    assert statuses(client, path, 5) == [200] * 5


def test_hammering_can_start_the_lock_out_anew(
    airtable: SimulatedAirtable, client: Client, lab: Laboratory, path: str
) -> None:
    airtable.gate.limits = Limits(restarts=True)
    statuses(client, path, 6)
    lab.world.clock.advance(20)
    assert statuses(client, path, 1) == [429]
    lab.world.clock.advance(20)
    assert statuses(client, path, 1) == [429]
    lab.world.clock.advance(30)
    assert statuses(client, path, 1) == [200]


def test_one_base_locked_leaves_the_others_open(client: Client, lab: Laboratory, path: str) -> None:
    other = lab.world.add_base("Archive")
    table = lab.world.add_table(other, "Old")
    statuses(client, path, 6)
    assert statuses(client, f"{other}/{table}", 1) == [200]
    assert statuses(client, "meta/bases", 1) == [200]


def test_a_refusal_of_rate_promises_no_time_unless_told_to(
    airtable: SimulatedAirtable, client: Client, path: str
) -> None:
    statuses(client, path, 5)
    refused = client.get(path)
    assert "Retry-After" not in refused.headers
    assert refused.json() == {
        "errors": [{"error": "RATE_LIMIT_REACHED", "message": "Rate limit exceeded. Please try again later"}]
    }
    airtable.gate.limits = Limits(retry_after=30)
    assert client.get(path).headers["Retry-After"] == "30"


def test_all_tokens_of_a_user_share_fifty_requests_a_second(
    airtable: SimulatedAirtable, client: Client, lab: Laboratory
) -> None:
    lab.world.add_token("patSecond")
    lab.world.add_token("patStranger", user_id="usrSimulated00003")
    second, stranger = Client(airtable, "patSecond"), Client(airtable, "patStranger")
    assert statuses(client, "meta/bases", 25) + statuses(second, "meta/bases", 25) == [200] * 50
    refused = client.get("meta/whoami")
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "TOO_MANY_REQUESTS")
    assert second.get("meta/whoami").status_code == 429
    assert stranger.get("meta/whoami").status_code == 200
    second.close()
    stranger.close()


def test_limits_can_be_off(airtable: SimulatedAirtable, client: Client, path: str) -> None:
    airtable.gate.limits = UNLIMITED
    assert statuses(client, path, 60) == [200] * 60


def test_a_month_has_so_many_calls_and_then_only_the_schema_is_answered(
    airtable: SimulatedAirtable, client: Client, lab: Laboratory, path: str
) -> None:
    airtable.gate.limits = replace(UNLIMITED, monthly_calls=3)
    assert statuses(client, path, 4) == [200, 200, 200, 429]
    assert client.get(path).json()["error"]["type"] == "PUBLIC_API_BILLING_LIMIT_EXCEEDED"
    assert client.get(f"meta/bases/{lab.base}/tables").status_code == 200
    lab.world.clock.set(datetime(2026, 12, 1, tzinfo=timezone.utc))
    assert statuses(client, path, 1) == [200]


def test_a_spent_month_can_be_answered_by_422_as_intermediaries_do(
    airtable: SimulatedAirtable, client: Client, path: str
) -> None:
    airtable.gate.limits = replace(UNLIMITED, monthly_calls=0, billing_status=422)
    refused = client.get(path)
    assert (refused.status_code, refused.json()["error"]["type"]) == (422, "PUBLIC_API_BILLING_LIMIT_EXCEEDED")


def test_a_spent_month_can_slow_down_instead(
    airtable: SimulatedAirtable, client: Client, lab: Laboratory, path: str
) -> None:
    airtable.gate.limits = Limits(monthly_calls=5, slowed_to=2)
    assert statuses(client, path, 5) == [200] * 5
    lab.world.clock.advance(1)
    assert statuses(client, path, 3) == [200, 200, 429]


def test_refusals_are_counted(airtable: SimulatedAirtable, client: Client, path: str) -> None:
    statuses(client, path, 8)
    counts = client.control("requests").json()
    assert (counts["total"], counts["rate_limited"], counts["refused_for_rate"]) == (8, 3, 3)
    assert (counts["by_kind"]["records"], counts["calls_by_month"]) == (8, {"2026-11": 5})


def test_a_patient_client_sits_out_the_lock_out_on_the_worlds_clock(lab: Laboratory) -> None:
    """Waiting by `clock.advance` is enough, with the clock running as it does outside of these tests."""
    world = World(clock=Clock(lab.world.clock.now()))
    base = world.add_base("Lab notebook")
    path = f"{base}/{world.add_table(base, 'Sessions')}"
    with SimulatedAirtable(world, limits=Limits(per_base=1)) as airtable, requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {airtable.token}"
        answers = []
        for pause in (0, 0, 30, 2):
            world.clock.advance(pause)
            answers.append(session.get(f"{airtable.api_url}/{path}", timeout=20).status_code)
    assert answers == [200, 429, 200, 200]
