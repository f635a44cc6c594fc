"""One attempt at one request: send it and bring back the whole answer, or say why there is none."""

import io
import os
import ssl
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse, RemoteDisconnected
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidSchema, InvalidURL, RequestException
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from dandi_pipeline.errors import ConfigurationError, ContractError
from dandi_pipeline.http.addresses import Quoting
from dandi_pipeline.http.traffic import Metrics

_CHUNK = 64 * 1024
_COMPRESSED = {"Accept-Encoding": "gzip"}

_LARGEST_HEAD = 1024 * 1024
"""Bytes that may come before an answer's body: http.client takes any number of interim answers (100 Continue)."""

WANTS_USER = "the proxy wants a user and a password; put them into HTTPS_PROXY (http://USER:PASSWORD@HOST:PORT)"
"""What a proxy means by 407."""

_TRUSTED = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""The variables that name certificates to trust in place of requests' own, the first that is set: requests reads the
first two, OpenSSL and most other programs the others."""


class AttemptFailed(Exception):
    """This attempt gave nothing usable, another one may.

    `answered` tells whether an HTTP answer began to arrive; `overburdened` whether it looks as if the platform could
    not make it, for want of time or memory; `unintelligible` whether the answer was whole, but no JSON;
    `pause` how many seconds the answer asks to wait.
    """

    def __init__(
        self,
        reason: str,
        *,
        answered: bool,
        overburdened: bool = False,
        unintelligible: bool = False,
        pause: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.answered = answered
        self.overburdened = overburdened
        self.unintelligible = unintelligible
        self.pause = pause


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds: to connect, between two reads, and for a whole attempt, from the connection to the last byte."""

    connect: float
    read: float
    total: float


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer, decompressed; `received_bytes` is what the body measured on the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    received_bytes: int


class Connection:
    """The pooled connections to one platform; any thread may send over them.

    `largest_body` bounds what one answer may measure, in bytes, on the wire and unpacked.
    """

    def __init__(
        self,
        *,
        authorization: str | None,
        headers: Mapping[str, str],
        pool_size: int,
        keep_alive: bool,
        timeouts: Timeouts,
        largest_body: int,
        metrics: Metrics,
        quoting: Quoting,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        watch = _Watch(keep_alive, timeouts.total, clock, opened=lambda: metrics.add(opened=1))
        self._session = _session(headers, _Adapter(pool_size, watch))
        self._authorize = _Authorization(authorization)
        self._timeouts = timeouts
        self._largest_body = largest_body
        self._metrics = metrics
        self._quoting = quoting
        self._trust = _Trust()

    def close(self) -> None:
        """Close every pooled connection."""
        self._session.close()

    def send(self, method: str, url: str, body: bytes | None) -> Reply:
        """Return the complete answer, whatever its status; raise `AttemptFailed` if none arrived whole.

        Raises `ContractError` for one that is too large, as soon as that shows: no more of it is held.
        """
        self._metrics.add(requests=1)
        with self._begun(method, url, body) as response:
            wire = b"".join(self._bounded(response, url))
            content = self._decompressed(wire, response.headers.get("Content-Encoding", ""), url)
            return Reply(response.status_code, response.headers, content, len(wire))

    @contextmanager
    def streaming(
        self, url: str, conditions: Mapping[str, str]
    ) -> Iterator[tuple[int, Mapping[str, str], Iterator[bytes]]]:
        """GET an answer's status and headers, and its body in pieces; `AttemptFailed` if it breaks off.

        Meant for documents that are not compressed: the pieces are as they came over the wire.
        """
        self._metrics.add(requests=1)
        with self._begun("GET", url, None, {"Accept-Encoding": "identity", **conditions}) as response:
            yield response.status_code, response.headers, self._pieces(response)

    def _begun(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str] = _COMPRESSED
    ) -> requests.Response:
        """Return an answer whose head has arrived."""
        try:
            return self._session.request(
                method,
                url,
                data=body,
                headers=headers if body is None else {**headers, "Content-Type": "application/json"},
                auth=self._authorize,
                timeout=(self._timeouts.connect, self._timeouts.read),
                allow_redirects=False,
                stream=True,
                verify=self._trust.certificates(),
            )
        except (InvalidSchema, InvalidURL) as error:
            reason = self._quoting.text(str(error))
            raise ConfigurationError(
                f"{self._quoting.url(url)}: cannot be asked ({reason}); check the URL and the proxy settings"
                " (HTTPS_PROXY and others; socks5:// needs the package PySocks)"
            ) from None
        except (RequestException, HTTPError) as error:
            raise self._failure(error, url) from None

    def _failure(self, error: Exception, url: str) -> Exception:
        """Return what it means that no answer began: another attempt, unless a setting must change first."""
        root, where = _root(error), self._quoting.url(url)
        if isinstance(root, ssl.SSLCertVerificationError):
            return ConfigurationError(
                f"{where}: its certificate is not trusted ({self._quoting.text(root.verify_message)}); if a proxy or"
                " the server has one of your institution's, name the file of its CA in REQUESTS_CA_BUNDLE"
            )
        if "connection failed: 407" in str(root):
            return ConfigurationError(f"{where}: {WANTS_USER}")
        return AttemptFailed(self._reason(error), answered=False, overburdened=_is_late(error) or _is_dropped(error))

    def _bounded(self, response: requests.Response, url: str) -> Iterator[bytes]:
        """Yield the body as long as it is not too large, which the server may say at the beginning."""
        declared = response.headers.get("Content-Length", "")
        if declared.isascii() and declared.isdigit() and int(declared[:20]) > self._largest_body:
            raise self._too_large(url, f"{int(declared[:20]):,}")
        received = 0
        for piece in self._pieces(response):
            received += len(piece)
            if received > self._largest_body:
                raise self._too_large(url, f"more than {self._largest_body:,}")
            yield piece

    def _pieces(self, response: requests.Response) -> Iterator[bytes]:
        """Yield the body as it arrives, still compressed, until it is complete.

        `read1` returns what one read of the socket brought, so that what arrives is counted as it does.
        """
        try:
            while piece := response.raw.read1(_CHUNK, decode_content=False):
                self._metrics.add(bytes_received=len(piece))
                yield piece
        except HTTPError as error:
            reason = f"the body broke off ({self._reason(error)})"
            raise AttemptFailed(reason, answered=True, overburdened=True) from None

    def _decompressed(self, wire: bytes, encoding: str, url: str) -> bytes:
        """Return the body as it was; a stream cut short is an error here, as it is not in urllib3."""
        if encoding.lower() in ("", "identity"):
            return wire
        if encoding.lower() not in ("gzip", "x-gzip"):  # the same, RFC 9110, 8.4.1.3
            raise ContractError(
                f"{self._quoting.url(url)}: the body is compressed as {self._quoting.text(encoding)!r},"
                " though only gzip is accepted"
            )
        try:
            return _unzipped(wire, self._largest_body)
        except OverflowError:
            raise self._too_large(url, f"{len(wire):,}, and unpacked more than {self._largest_body:,}") from None
        except (EOFError, zlib.error):
            raise AttemptFailed("the compressed body is damaged or cut short", answered=True) from None

    def _too_large(self, url: str, measured: str) -> ContractError:
        return ContractError(
            f"{self._quoting.url(url)}: an answer of {measured} bytes; no answer of the platform has more than"
            f" {self._largest_body:,}: look at what this address really is; nothing was written for it"
        )

    def _reason(self, error: Exception) -> str:
        if isinstance(error, requests.ConnectTimeout):
            return f"no connection within {self._timeouts.connect:g} s"
        root = _root(error)
        if isinstance(root, _TookTooLong):
            return f"the answer took longer than {self._timeouts.total:g} s"
        if isinstance(root, TimeoutError):
            return f"silent for {self._timeouts.read:g} s"
        strerror = root.strerror if isinstance(root, OSError) else None
        return self._quoting.text(strerror or str(root) or type(root).__name__)


