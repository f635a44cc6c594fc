"""Another process can change the workspace, break it and read its counters; none of that is counted."""

import subprocess
import sys
from typing import Any

import pytest
import requests

from dandi_pipeline_tests.simulators.notion import TOKEN, SimulatedNotion, World
from dandi_pipeline_tests.test_simulators.notion.asking import Asker


def _operate(asker: Asker, operation: str, **arguments: Any) -> Any:
    return asker.control("ops", {"op": operation, "arguments": arguments})


def test_operations_are_done_and_answer_the_object_they_made(world: World, asker: Asker) -> None:
    source = _operate(asker, "add_data_source", title="Tasks", properties={"Estimate": "number"})
    page = _operate(asker, "add_page", data_source_id=source["id"], properties={"Name": "Bug bash", "Estimate": 2})
    assert page == asker.shown(f"/pages/{page['id']}")
    renamed = _operate(asker, "rename_property", data_source_id=source["id"], name="Estimate", new_name="Hours")
    assert renamed == {"id": page["properties"]["Estimate"]["id"], "name": "Hours", "type": "number"}
    assert _operate(asker, "connect", name="Other", token="ntn_other") == {"token": "ntn_other"}
    assert _operate(asker, "trash_page", page_id=page["id"])["in_trash"] is True


def test_what_is_refused_says_why(asker: Asker) -> None:
    assert asker.control("ops", {"op": "snapshot"})["detail"] == "no operation is called 'snapshot'"
    assert "unexpected keyword" in _operate(asker, "add_database", title="Tasks", wings=2)["detail"]
    assert "earthquake" in asker.control("faults", {"effect": "earthquake"})["detail"]
    assert "sideways" in asker.control("behaviour", {"cursors": "sideways"})["detail"]
    assert "no control" in asker.control("nothing")["detail"]


def test_the_clock_can_be_set_and_moved(world: World, asker: Asker) -> None:
    asker.control("clock", {"set": "2031-05-06T07:08:09Z", "advance": 60})
    page = world.add_page(world.add_data_source("Tasks").id, {"Name": "Bug bash"}).id
    assert asker.get(f"/pages/{page}").json()["created_time"] == "2031-05-06T07:09:00.000Z"


def test_counters_are_exact_and_know_the_429s(asker: Asker) -> None:
    asker.control("limits", {"requests": 2})
    statuses = [asker.get(path).status_code for path in ("/users/me", "/nowhere", "/users/me")]
    assert statuses == [200, 400, 429]
    counts = asker.control("requests")
    assert (counts["total"], counts["rate_limited"]) == (3, 1)
    assert {kind: count for kind, count in counts["by_kind"].items() if count} == {"me": 2, "unknown": 1}
    assert counts["by_status"] == {"200": 1, "400": 1, "429": 1}
    asker.control("requests/reset", {})
    assert asker.control("requests")["total"] == 0


def test_faults_limits_blocks_and_behaviour_can_be_set_from_outside(
    notion: SimulatedNotion, world: World, asker: Asker
) -> None:
    asker.control("faults", {"effect": "status", "status": 502})
    assert asker.get("/users/me").status_code == 502
    assert asker.control("faults")["struck"] == 1
    asker.control("faults/clear", {})
    asker.control("blocked", {"blocked": True})
    assert asker.get("/users/me").status_code == 429
    asker.control("blocked", {"blocked": False})
    source = world.add_data_source("Tasks").id
    for number in range(4):
        world.add_page(source, {"Name": str(number)})
    asker.control("behaviour", {"row_cap": 3})
    assert len(asker.query(source)["results"]) == 3
    cursor = asker.query(source, page_size=1)["next_cursor"]
    asker.control("cursors/expire", {})
    assert asker.post(f"/data_sources/{source}/query", {"page_size": 1, "start_cursor": cursor}).status_code == 400


def test_the_snapshot_is_served_for_any_token_and_version(world: World, asker: Asker) -> None:
    source = world.add_data_source("Tasks").id
    world.connect("Other", token="ntn_other")
    world.unshare(source, token="ntn_other")
    assert asker.control("snapshot") == world.snapshot()
    assert asker.control("snapshot?token=ntn_other") == {}
    assert asker.control("snapshot?version=2025-09-03")[source]["data_source"]["archived"] is False


def test_the_command_prints_its_url_and_serves_until_it_is_told_to_stop() -> None:
    command = [sys.executable, "-m", "dandi_pipeline_tests.simulators.notion", "--sources", "2", "--pages", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        headers = {"Authorization": f"Bearer {TOKEN}", "Notion-Version": "2026-03-11"}
        me = requests.get(f"{url}/users/me", headers=headers, timeout=30)
        snapshot = requests.get(f"{url.removesuffix('/v1')}/control/snapshot", timeout=30).json()
        process.terminate()
        assert process.wait(timeout=30) == 0
    assert me.json()["type"] == "bot"
    assert [len(source["pages"]) for source in snapshot.values()] == [3, 3]


@pytest.mark.parametrize("options", [["--pages", "many"], ["--port", "99999"], ["--wings"]])
def test_the_command_refuses_bad_options_in_one_line(options: list[str]) -> None:
    command = [sys.executable, "-m", "dandi_pipeline_tests.simulators.notion", *options]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert len(finished.stderr.splitlines()) == 1
