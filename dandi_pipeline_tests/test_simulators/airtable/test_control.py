"""The control API and the command: how other processes run a simulated Airtable."""

import signal
import subprocess
import sys

import requests

from dandi_pipeline_tests.simulators.airtable import SimulatedAirtable

from .laboratory import Client, Laboratory

COMMAND = [sys.executable, "-m", "dandi_pipeline_tests.simulators.airtable"]


def operate(client: Client, op: str, **arguments: object) -> object:
    answer = client.control("ops", {"op": op, "arguments": arguments})
    assert answer.status_code == 200, answer.text
    result: object = answer.json()
    return result


def test_another_process_can_change_everything(client: Client, lab: Laboratory) -> None:
    base = operate(client, "add_base", name="Second")
    table = operate(client, "add_table", base_id=base, name="Probes", fields=[{"name": "Length", "type": "number"}])
    record = operate(client, "add_record", table_id=table, cells={"Name": "P1"})
    operate(client, "edit_record", table_id=table, record_id=record, cells={"Length": 3})
    assert client.get(f"{base}/{table}/{record}").json()["fields"] == {"Name": "P1", "Length": 3}
    operate(client, "delete_record", table_id=table, record_id=record)
    assert client.control("snapshot").json() == lab.world.snapshot()


def test_control_refuses_what_the_world_does(client: Client, lab: Laboratory) -> None:
    refused = [
        client.control("ops", {"op": "drop_everything"}),
        client.control("ops", {"op": "add_field", "arguments": {"table_id": lab.sessions, "name": "Trials"}}),
        client.control("ops", {"op": "rename_table", "arguments": {"table_id": "tblNone", "name": "None"}}),
        client.control("ops", {"op": "edit_record", "arguments": {"surprise": 1}}),
        client.control("faults", {"effect": "earthquake"}),
        client.control("limits", {"per_century": 1}),
    ]
    assert {answer.status_code for answer in refused} == {400}
    assert "tblNone" in refused[2].json()["detail"]
    assert client.control("nowhere").status_code == 404


def test_computed_fields_cannot_be_edited_nor_the_primary_one_removed(client: Client, lab: Laboratory) -> None:
    edit = {"table_id": lab.sessions, "record_id": lab.records[0], "cells": {"Score": 1}}
    for op, arguments in (("edit_record", edit), ("remove_field", {"table_id": lab.sessions, "field": "Name"})):
        assert client.control("ops", {"op": op, "arguments": arguments}).status_code == 400


def test_the_clock_is_set_from_outside(client: Client) -> None:
    assert client.control("clock", {"to": "2027-01-01T00:00:00Z", "advance": 60}).json() == "2027-01-01T00:01:00.000Z"


def test_limits_are_set_from_outside(client: Client, path: str) -> None:
    assert client.control("limits", {"per_base": 1}).json()["per_base"] == 1
    assert [client.get(path).status_code for _ in range(2)] == [200, 429]
    client.control("requests/reset", {})
    assert client.get(path).status_code == 200
    assert client.control("requests").json()["total"] == 1


def test_faults_are_set_from_outside(client: Client, path: str) -> None:
    client.control("faults", {"effect": "status", "status": 502, "kind": "records"})
    assert client.get(path).status_code == 502
    assert client.control("faults").json() == {"struck": 1}
    client.control("faults/clear", {})
    assert client.get(path).status_code == 200


def test_iterators_are_lost_from_outside(client: Client, path: str) -> None:
    offset = client.get(path, pageSize=1).json()["offset"]
    client.control("iterators/forget", {})
    assert client.get(path, pageSize=1, offset=offset).status_code == 422


def test_control_is_not_counted(airtable: SimulatedAirtable, client: Client) -> None:
    client.control("snapshot")
    assert airtable.requests.total == 0


def test_the_command_serves_until_it_is_told_to_stop() -> None:
    with subprocess.Popen([*COMMAND, "--tables", "1", "--records", "3"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        api_url, token = process.stdout.readline().strip(), process.stdout.readline().split()[-1]
        answer = requests.get(f"{api_url}/meta/bases", headers={"Authorization": f"Bearer {token}"}, timeout=20)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert [base["name"] for base in answer.json()["bases"]] == ["Lab notebook 1"]


def test_bad_options_end_the_command_with_one_line() -> None:
    ended = subprocess.run([*COMMAND, "--records", "many"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert "'many'" in ended.stderr
