"""The client brings back whole answers, retries what may pass, and words every failure."""

import gzip
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from dandi_pipeline.errors import (
    AccessRefused,
    ConfigurationError,
    ContractError,
    CredentialRejected,
    PipelineError,
    PlatformFailing,
    PlatformUnreachable,
    ResourceMissing,
    WrongAddress,
)
from dandi_pipeline.http import ErrorAnswer, HttpClient, Limits, LocalBudgets, RateLimit
from dandi_pipeline_tests.http.fake_time import FakeTime
from dandi_pipeline_tests.http.scripted_server import ScriptedServer, Step, answer, dripping, head, raw, reset, silent

SECRET = "0123456789abcdef0123456789abcdef01234567"
OK = answer({"ok": True})


class Bench:
    """Puts servers and clients up and takes them down again."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.time = FakeTime()

    def server(self, *steps: Step) -> ScriptedServer:
        return self._stack.enter_context(ScriptedServer(steps))

    def client(self, server: ScriptedServer | str, **options: Any) -> HttpClient:
        url = server if isinstance(server, str) else f"{server.url}/api"
        defaults: dict[str, Any] = {"sleep": self.time.sleep, "uniform": lambda low, high: high}
        client = HttpClient(url, user_agent="tests/1", **(defaults | options))
        return self._stack.enter_context(client)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(stack)


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class TestAnswers:
    def test_an_answer_says_what_came_how_much_and_when(self, bench: Bench) -> None:
        payload = {"results": ["é" * 500]}
        body = json.dumps(payload).encode()
        date = "Sun, 22 Nov 2026 10:00:00 GMT"
        server = bench.server(
            answer(payload, zipped=True, Date=date, ETag='"x"', Link='</x?page=2>; rel="next"', X_Other="dropped")
        )
        client = bench.client(server)

        got = client.get_json("dandisets/", {"page_size": 1000, "embargoed": True, "search": None})

        assert got.payload == payload
        assert got.received_bytes == len(gzip.compress(body)) < len(body)
        assert got.server_date == datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
        assert got.headers == {"ETag": '"x"', "Link": '</x?page=2>; rel="next"'}
        assert got.elapsed > 0
        assert server.targets == ["/api/dandisets/?page_size=1000&embargoed=true"]
        assert server.requests[0].headers["accept-encoding"] == "gzip"
        assert server.requests[0].headers["user-agent"] == "tests/1"

    def test_a_chunked_answer_is_read_whole(self, bench: Bench) -> None:
        body = b'{"a": "' + b"x" * 200_000 + b'"}'
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:]))
        server = bench.server(raw(head(200, {"Transfer-Encoding": "chunked"}) + chunks + b"0\r\n\r\n"))
        assert len(bench.client(server).get_json("x").payload["a"]) == 200_000

    def test_an_absolute_link_on_the_same_host_keeps_its_query(self, bench: Bench) -> None:
        server = bench.server(OK)
        bench.client(server).get_json(f"{server.url}/api/dandisets/?page=2&page_size=1000")
        assert server.targets == ["/api/dandisets/?page=2&page_size=1000"]

    def test_a_query_is_posted_as_json_and_posted_again_after_a_failure(self, bench: Bench) -> None:
        server = bench.server(answer(status=503), OK)
        bench.client(server).post_json("query", {"page_size": 100})
        assert [(r.method, r.body) for r in server.requests] == [("POST", b'{"page_size":100}')] * 2
        assert server.requests[0].headers["content-type"] == "application/json"

    def test_no_cookie_comes_back(self, bench: Bench) -> None:
        server = bench.server(answer({}, Set_Cookie="session=1; Path=/"), OK)
        client = bench.client(server)
        client.get_json("a")
        client.get_json("b")
        assert "cookie" not in server.requests[1].headers

    def test_a_password_file_does_not_replace_the_credential(
        self, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login someone password else\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        server = bench.server(OK)
        bench.client(server, authorization=f"token {SECRET}").get_json("a")
        bench.client(server).get_json("b")
        assert server.requests[0].headers["authorization"] == f"token {SECRET}"
        assert "authorization" not in server.requests[1].headers


BODY = json.dumps({"results": ["x" * 5000]}).encode()
ZIPPED = gzip.compress(BODY)
PLAIN = {"Content-Length": str(len(BODY))}

PASSING = (408, 425, 429, 500, 502, 503, 504, 507, 508, *range(520, 531), 598, 599)

BROKEN: dict[str, Step] = {
    **{str(status): answer(body=b"<html>not now</html>", status=status) for status in PASSING},
    "body cut short": raw(head(200, PLAIN) + BODY[:100], keep=False),
    "no body at all": raw(head(200, PLAIN), keep=False),
    "chunk cut short": raw(head(200, {"Transfer-Encoding": "chunked"}) + b"ff\r\n{", keep=False),
    "last chunk missing": raw(head(200, {"Transfer-Encoding": "chunked"}) + b"2\r\n{}\r\n", keep=False),
    "gzip cut short": answer(body=ZIPPED[:-20], Content_Encoding="gzip"),
    "gzip without its end": answer(body=ZIPPED[:-8], Content_Encoding="gzip"),
    "gzip damaged": answer(body=ZIPPED[:-8] + b"\0" * 8, Content_Encoding="gzip"),
    "not gzip at all": answer(body=BODY, Content_Encoding="gzip"),
    "half of a reset": lambda connection: raw(head(200, PLAIN) + BODY[:9])(connection) and reset(connection),
    "HTML with a 200": answer(body=b"<html>Be right back</html>", Content_Type="text/html"),
    "nothing with a 200": answer(body=b""),
    "half of some JSON": raw(head(200, {}) + BODY[:-3], keep=False),
}
UNANSWERED: dict[str, Step] = {
    "reset": reset,
    "closed without a word": raw(b"", keep=False),
    "no HTTP": raw(b"220 mail ready\r\n\r\n", keep=False),
}


class TestRetries:
    @pytest.mark.parametrize("step", (BROKEN | UNANSWERED).values(), ids=(BROKEN | UNANSWERED).keys())
    def test_what_may_pass_is_asked_again(self, bench: Bench, step: Step) -> None:
        server = bench.server(step, OK)
        client = bench.client(server)
        assert client.get_json("x").payload == {"ok": True}
        assert client.metrics.snapshot().retries == 1
        assert len(server.requests) == 2

    @pytest.mark.parametrize("step", BROKEN.values(), ids=BROKEN.keys())
    def test_useless_answers_end_as_a_failing_platform(self, bench: Bench, step: Step) -> None:
        server = bench.server(step)
        with pytest.raises(PlatformFailing, match=r"/api/x: no usable answer in 3 attempts .* later$") as e:
            bench.client(server, limits=Limits(attempts=3)).get_json("x")
        assert len(server.requests) == 3
        assert "\n" not in str(e.value)

    @pytest.mark.parametrize("step", UNANSWERED.values(), ids=UNANSWERED.keys())
    def test_no_answer_ends_as_an_unreachable_platform(self, bench: Bench, step: Step) -> None:
        server = bench.server(step)
        with pytest.raises(PlatformUnreachable, match="no answer in 2 attempts"):
            bench.client(server, limits=Limits(attempts=2)).get_json("x")
        assert len(server.requests) == 2

    def test_one_answer_among_failures_means_that_the_platform_is_there(self, bench: Bench) -> None:
        server = bench.server(answer(status=503), reset)
        with pytest.raises(PlatformFailing):
            bench.client(server, limits=Limits(attempts=2)).get_json("x")

    def test_a_refused_connection_and_an_unknown_host_are_unreachable(self, bench: Bench) -> None:
        port = unused_port()
        with pytest.raises(PlatformUnreachable, match="Connection refused"):
            bench.client(f"http://127.0.0.1:{port}", limits=Limits(attempts=2)).get_json("x")
        with pytest.raises(PlatformUnreachable, match=r"http://nowhere\.invalid/x: no answer in 1 attempts"):
            bench.client("http://nowhere.invalid", limits=Limits(attempts=1)).get_json("x")

    def test_silence_times_out(self, bench: Bench) -> None:
        until = threading.Event()
        server = bench.server(silent(until))
        limits = Limits(attempts=2, read_timeout=0.1)
        try:
            with pytest.raises(PlatformUnreachable, match=r"silent for 0\.1 s"):
                bench.client(server, limits=limits).get_json("x")
        finally:
            until.set()
        assert len(server.requests) == 2

    def test_silence_within_a_body_is_an_answer_that_failed(self, bench: Bench) -> None:
        until = threading.Event()
        stuck = silent(until)
        server = bench.server(lambda c: raw(head(200, PLAIN) + b"{")(c) and stuck(c))
        limits = Limits(attempts=1, read_timeout=0.1)
        try:
            with pytest.raises(PlatformFailing, match=r"the body broke off \(silent for 0\.1 s\)"):
                bench.client(server, limits=limits).get_json("x")
        finally:
            until.set()

    def test_a_body_that_drips_in_ends_at_the_total_timeout(self, bench: Bench) -> None:
        until = threading.Event()
        server = bench.server(dripping(head(200, PLAIN) + BODY, every=0.005, until=until))
        limits = Limits(attempts=1, read_timeout=5, total_timeout=0.6)
        started = time.monotonic()
        try:
            with pytest.raises(PlatformFailing, match=r"longer than 0\.6 s"):
                bench.client(server, limits=limits).get_json("x")
        finally:
            until.set()
        assert 0.6 <= time.monotonic() - started < 3

    def test_waits_double_and_stay_below_their_ceiling(self, bench: Bench) -> None:
        server = bench.server(answer(status=503))
        limits = Limits(attempts=6, first_backoff=1, longest_backoff=5)
        with pytest.raises(PlatformFailing):
            bench.client(server, limits=limits).get_json("x")
        assert bench.time.sleeps == [1, 2, 4, 5, 5]

    def test_waits_are_drawn_from_nought_to_the_ceiling(self, bench: Bench) -> None:
        drawn: list[tuple[float, float]] = []

        def uniform(low: float, high: float) -> float:
            drawn.append((low, high))
            return low

        bench.client(bench.server(answer(status=503), reset, OK), uniform=uniform).get_json("x")
        assert drawn == [(0, 1), (0, 2)]


class TestRetryAfter:
    def patient(self, bench: Bench, *steps: Step, **options: Any) -> HttpClient:
        options = {"clock": bench.time.clock, "uniform": lambda low, high: 0.0} | options
        return bench.client(bench.server(*steps), **options)

    def test_seconds_are_waited(self, bench: Bench) -> None:
        self.patient(bench, answer(status=429, Retry_After="17"), OK).get_json("x")
        assert sum(bench.time.sleeps) == 17

    def test_a_date_counts_from_the_answers_own_date(self, bench: Bench) -> None:
        date, later = "Fri, 01 Jan 2010 00:00:00 GMT", "Fri, 01 Jan 2010 00:02:00 GMT"
        self.patient(bench, answer(status=503, Date=date, Retry_After=later), OK).get_json("x")
        assert sum(bench.time.sleeps) == 120

    @pytest.mark.parametrize("value", ["soon", "-5", "", "Fri, 99 Jan 2010 00:00:00 GMT"])
    def test_an_illegible_one_is_as_none(self, bench: Bench, value: str) -> None:
        self.patient(bench, answer(status=429, Retry_After=value), OK).get_json("x")
        assert sum(bench.time.sleeps) == 0

    def test_a_date_that_has_passed_is_no_wait(self, bench: Bench) -> None:
        past = "Fri, 01 Jan 2010 00:00:00 GMT"
        self.patient(bench, answer(status=429, Retry_After=past), OK).get_json("x")
        assert sum(bench.time.sleeps) == 0

    def test_too_long_a_wait_is_an_error_at_once(self, bench: Bench) -> None:
        client = self.patient(bench, answer(status=429, Retry_After="3600"))
        with pytest.raises(PlatformFailing, match="asks to wait 3600 s, more than the 300 s"):
            client.get_json("x")
        assert bench.time.sleeps == []
        assert client.metrics.snapshot().requests == 1

    def test_exactly_the_longest_wait_is_waited(self, bench: Bench) -> None:
        self.patient(bench, answer(status=429, Retry_After="300"), OK).get_json("x")
        assert sum(bench.time.sleeps) == 300

    def test_a_404_that_is_no_json_object_says_nothing_of_the_resource(self, bench: Bench) -> None:
        for body in (b"<h1>Not Found</h1>", b"", b'"Not found"', b"[]"):
            server = bench.server(answer(status=404, body=body))
            with pytest.raises(WrongAddress, match=r"404 Not Found.*check the address.*nothing was deleted"):
                bench.client(server).get_json("x")
            assert len(server.requests) == 1

    def test_the_last_attempts_pause_holds_for_the_others(self, bench: Bench) -> None:
        budget = LocalBudgets(sleep=bench.time.sleep, clock=bench.time.clock).budget()
        limits = Limits(attempts=1)
        refused = self.patient(bench, answer(status=429, Retry_After="9"), budget=budget, limits=limits)
        with pytest.raises(PlatformFailing):
            refused.get_json("x")
        self.patient(bench, OK, budget=budget).get_json("y")
        assert sum(bench.time.sleeps) == 9

    def test_a_429_without_one_may_have_a_pause_of_its_own(self, bench: Bench) -> None:
        limits = Limits(throttle_pause=30)
        self.patient(bench, answer(status=429), answer(status=503), OK, limits=limits).get_json("x")
        assert sum(bench.time.sleeps) == 30

    def test_every_thread_waits(self, bench: Bench) -> None:
        server = bench.server(answer(status=429, Retry_After="1"), OK)
        client = bench.client(server, sleep=time.sleep)
        with ThreadPoolExecutor(4) as threads:
            first = threads.submit(client.get_json, "first")
            while client.metrics.snapshot().throttled == 0 and not first.done():
                time.sleep(0.001)
            started = time.monotonic()
            for later in [threads.submit(client.get_json, "later") for _ in range(3)]:
                later.result()
                assert time.monotonic() - started > 0.9
            first.result()


class TestRefusals:
    def test_a_bad_request_is_quoted_in_one_short_printable_line(self, bench: Bench) -> None:
        body = b'{"detail":\n "bad\x1b[31m \xe2\x80\xae order"}' + b"z" * 100_000
        server = bench.server(answer(body=body, status=400))
        with pytest.raises(ContractError, match=r'api/x.*400 Bad Request: \{"detail": "bad \[31m order') as e:
            bench.client(server).get_json("x")
        assert str(e.value).isprintable()
        assert len(str(e.value)) < 400
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        ("status", "authorization", "error"),
        [
            (401, f"token {SECRET}", CredentialRejected),
            (401, None, AccessRefused),
            (403, f"token {SECRET}", AccessRefused),
            (404, None, ResourceMissing),
            (422, None, ContractError),
            (304, None, ContractError),
            (501, None, ContractError),
            (505, None, ContractError),
            (511, None, ContractError),
        ],
    )
    def test_each_status_has_its_error_and_is_asked_once(
        self, bench: Bench, status: int, authorization: str | None, error: type[PipelineError]
    ) -> None:
        server = bench.server(answer({"detail": "no"}, status=status))
        with pytest.raises(error, match="/api/x") as e:
            bench.client(server, authorization=authorization).get_json("x")
        assert type(e.value) is error
        assert len(server.requests) == 1

    def test_a_platform_may_give_a_status_its_own_meaning(self, bench: Bench) -> None:
        def refusal(told: ErrorAnswer) -> PipelineError | None:
            if told.status == 429 and b"BILLING" in told.body:
                return ConfigurationError(f"{told.where}: the month's calls are used up")
            return None

        server = bench.server(answer(status=429), answer({"type": "BILLING"}, status=429))
        with pytest.raises(ConfigurationError, match="used up"):
            bench.client(server, refusal=refusal).get_json("x")
        assert len(server.requests) == 2

    def test_an_encoding_that_was_not_asked_for_is_named(self, bench: Bench) -> None:
        server = bench.server(answer({}, Content_Encoding="br"))
        with pytest.raises(ContractError, match="compressed as 'br'"):
            bench.client(server).get_json("x")


class TestStayingOnOneHost:
    def test_a_redirect_on_the_same_host_is_followed(self, bench: Bench) -> None:
        server = bench.server(answer(status=301, Location="/api/dandisets/"), OK)
        client = bench.client(server, authorization=f"token {SECRET}")
        assert client.get_json("dandisets").payload == {"ok": True}
        assert server.targets == ["/api/dandisets", "/api/dandisets/"]
        assert server.requests[1].headers["authorization"] == f"token {SECRET}"
        assert client.metrics.snapshot().requests == 2

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_a_redirect_elsewhere_is_refused_and_nothing_is_sent_there(self, bench: Bench, status: int) -> None:
        elsewhere = bench.server(OK)
        server = bench.server(answer(status=status, Location=f"{elsewhere.url}/api/x"))
        with pytest.raises(ContractError, match=r"redirect leads to .* no key was sent"):
            bench.client(server, authorization=f"token {SECRET}").get_json("x")
        assert elsewhere.requests == []

    @pytest.mark.parametrize("location", ["", "http://[", "//[::1", "ftp://127.0.0.1/"])
    def test_a_redirect_to_nowhere_is_refused(self, bench: Bench, location: str) -> None:
        with pytest.raises(ContractError, match="redirect"):
            bench.client(bench.server(answer(status=302, Location=location))).get_json("x")

    def test_redirects_in_a_circle_end(self, bench: Bench) -> None:
        server = bench.server(answer(status=302, Location="/api/x"))
        with pytest.raises(ContractError, match="more than 5 times"):
            bench.client(server).get_json("x")
        assert len(server.requests) == 6

    def test_a_query_is_never_redirected(self, bench: Bench) -> None:
        server = bench.server(answer(status=307, Location="/api/y"))
        with pytest.raises(ContractError, match="307"):
            bench.client(server).post_json("x", {})
        assert server.targets == ["/api/x"]

    def test_a_link_to_another_host_is_refused(self, bench: Bench) -> None:
        elsewhere = bench.server(OK)
        server = bench.server(OK)
        client = bench.client(server, authorization=f"token {SECRET}")
        port = server.url.rpartition(":")[2]
        for link in (
            f"{elsewhere.url}/api/x",
            f"https://127.0.0.1:{port}/api/x",
            f"http://user@127.0.0.1:{port}/api/x",
            f"http://127.0.0.1:{port}\\@{elsewhere.url[7:]}/api/x",
            "http://127.0.0.1:notaport/",
            "://",
        ):
            with pytest.raises(ContractError, match="a link leads to"):
                client.get_json(link)
        assert elsewhere.requests == server.requests == []

    def test_the_usual_port_may_be_spelled_out(self, bench: Bench) -> None:
        client = bench.client("https://api.example.org/api")
        link = "https://API.example.org:443/api/?page=2"
        assert client.base_url.resolve(link) == link

    @pytest.mark.parametrize(
        "url", ["", "api.example.org", "ftp://a.org", "https://", "https://me:hunter2@a.org", "https://a:x"]
    )
    def test_an_address_that_is_none_is_a_setting_to_fix(self, bench: Bench, url: str) -> None:
        with pytest.raises(ConfigurationError, match="not an API's address") as e:
            bench.client(url)
        assert "hunter2" not in str(e.value)


class TestSecrets:
    STEPS: tuple[Step, ...] = (
        answer({"detail": f"bad token {SECRET}"}, status=401),
        answer({"detail": SECRET}, status=403),
        answer({"detail": SECRET}, status=404),
        answer({"detail": "x" * 150 + SECRET}, status=400),
        answer({"detail": f"token {SECRET}"}, status=503),
        answer(status=429, Retry_After="9999", body=SECRET.encode()),
        answer(body=f"<html>{SECRET}".encode()),
        answer(status=302, Location=f"http://elsewhere.invalid/{SECRET}?api_key={SECRET}"),
        answer({}, Content_Encoding=SECRET),
        raw(f"HTTP/1.1 {SECRET}\r\n\r\n".encode(), keep=False),
        raw(f"{SECRET}\r\n\r\n".encode(), keep=False),
        reset,
    )

    @pytest.mark.parametrize("step", STEPS)
    def test_no_message_log_or_repr_holds_the_key(
        self, bench: Bench, step: Step, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, logger="dandi_pipeline")
        client = bench.client(bench.server(step), authorization=f"token {SECRET}", limits=Limits(attempts=2))
        with pytest.raises(PipelineError) as e:
            client.get_json("x", {"api_key": "hunter2", "page": 1})
        shown = f"{e.value!r} {client!r} {caplog.text} {vars(client)!r} {e.value.__cause__!r}"
        # 15 characters: no piece of the key either.
        assert not any(SECRET[start : start + 15] in shown for start in range(len(SECRET) - 15))
        assert "hunter2" not in shown

    @pytest.mark.parametrize("key", ["token a\nX-Other: b", "token é", "token \x00", " token", ""])
    def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(self, bench: Bench, key: str) -> None:
        with pytest.raises(ConfigurationError, match=r"^the key holds characters") as e:
            bench.client("https://a.org", authorization=key)
        assert str(e.value).isascii()
        with pytest.raises(ConfigurationError, match="HTTP header Notion-Version"):
            bench.client("https://a.org", headers={"Notion-Version": key})


class TestManyAtOnce:
    def test_connections_are_reused(self, bench: Bench) -> None:
        server = bench.server(answer({}, zipped=True), answer({}), answer(status=503), OK)
        client = bench.client(server)
        for _ in range(20):
            client.get_json("x")
        assert {request.connection for request in server.requests} == {0}
        assert client.traffic.opened == client.traffic.hosts[server.url.removeprefix("http://")].opened == 1

    def test_without_keep_alive_every_request_has_a_connection_of_its_own(self, bench: Bench) -> None:
        server = bench.server(OK)
        client = bench.client(server, limits=Limits(keep_alive=False))
        for _ in range(5):
            client.get_json("x")
        assert [request.connection for request in server.requests] == [0, 1, 2, 3, 4]
        assert client.traffic.opened == 5

    @pytest.mark.parametrize("step", (BROKEN | UNANSWERED).values(), ids=(BROKEN | UNANSWERED).keys())
    def test_a_failed_attempt_gives_its_place_in_the_pool_back(self, bench: Bench, step: Step) -> None:
        server = bench.server(step, step, step, OK)
        limits = Limits(pool_size=1, max_concurrent=1)
        with ThreadPoolExecutor(1) as threads:
            answered = threads.submit(bench.client(server, limits=limits).get_json, "x")
            assert answered.result(timeout=10).payload == {"ok": True}

    def test_no_more_are_in_flight_than_allowed(self, bench: Bench) -> None:
        def slowly(connection: socket.socket) -> bool:
            time.sleep(0.02)
            return OK(connection)

        server = bench.server(slowly)
        client = bench.client(server, limits=Limits(pool_size=10, max_concurrent=3))
        with ThreadPoolExecutor(12) as threads:
            list(threads.map(client.get_json, ["x"] * 40))
        assert server.most_in_flight == 3
        assert len({request.connection for request in server.requests}) <= 3

    def test_what_was_sent_and_received_is_counted_exactly(self, bench: Bench) -> None:
        body = json.dumps({"ok": True}).encode()
        cut = raw(head(200, {"Content-Length": "100"}) + b"12345", keep=False)
        server = bench.server(answer(body=b"slow", status=429), cut, OK)
        client = bench.client(server)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(client.get_json, ["x"] * 50))
        traffic = client.metrics.snapshot()
        assert (traffic.requests, traffic.retries, traffic.throttled) == (52, 2, 1)
        assert traffic.requests == len(server.requests)
        assert traffic.bytes_received == 50 * len(body) + 5 + 4
        assert sum(bench.time.sleeps) > 0
        assert traffic.seconds_slept == pytest.approx(sum(bench.time.sleeps), abs=0.5)

    def test_a_budget_is_asked_before_every_request(self, bench: Bench) -> None:
        budgets = LocalBudgets(sleep=bench.time.sleep, clock=bench.time.clock)
        budget = budgets.budget(RateLimit("host", 2, 1))
        client = bench.client(bench.server(answer(status=503), OK), budget=budget, uniform=lambda a, b: 0.0)
        for _ in range(5):
            client.get_json("x")
        assert sum(bench.time.sleeps) == pytest.approx(2.7)
        assert client.metrics.snapshot().seconds_slept == pytest.approx(2.7)

    def test_the_budget_learns_when_each_request_was_answered_or_failed(self, bench: Bench) -> None:
        events: list[str] = []

        class Told:
            def take(self) -> float:
                events.append("take")
                return 0.0

            def answered(self) -> None:
                events.append("answered")

            def pause(self, seconds: float) -> None:
                events.append("pause")

        server = bench.server(answer(status=429, Retry_After="1"), raw(b"nonsense", keep=False), OK)
        bench.client(server, budget=Told()).get_json("x")
        assert events == ["take", "answered", "pause", "take", "answered", "take", "answered"]


@pytest.mark.parametrize("make", [lambda: Limits(attempts=0), lambda: Limits(read_timeout=0)])
def test_limits_that_never_send_anything_are_refused(make: Callable[[], Limits]) -> None:
    with pytest.raises(ValueError, match="must be"):
        make()
