"""Errors: who is refused what, in which shape of body, and every way in which an answer can fail to arrive."""

import socket
import time
from itertools import product

import pytest
import requests

from dandi_pipeline_tests.simulators.airtable import UNLIMITED, SimulatedAirtable

from .laboratory import Client, Laboratory, laboratory

LONG_FORMULA = "OR(" + ",".join(["RECORD_ID()='rec00000000000000'"] * 700) + ")"


def refusal(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["type"]


def test_a_request_needs_a_token_that_is_known(airtable: SimulatedAirtable, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer patWrong"}, {"Authorization": f"Token {airtable.token}"}):
        response = requests.get(f"{airtable.api_url}/{path}", headers=headers, timeout=20)
        assert refusal(response) == (401, "AUTHENTICATION_REQUIRED")


@pytest.mark.parametrize(
    ("scope", "needed_by"),
    [("data.records:read", "{base}/{table}"), ("schema.bases:read", "meta/bases/{base}/tables")],
)
def test_a_token_needs_the_scope(airtable: SimulatedAirtable, lab: Laboratory, scope: str, needed_by: str) -> None:
    lab.world.add_token("patNarrow", scopes=["webhook:manage"])
    lab.world.add_token("patWide", scopes=[scope])
    for token, status in (("patNarrow", 403), ("patWide", 200)):
        client = Client(airtable, token)
        assert client.get(needed_by.format(base=lab.base, table=lab.sessions)).status_code == status
        assert client.get("meta/whoami").json()["id"] == "usrSimulated00001"
        client.close()


def test_a_base_taken_off_the_token_is_as_if_there_were_none(client: Client, lab: Laboratory, path: str) -> None:
    lab.world.revoke_base(lab.base)
    expected = (403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND")
    assert refusal(client.get(path)) == expected
    assert refusal(client.get(f"meta/bases/{lab.base}/tables")) == expected
    assert refusal(client.get("appNowhere00000000/tblNowhere00000000")) == expected
    assert client.get("meta/bases").json() == {"bases": []}
    lab.world.grant_base(lab.base)
    assert client.get(path).status_code == 200


def test_a_table_that_is_gone_is_hidden_too(client: Client, lab: Laboratory) -> None:
    lab.world.remove_table(lab.labs)
    assert refusal(client.get(f"{lab.base}/{lab.labs}")) == (403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND")


def test_a_deleted_record_is_missing_everywhere(client: Client, lab: Laboratory, path: str) -> None:
    record = lab.records[0]
    assert client.get(f"{path}/{record}").json()["fields"]["Name"] == "S1"
    lab.world.delete_record(lab.sessions, record)
    gone = client.get(f"{path}/{record}")
    assert (gone.status_code, gone.json()) == (404, {"error": "NOT_FOUND"})
    assert record not in client.rows(path)


def test_what_is_no_record_at_all_is_missing_in_other_words(client: Client, path: str) -> None:
    assert refusal(client.get(f"{path}/nonsense")) == (404, "MODEL_ID_NOT_FOUND")


@pytest.mark.parametrize(
    ("params", "type"),
    [
        ({"fields": ["Nowhere"]}, "UNKNOWN_FIELD_NAME"),
        ({"sort[0][field]": "Nowhere"}, "UNKNOWN_FIELD_NAME"),
        ({"view": "Nowhere"}, "VIEW_NAME_NOT_FOUND"),
        ({"filterByFormula": "{Nowhere}"}, "INVALID_FILTER_BY_FORMULA"),
        ({"offset": "itr/rec"}, "INVALID_OFFSET_VALUE"),
        ({"pageSize": 101}, "INVALID_REQUEST_UNKNOWN"),
        ({"pageSize": 0}, "INVALID_REQUEST_UNKNOWN"),
        ({"maxRecords": "many"}, "INVALID_REQUEST_UNKNOWN"),
        ({"sort[0][field]": "Name", "sort[0][direction]": "up"}, "INVALID_REQUEST_UNKNOWN"),
        ({"sort": "Name"}, "INVALID_REQUEST_UNKNOWN"),
        ({"page_size": 10}, "INVALID_REQUEST_UNKNOWN"),
        ({"recordMetadata": ["likes"]}, "INVALID_REQUEST_UNKNOWN"),
        ({"cellFormat": "string"}, "INVALID_REQUEST_UNKNOWN"),
    ],
)
def test_what_cannot_be_asked_is_refused(client: Client, path: str, params: dict[str, object], type: str) -> None:
    assert refusal(client.get(path, **params)) == (422, type)


@pytest.mark.parametrize(("body", "status"), [(b"{not json", 400), (b"[1]", 422)])
def test_a_body_has_to_be_a_json_object(airtable: SimulatedAirtable, path: str, body: bytes, status: int) -> None:
    headers = {"Authorization": f"Bearer {airtable.token}"}
    response = requests.post(f"{airtable.api_url}/{path}/listRecords", data=body, headers=headers, timeout=20)
    assert response.status_code == status


def test_a_url_beyond_16000_characters_is_rejected_where_a_post_is_not(client: Client, path: str) -> None:
    assert client.get(path, filterByFormula=LONG_FORMULA).status_code == 414
    answer = client.post(f"{path}/listRecords", {"filterByFormula": LONG_FORMULA})
    assert (answer.status_code, answer.json()) == (200, {"records": []})


def test_the_url_may_have_exactly_16000_characters(airtable: SimulatedAirtable, client: Client, path: str) -> None:
    head = f"{airtable.api_url}/{path}?filterByFormula="
    fits = "1" * (16_000 - len(head))
    assert client.get(path, filterByFormula=fits).status_code == 200
    assert client.get(path, filterByFormula=fits + "1").status_code == 414


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ("word", {"error": "SERVER_ERROR"}),
        ("typed", {"error": {"type": "SERVER_ERROR"}}),
        ("worded", {"error": {"type": "SERVER_ERROR", "message": "Try later"}}),
        ("listed", {"errors": [{"error": "SERVER_ERROR", "message": "Try later"}]}),
    ],
)
def test_errors_come_in_four_shapes(
    airtable: SimulatedAirtable, client: Client, path: str, shape: str, body: object
) -> None:
    airtable.faults.add("status", status=500, shape=shape, message="Try later", times=1)
    failed = client.get(path)
    assert (failed.status_code, failed.json()) == (500, body)
    assert client.get(path).status_code == 200


@pytest.mark.parametrize(("status", "type"), [(502, "SERVER_ERROR"), (503, "RETRIABLE_ERROR")])
def test_the_server_can_be_out_of_order(
    airtable: SimulatedAirtable, client: Client, path: str, status: int, type: str
) -> None:
    airtable.faults.add("status", status=status, retry_after=7, kind="records", nth=2)
    assert client.get(path).status_code == 200
    failed = client.get(path)
    assert (refusal(failed), failed.headers["Retry-After"]) == ((status, type), "7")
    assert client.get(path).status_code == 200


def test_an_iterator_can_be_lost_by_a_fault(airtable: SimulatedAirtable, client: Client, path: str) -> None:
    lost = "LIST_RECORDS_ITERATOR_NOT_AVAILABLE"
    airtable.faults.add("status", status=422, type=lost, shape="typed", path="offset=", times=1)
    offset = client.get(path, pageSize=2).json()["offset"]
    assert refusal(client.get(path, pageSize=2, offset=offset)) == (422, lost)
    assert client.get(path, pageSize=2, offset=offset).status_code == 200


def test_an_answer_can_come_too_late(airtable: SimulatedAirtable, path: str) -> None:
    airtable.faults.add("slow_start", seconds=30, times=1)
    headers = {"Authorization": f"Bearer {airtable.token}"}
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{airtable.api_url}/{path}", headers=headers, timeout=0.2)


def test_an_answer_can_drip_in(airtable: SimulatedAirtable, client: Client, path: str) -> None:
    airtable.faults.add("slow_body", seconds=0.2, times=1)
    started = time.monotonic()
    assert len(client.get(path).json()["records"]) == 5
    assert time.monotonic() - started >= 0.2


def test_a_connection_can_be_reset(airtable: SimulatedAirtable, client: Client, path: str) -> None:
    airtable.faults.add("reset", times=1)
    with pytest.raises(requests.ConnectionError):
        client.get(path)
    assert client.get(path).status_code == 200
    assert [exchange.status for exchange in airtable.requests.exchanges] == [0, 200]


def test_a_body_can_be_cut_short_of_the_length_announced(airtable: SimulatedAirtable, path: str) -> None:
    airtable.faults.add("cut_body", at=0.5, times=1)
    host, port = airtable.api_url.removesuffix("/v0").removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(f"GET /v0/{path} HTTP/1.1\r\nAuthorization: Bearer {airtable.token}\r\n\r\n".encode())
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    announced = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
    assert 0 < len(body) == announced // 2


def test_the_same_seed_has_the_same_requests_fail() -> None:
    def failing(seed: int) -> list[int]:
        lab = laboratory()
        with SimulatedAirtable(lab.world, limits=UNLIMITED, seed=seed) as airtable:
            airtable.faults.add("status", status=503, probability=0.5)
            client = Client(airtable)
            answers = [client.get("meta/whoami").status_code for _ in range(20)]
            client.close()
            return answers

    first, again, other = failing(1), failing(1), failing(2)
    assert first == again != other
    assert set(first) == {200, 503}


@pytest.mark.parametrize(("method", "where"), [*product(("POST", "DELETE"), ("", "/rec00000000000000"))])
def test_nothing_writes(airtable: SimulatedAirtable, path: str, method: str, where: str) -> None:
    headers = {"Authorization": f"Bearer {airtable.token}"}
    response = requests.request(method, f"{airtable.api_url}/{path}{where}", headers=headers, json={}, timeout=20)
    assert (response.status_code, response.json()) == (404, {"error": "NOT_FOUND"})