class _Trust:
    """The certificates that the environment says to trust; looked at once for each file."""

    def __init__(self) -> None:
        self._found: str | None = None

    def certificates(self) -> str | bool:
        """Return the file or folder that a variable names, True where none does: requests has its own."""
        for variable in _TRUSTED:
            if path := os.environ.get(variable, "").strip():
                if path != self._found:
                    _check_certificates(variable, path)
                    self._found = path
                return path
        return True


def _check_certificates(variable: str, path: str) -> None:
    try:
        if not Path(path).is_dir():
            ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl's own errors are such as well
        reason = "holds no certificates" if isinstance(error, ssl.SSLError) else str(error.strerror)
        raise ConfigurationError(
            f"{variable}: {path}: {reason}; name a file of CA certificates in PEM form, or unset the variable"
        ) from None


def _unzipped(wire: bytes, largest: int) -> bytes:
    """Return what a gzip stream holds; OverflowError if that is more than `largest`, EOFError if it is cut short."""
    parts: list[bytes] = []
    left = largest
    while True:
        stream = zlib.decompressobj(wbits=31)
        parts.append(stream.decompress(wire, left + 1))
        left -= len(parts[-1])
        if left < 0:
            raise OverflowError
        if not stream.eof:
            raise EOFError
        # A stream may have several members, and zeros behind the last.
        wire = stream.unused_data.lstrip(b"\0")
        if not wire:
            return b"".join(parts)


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Never follow: the client decides about redirects, and the body of one is not to be read twice."""


class _Authorization(requests.auth.AuthBase):
    """Puts the credential on. Set even without one, or requests would look for a password in ~/.netrc."""

    def __init__(self, value: str | None) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._value is not None:
            request.headers["Authorization"] = self._value
        return request


@dataclass(frozen=True, slots=True)
class _Watch:
    """What every connection is made with; `total` seconds by `clock` are the longest that an attempt may take."""

    keep_alive: bool
    total: float
    clock: Callable[[], float]
    opened: Callable[[], None]


class _Adapter(HTTPAdapter):
    """Makes connections that have a deadline, and says of each that it is made: the pool counts none made anew."""

    def __init__(self, pool_size: int, watch: _Watch) -> None:
        self._watch = watch
        # `pool_block`: a connection more than the pool holds would be thrown away after one use.
        super().__init__(pool_connections=1, pool_maxsize=pool_size, max_retries=0, pool_block=True)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = _watched_pools(self.poolmanager, self._watch)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        if proxy in self.proxy_manager:
            return self.proxy_manager[proxy]
        try:
            manager = super().proxy_manager_for(proxy, **options)
        except InvalidSchema:
            raise
        except ValueError:
            raise InvalidSchema("a proxy of a kind that there is not") from None  # its address may hold a password
        # A SOCKS proxy's pools make connections of their own.
        manager.pool_classes_by_scheme = _watched_pools(manager, self._watch)
        return manager


def _watched_pools(manager: Any, watch: _Watch) -> dict[str, type[HTTPConnectionPool]]:
    """Return the manager's classes of pools, with connections that are watched."""
    pools: Iterable[tuple[str, Any]] = manager.pool_classes_by_scheme.items()
    return {
        scheme: type(
            "Watched", (pool,), {"ConnectionCls": type("Watched", (_Watched, pool.ConnectionCls), {"watch": watch})}
        )
        for scheme, pool in pools
    }


