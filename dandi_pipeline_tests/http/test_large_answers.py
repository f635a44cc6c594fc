"""Answers that are much to make or to hold: asked for by parts where that can help, streamed where they are files."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from dandi_pipeline.errors import PlatformFailing, PlatformUnreachable, TransientError, WrongAddress
from dandi_pipeline.http import HttpClient, Limits
from dandi_pipeline.http.client import Overburdened
from dandi_pipeline_tests.http.fake_time import FakeTime
from dandi_pipeline_tests.http.scripted_server import ScriptedServer, Step, answer, dripping, head, raw, reset, silent

LIMITS = Limits(attempts=3, read_timeout=0.2, total_timeout=0.4)
OK = answer({"ok": True})
AT = datetime(2026, 11, 20, 12, 30, 15, 987_654, tzinfo=timezone.utc)


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Is set when the test is over, for servers that keep silent until then."""
    event = threading.Event()
    yield event
    event.set()


def client_of(server: ScriptedServer, time: FakeTime, **options: Any) -> HttpClient:
    url, longest = f"{server.url}/api", lambda low, high: high
    return HttpClient(url, user_agent="tests/1", limits=LIMITS, sleep=time.sleep, uniform=longest, **options)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 524, 529])
def test_what_can_be_divided_is_not_asked_for_in_one_piece_again(status: int) -> None:
    time = FakeTime()
    with ScriptedServer([answer(status=status), OK]) as server, client_of(server, time) as client:
        with pytest.raises(Overburdened, match=str(status)):
            client.get_json("assets", divisible=True)
        assert len(server.requests) == 1
        assert time.sleeps == [1]
        assert client.traffic.retries == 1


def test_a_pause_that_is_asked_for_holds_for_the_parts_too() -> None:
    time = FakeTime()
    paused = answer(status=503, Retry_After="7")
    with ScriptedServer([paused, OK]) as server, client_of(server, time, clock=time.clock) as client:
        with pytest.raises(Overburdened):
            client.get_json("assets", divisible=True)
        client.get_json("half")
        assert sum(time.sleeps) >= 7


def test_silence_and_a_body_that_drips_in_look_like_too_much(over: threading.Event) -> None:
    slow = dripping(head(200, {"Content-Length": "100"}) + b" " * 100, every=0.02, until=over)
    for step in (silent(over), slow):
        with (
            ScriptedServer([step]) as server,
            client_of(server, FakeTime()) as client,
            pytest.raises(Overburdened),
        ):
            client.get_json("assets", divisible=True)


@pytest.mark.parametrize(
    "dropped",
    [
        pytest.param(reset, id="reset"),
        pytest.param(raw(b"", keep=False), id="closed"),
        pytest.param(raw(head(200, {"Content-Length": "100"}) + b"[", keep=False), id="closed within the body"),
        pytest.param(raw(head(200, {"Transfer-Encoding": "chunked"}) + b"1\r\n[\r\n", keep=False), id="within chunks"),
    ],
)
def test_a_dropped_connection_looks_like_too_much(dropped: Step) -> None:
    """As gunicorn's does where nothing is in front of it: a worker that runs out of time or memory is killed."""
    with (
        ScriptedServer([dropped, OK]) as server,
        client_of(server, FakeTime()) as client,
        pytest.raises(Overburdened),
    ):
        client.get_json("assets", divisible=True)


def test_a_connection_that_cannot_be_made_does_not_look_like_too_much() -> None:
    with ScriptedServer([OK]) as server:
        gone = server.url
    with (
        HttpClient(gone, user_agent="tests/1", limits=LIMITS, sleep=FakeTime().sleep) as client,
        pytest.raises(PlatformUnreachable, match="in 3 attempts"),
    ):
        client.get_json("assets", divisible=True)


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(answer(status=429), id="429"),
        pytest.param(answer(status=408), id="408"),
        pytest.param(answer(body=b"<html>"), id="no JSON"),
    ],
)
def test_other_trouble_is_met_by_the_same_request_again(trouble: Step) -> None:
    with ScriptedServer([trouble, OK]) as server, client_of(server, FakeTime()) as client:
        assert client.get_json("assets", divisible=True).payload == {"ok": True}


def test_the_last_attempt_says_that_it_was_the_last() -> None:
    passing = answer(status=429)
    with ScriptedServer([passing, passing, answer(status=503)]) as server, client_of(server, FakeTime()) as client:
        with pytest.raises(PlatformFailing, match="in 3 attempts") as raised:
            client.get_json("assets", divisible=True)
        assert not isinstance(raised.value, Overburdened)


def test_a_file_is_asked_for_only_if_it_is_newer() -> None:
    written = "Fri, 20 Nov 2026 13:00:00 GMT"
    with ScriptedServer([answer([1], Last_Modified=written)]) as server, client_of(server, FakeTime()) as client:
        with client.stream("file", written_after=AT) as download:
            assert download is not None
            assert b"".join(download.pieces) == b"[1]"
            assert download.last_modified == AT.replace(hour=13, minute=0, second=0, microsecond=0)
        assert server.requests[0].headers["if-modified-since"] == "Fri, 20 Nov 2026 12:30:15 GMT"


def test_the_instant_is_spelled_in_universal_time() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=-5)))
    with ScriptedServer([answer([1])]) as server, client_of(server, FakeTime()) as client:
        with client.stream("file", written_after=elsewhere):
            pass
        assert server.requests[0].headers["if-modified-since"] == "Fri, 20 Nov 2026 12:30:15 GMT"


def test_a_file_that_is_not_newer_is_none() -> None:
    not_modified = raw(head(304, {"ETag": '"x"'}))
    with (
        ScriptedServer([not_modified]) as server,
        client_of(server, FakeTime()) as client,
        client.stream("file", written_after=AT) as download,
    ):
        assert download is None


@pytest.mark.parametrize(("status", "error"), [(503, TransientError), (404, WrongAddress)])
def test_a_file_is_tried_once(status: int, error: type[Exception]) -> None:
    with (
        ScriptedServer([answer(status=status), OK]) as server,
        client_of(server, FakeTime()) as client,
        pytest.raises(error),
        client.stream("file", written_after=AT),
    ):
        pytest.fail("there is no file")
    assert len(server.requests) == 1
