"""No answer hangs the client or fills its memory, with TLS or without; certificates and proxies say what they want."""

import gzip
import json
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme

from dandi_pipeline.errors import ConfigurationError, ContractError, PlatformFailing, PlatformUnreachable
from dandi_pipeline.http import HttpClient, Limits
from dandi_pipeline_tests.http.fake_time import FakeTime
from dandi_pipeline_tests.http.scripted_server import ScriptedServer, Step, answer, head, raw
from dandi_pipeline_tests.memory import forget_peak, peak_bytes

OK = answer({"ok": True})
MEGABYTE = 1024 * 1024
CHUNKED = head(200, {"Transfer-Encoding": "chunked"})


class Authority:
    """A certificate authority that nobody trusts who is not told to, and a server's certificate from it."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.file = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.file))
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self.server)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def no_proxy_and_no_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(params=["http", "https"])
def tls(request: pytest.FixtureRequest, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext | None:
    """Return how the server speaks, whose certificate is trusted."""
    if request.param == "http":
        return None
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority.server


@contextmanager
def asked(
    *steps: Step, tls: ssl.SSLContext | None = None, **limits: Any
) -> Iterator[tuple[ScriptedServer, HttpClient]]:
    with ExitStack() as stack:
        server = stack.enter_context(ScriptedServer(steps, tls=tls))
        yield server, stack.enter_context(client_of(server.url, **limits))


def client_of(url: str, **limits: Any) -> HttpClient:
    return HttpClient(f"{url}/api", user_agent="tests/1", limits=Limits(**limits), sleep=FakeTime().sleep)


def endless(start: bytes, piece: bytes, *, every: float) -> Step:
    """Begin an answer and go on with the same piece as long as anybody listens."""

    def step(connection: socket.socket) -> bool:
        connection.sendall(start)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            connection.sendall(piece)
            time.sleep(every)
        return False

    return step


class TestDeadline:
    """Each piece comes well within the timeout of a read, and the answer never ends."""

    DRIPPING: Mapping[str, Step] = {
        "status line": endless(b"HTTP/1.1 2", b"0", every=0.02),
        "header": endless(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x", every=0.02),
        "headers": endless(b"HTTP/1.1 200 OK\r\n", b"X-Slow: x\r\n", every=0.05),
        "100 Continue": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", every=0.02),
    }
    DRIPPING_BODIES: Mapping[str, Step] = {
        "chunk size": endless(CHUNKED, b"0", every=0.02),
        "chunk extension": endless(CHUNKED + b"5;", b"x", every=0.02),
        "chunks": endless(CHUNKED, b"1\r\n{\r\n", every=0.02),
        "trailer": endless(CHUNKED + b"2\r\n{}\r\n0\r\n", b"X: x\r\n", every=0.02),
        "body": endless(head(200, {"Content-Length": "10000"}), b" ", every=0.02),
        "body without length": endless(head(200, {}), b" ", every=0.02),
    }

    @pytest.mark.parametrize("step", DRIPPING.values(), ids=DRIPPING.keys())
    def test_a_head_that_drips_in_ends_at_the_deadline(self, step: Step, tls: ssl.SSLContext | None) -> None:
        with asked(step, tls=tls, attempts=1, read_timeout=5, total_timeout=0.5) as (_, client):
            started = time.monotonic()
            with pytest.raises(PlatformUnreachable, match=r"the answer took longer than 0\.5 s"):
                client.get_json("x")
            assert 0.5 <= time.monotonic() - started < 3

    @pytest.mark.parametrize("step", DRIPPING_BODIES.values(), ids=DRIPPING_BODIES.keys())
    def test_a_body_that_drips_in_ends_at_the_deadline(self, step: Step, tls: ssl.SSLContext | None) -> None:
        with asked(step, tls=tls, attempts=1, read_timeout=5, total_timeout=0.5) as (_, client):
            started = time.monotonic()
            with pytest.raises(PlatformFailing, match=r"the answer took longer than 0\.5 s"):
                client.get_json("x")
            assert 0.5 <= time.monotonic() - started < 3

    def test_silence_after_a_dripping_head_ends_at_the_deadline_and_not_a_timeout_later(self) -> None:
        def stuck(connection: socket.socket) -> bool:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: x")
            time.sleep(1.5)
            return False

        with asked(stuck, attempts=1, read_timeout=5, total_timeout=0.5) as (_, client):
            started = time.monotonic()
            with pytest.raises(PlatformUnreachable, match=r"the answer took longer than 0\.5 s"):
                client.get_json("x")
            assert time.monotonic() - started < 3

    @pytest.mark.parametrize(
        "piece", [b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, b"HTTP/1.1 103 Early Hints\r\n\r\n" * 9]
    )
    def test_interim_answers_without_end_end_long_before_the_deadline(self, piece: bytes) -> None:
        with asked(endless(b"", piece, every=0), attempts=1, total_timeout=60) as (_, client):
            started = time.monotonic()
            with pytest.raises((PlatformUnreachable, PlatformFailing)):
                client.get_json("x")
            assert time.monotonic() - started < 10

    def test_each_attempt_has_a_deadline_of_its_own_and_connections_are_kept(self, tls: ssl.SSLContext | None) -> None:
        def slowly(connection: socket.socket) -> bool:
            time.sleep(0.15)
            return OK(connection)

        with asked(slowly, tls=tls, attempts=1, total_timeout=0.6) as (server, client):
            for _ in range(6):
                assert client.get_json("x").payload == {"ok": True}
            assert {request.connection for request in server.requests} == {0}
            assert client.traffic.opened == 1

    def test_a_connection_is_used_again_after_an_attempt_that_was_cut_off(self, tls: ssl.SSLContext | None) -> None:
        drip = endless(b"HTTP/1.1 200 OK\r\n", b"X-Slow: x\r\n", every=0.05)
        with asked(drip, OK, tls=tls, attempts=2, total_timeout=0.4) as (server, client):
            for _ in range(3):
                assert client.get_json("x").payload == {"ok": True}
            assert [request.connection for request in server.requests] == [0, 1, 1, 1]

    def test_a_proxy_that_drips_while_it_connects_ends_at_the_deadline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        drip = endless(b"HTTP/1.1 200 OK\r\n", b"X-Slow: x\r\n", every=0.02)
        with ScriptedServer([drip]) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            started = time.monotonic()
            with (
                client_of("https://archive.invalid", attempts=1, total_timeout=0.5) as client,
                pytest.raises(PlatformUnreachable, match=r"longer than 0\.5 s"),
            ):
                client.get_json("x")
            assert time.monotonic() - started < 3


class TestSize:
    def test_a_length_that_nothing_has_is_refused_before_it_is_read(self) -> None:
        step = endless(head(200, {"Content-Length": str(10**10)}), b" " * 65_536, every=0)
        with asked(step) as (server, client):
            with pytest.raises(ContractError, match=r"an answer of 10,000,000,000 bytes; .* nothing was written"):
                client.get_json("x")
            assert len(server.requests) == 1
            assert client.traffic.bytes_received < MEGABYTE

    @pytest.mark.parametrize("start", [head(200, {}), head(200, {"Content-Length": "9" * 5000}), head(503, {})])
    def test_a_body_without_end_is_refused_where_it_becomes_too_large(self, start: bytes) -> None:
        with asked(endless(start, b" " * 65_536, every=0), largest_body=MEGABYTE) as (server, client):
            with pytest.raises(ContractError, match=r"more than 1,048,576|an answer of 99,999"):
                client.get_json("x")
            assert len(server.requests) == 1
            assert client.traffic.bytes_received < 2 * MEGABYTE

    def test_a_small_body_that_unpacks_to_three_gigabytes_takes_no_memory(self) -> None:
        bomb = zeros(3 * 1024)
        assert len(bomb) < 4 * MEGABYTE
        with asked(answer(body=bomb, Content_Encoding="gzip"), largest_body=32 * MEGABYTE) as (server, client):
            before = forget_peak()
            with pytest.raises(ContractError, match="and unpacked more than 33,554,432"):
                client.get_json("x")
            assert peak_bytes() - before < 200 * MEGABYTE
            assert len(server.requests) == 1

    def test_what_just_fits_is_taken(self) -> None:
        body = json.dumps("x" * 998).encode()
        for step in (answer(body=body), answer(body=body, zipped=True), raw(head(200, {}) + body, keep=False)):
            with asked(step, largest_body=1000) as (_, client):
                assert client.get_json("x").payload == "x" * 998
            with asked(step, largest_body=999) as (_, client), pytest.raises(ContractError, match="999"):
                client.get_json("x")

    def test_a_gzip_stream_may_have_several_members_and_padding(self) -> None:
        body = gzip.compress(b'{"a": ') + gzip.compress(b"1}") + b"\0" * 100
        for encoding in ("gzip", "x-gzip"):
            with asked(answer(body=body, Content_Encoding=encoding)) as (_, client):
                assert client.get_json("x").payload == {"a": 1}

    def test_the_connection_of_an_answer_too_large_is_not_used_again(self) -> None:
        steps = answer(body=b" " * 5000), OK
        with asked(*steps, largest_body=1000) as (server, client):
            with pytest.raises(ContractError):
                client.get_json("x")
            client.get_json("x")
            assert [request.connection for request in server.requests] == [0, 1]


def zeros(megabytes: int) -> bytes:
    """Return the beginning of so many megabytes of zeros, compressed: one block again and again."""
    packer = zlib.compressobj(level=9, wbits=31)
    start = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    return start + megabytes * (packer.compress(bytes(MEGABYTE)) + packer.flush(zlib.Z_FULL_FLUSH))


class TestCertificates:
    @pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
    def test_the_authority_that_a_variable_names_is_trusted(
        self, variable: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(variable, str(authority.file))
        with asked(OK, tls=authority.server) as (_, client):
            assert client.get_json("x").payload == {"ok": True}

    def test_an_untrusted_certificate_is_told_at_once(self, authority: Authority) -> None:
        with asked(OK, tls=authority.server) as (server, client):
            with pytest.raises(ConfigurationError, match=r"is not trusted \(.*certificate.*\); .* REQUESTS_CA_BUNDLE"):
                client.get_json("x")
            assert server.requests == []
            assert client.traffic.retries == 0

    def test_a_certificate_of_another_host_is_told_at_once(self, authority: Authority, monkeypatch: Any) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        with (
            asked(OK, tls=authority.server) as (server, _),
            client_of(server.url.replace("localhost", "127.0.0.1")) as client,
            pytest.raises(ConfigurationError, match=r"is not valid for '127\.0\.0\.1'"),
        ):
            client.get_json("x")

    @pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
    def test_a_file_that_is_not_there_is_named_with_its_variable(
        self, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(variable, str(tmp_path / "no.pem"))
        with asked(OK) as (server, client):
            with pytest.raises(ConfigurationError, match=rf"^{variable}: .*no\.pem: No such file"):
                client.get_json("x")
            assert server.requests == []

    def test_a_file_without_certificates_is_named_with_its_variable(self, tmp_path: Path, monkeypatch: Any) -> None:
        (tmp_path / "empty.pem").write_text("nothing\n")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "empty.pem"))
        told = r"^REQUESTS_CA_BUNDLE: .*empty\.pem: holds no certificates"
        with asked(OK) as (_, client), pytest.raises(ConfigurationError, match=told):
            client.get_json("x")


class TestProxies:
    @pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
    @pytest.mark.parametrize("secure", [False, True])
    def test_a_socks_proxy_is_used(self, scheme: str, secure: bool, authority: Authority, monkeypatch: Any) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        with asked(OK, tls=authority.server if secure else None) as (server, _), socks_proxy() as (port, asked_for):
            monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:{port}")
            with client_of(server.url) as client:
                for _ in range(3):
                    assert client.get_json("x").payload == {"ok": True}
                assert client.traffic.opened == 1
            assert asked_for == [int(server.url.rpartition(":")[2])]

    def test_a_deadline_holds_through_a_socks_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        drip = endless(b"HTTP/1.1 200 OK\r\n", b"X-Slow: x\r\n", every=0.05)
        with asked(drip) as (server, _), socks_proxy() as (port, _):
            monkeypatch.setenv("ALL_PROXY", f"socks5://127.0.0.1:{port}")
            with (
                client_of(server.url, attempts=1, total_timeout=0.5) as client,
                pytest.raises(PlatformUnreachable, match=r"longer than 0\.5 s"),
            ):
                client.get_json("x")

    def test_a_proxy_of_no_kind_that_exists_is_a_setting_to_fix(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for proxy in ("gopher://127.0.0.1:1", "socks9://127.0.0.1:1"):
            monkeypatch.setenv("ALL_PROXY", proxy)
            with client_of("http://archive.invalid") as client, pytest.raises(ConfigurationError, match="HTTPS_PROXY"):
                client.get_json("x")

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_a_proxy_that_wants_a_password_is_a_setting_to_fix(self, scheme: str, monkeypatch: Any) -> None:
        with ScriptedServer([answer(status=407)]) as proxy:
            monkeypatch.setenv(f"{scheme.upper()}_PROXY", proxy.url)
            with (
                client_of(f"{scheme}://archive.invalid") as client,
                pytest.raises(ConfigurationError, match="wants a user and a password"),
            ):
                client.get_json("x")
            assert len(proxy.requests) == 1


@contextmanager
def socks_proxy() -> Iterator[tuple[int, list[int]]]:
    """Serve SOCKS 5 without a password (RFC 1928); give its port, and the ports that it was asked to connect to."""
    connected: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=partial(_accept, listener, connected), daemon=True)
        thread.start()
        yield listener.getsockname()[1], connected
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, connected: list[int]) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=partial(_relay, client, connected), daemon=True).start()


def _relay(client: socket.socket, connected: list[int]) -> None:
    with client:
        _version, methods = client.recv(2)
        client.recv(methods)
        client.sendall(b"\x05\x00")
        *_, kind = client.recv(4)
        _host = client.recv(4 if kind == 1 else 16 if kind == 4 else client.recv(1)[0])
        (port,) = struct.unpack("!H", client.recv(2))
        connected.append(port)
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            client.sendall(b"\x05\x00\x00\x01" + bytes(6))
            back = threading.Thread(target=_pump(upstream, client), daemon=True)
            back.start()
            _pump(client, upstream)()
            back.join(5)


def _pump(source: socket.socket, target: socket.socket) -> Callable[[], None]:
    def run() -> None:
        try:
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    return run