class _Watched(HTTPConnection):
    """A connection whose every attempt has one deadline: for the handshakes, the head and the body together.

    The timeouts of a socket are for one read, which a byte now and then keeps from ever passing.
    """

    watch: _Watch
    _deadline: float | None = None

    def connect(self) -> None:
        self._begin()
        super().connect()
        self.watch.opened()

    def request(self, *arguments: Any, **options: Any) -> None:
        self._begin()
        super().request(*arguments, **options)

    def getresponse(self) -> Any:
        try:
            return super().getresponse()
        finally:
            self._deadline = None

    def close(self) -> None:
        self._deadline = None
        super().close()

    @property
    def is_connected(self) -> bool:
        """Asked before a connection is used again: one that is not kept is made anew then."""
        return self.watch.keep_alive and super().is_connected

    def response_class(self, sock: Any, *arguments: Any, **options: Any) -> "_Response":  # type: ignore[override]
        """Make the answer that is about to arrive, from a proxy that is asked to connect as well."""
        return _Response(_Timed(sock, self._begin(), self.watch.clock), *arguments, **options)

    def _begin(self) -> float:
        """Return the attempt's deadline, which begins with whatever comes first."""
        if self._deadline is None:
            self._deadline = self.watch.clock() + self.watch.total
        return self._deadline


class _Response(HTTPResponse):
    """An answer whose head may not go on for ever."""

    def __init__(self, sock: "_Timed", *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)  # type: ignore[arg-type]
        self._sock = sock

    def begin(self) -> None:
        super().begin()
        self._sock.head_left = None


class _Timed(io.RawIOBase):
    """What a socket brings until a deadline.

    `head_left` is how many bytes may still come before the head is complete, None once it is.
    """

    def __init__(self, sock: Any, deadline: float, clock: Callable[[], float]) -> None:
        self.head_left: int | None = _LARGEST_HEAD
        self._sock = sock
        self._source = sock.makefile("rb", buffering=0)
        self._patience: float | None = sock.gettimeout()
        self._deadline = deadline
        self._clock = clock

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return the stream that http.client asks a socket for."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - self._clock()
        if left > 0:
            if self._patience is None or left < self._patience:
                self._sock.settimeout(left)
            try:
                return self._counted(self._source.readinto(buffer))
            except TimeoutError:
                if self._clock() < self._deadline:
                    raise
        # Out of the handler, or the socket's own would be taken for the cause.
        raise _TookTooLong

    def close(self) -> None:
        self._source.close()
        super().close()

    def _counted(self, count: int) -> int:
        if self.head_left is not None:
            self.head_left -= count
            if self.head_left < 0:
                raise HTTPException(f"headers of more than {_LARGEST_HEAD:,} bytes")
        return count


class _TookTooLong(TimeoutError):
    """The deadline of the attempt has passed."""


def _session(headers: Mapping[str, str], adapter: HTTPAdapter) -> requests.Session:
    session = _Session()
    session.headers.clear()
    session.headers.update({"Accept": "application/json", **headers})
    # No cookies: one request never depends on another's answer, and threads share no state.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _is_late(error: Exception) -> bool:
    """Tell whether a connection that was made stayed silent for too long."""
    return not isinstance(error, requests.ConnectTimeout) and isinstance(_root(error), TimeoutError)


def _is_dropped(error: Exception) -> bool:
    """Tell whether a connection that was made was ended without an answer, as when the server's worker is killed."""
    made = not any(isinstance(each, NewConnectionError | ConnectTimeoutError) for each in _chain(error))
    return made and isinstance(_root(error), ConnectionResetError | BrokenPipeError | RemoteDisconnected)


def _root(error: BaseException) -> BaseException:
    *_, root = _chain(error)
    return root


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
