"""One attempt at one request: send it and bring back the whole answer, or say why there is none."""

import gzip
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidSchema, InvalidURL, RequestException
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from dandi_pipeline.errors import ConfigurationError, ContractError
from dandi_pipeline.http.metrics import Metrics
from dandi_pipeline.http.quoting import Quoting

_CHUNK = 64 * 1024
_COMPRESSED = {"Accept-Encoding": "gzip"}


class AttemptFailed(Exception):
    """This attempt gave nothing usable, another one may.

    `answered` tells whether an HTTP answer began to arrive; `overburdened` whether it looks as if the platform could
    not make it in time; `unintelligible` whether the answer was whole, but no JSON; `pause` how many seconds the answer
    asks to wait.
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
    """In seconds: to connect, between two reads, and for a whole body (which may run over by one read)."""

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
    """The pooled connections to one platform; any thread may send over them."""

    def __init__(
        self,
        *,
        authorization: str | None,
        headers: Mapping[str, str],
        pool_size: int,
        keep_alive: bool,
        timeouts: Timeouts,
        metrics: Metrics,
        quoting: Quoting,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        adapter = _Adapter(pool_size, keep_alive=keep_alive, opened=lambda: metrics.add(opened=1))
        self._session = _session(headers, adapter)
        self._authorize = _Authorization(authorization)
        self._timeouts = timeouts
        self._metrics = metrics
        self._quoting = quoting
        self._clock = clock

    def close(self) -> None:
        """Close every pooled connection."""
        self._session.close()

    def send(self, method: str, url: str, body: bytes | None) -> Reply:
        """Return the complete answer, whatever its status; raise `AttemptFailed` if none arrived whole."""
        self._metrics.add(requests=1)
        started = self._clock()
        with self._begun(method, url, body) as response:
            wire = b"".join(self._pieces(response, deadline=started + self._timeouts.total))
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
        started = self._clock()
        with self._begun("GET", url, None, {"Accept-Encoding": "identity", **conditions}) as response:
            deadline = started + self._timeouts.total
            yield response.status_code, response.headers, self._pieces(response, deadline=deadline)

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
            )
        except (InvalidSchema, InvalidURL) as error:
            reason = self._quoting.text(str(error))
            raise ConfigurationError(
                f"{self._quoting.url(url)}: cannot be asked ({reason}); check the URL and the proxy settings"
            ) from None
        except (RequestException, HTTPError) as error:
            raise AttemptFailed(self._reason(error), answered=False, overburdened=_is_late(error)) from None

    def _pieces(self, response: requests.Response, *, deadline: float) -> Iterator[bytes]:
        """Yield the body as it arrives, still compressed, until it is complete or the time is up.

        `read1` returns what one read of the socket brought: a body that drips in cannot outlast the deadline.
        """
        try:
            while piece := response.raw.read1(_CHUNK, decode_content=False):
                self._metrics.add(bytes_received=len(piece))
                yield piece
                if self._clock() > deadline:
                    reason = f"the body took longer than {self._timeouts.total:g} s"
                    raise AttemptFailed(reason, answered=True, overburdened=True)
        except HTTPError as error:
            reason = f"the body broke off ({self._reason(error)})"
            raise AttemptFailed(reason, answered=True, overburdened=_is_late(error)) from None

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
            return gzip.decompress(wire)
        except (EOFError, OSError, zlib.error):
            raise AttemptFailed("the compressed body is damaged or cut short", answered=True) from None

    def _reason(self, error: Exception) -> str:
        if isinstance(error, requests.ConnectTimeout):
            return f"no connection within {self._timeouts.connect:g} s"
        root = _root(error)
        if isinstance(root, TimeoutError):
            return f"silent for {self._timeouts.read:g} s"
        strerror = root.strerror if isinstance(root, OSError) else None
        return self._quoting.text(strerror or str(root) or type(root).__name__)


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


class _Adapter(HTTPAdapter):
    """Says of every connection that it is made; the pool itself does not count those made anew in place of old ones."""

    def __init__(self, pool_size: int, *, keep_alive: bool, opened: Callable[[], None]) -> None:
        self._pools = _pools(keep_alive=keep_alive, opened=opened)
        # `pool_block`: a connection more than the pool holds would be thrown away after one use.
        super().__init__(pool_connections=1, pool_maxsize=pool_size, max_retries=0, pool_block=True)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*arguments, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pools(*, keep_alive: bool, opened: Callable[[], None]) -> dict[str, type[HTTPConnectionPool]]:
    class Watched(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            opened()

        @property
        def is_connected(self) -> bool:
            """Asked before a connection is used again: one that is not kept is made anew then."""
            return keep_alive and super().is_connected

    class WatchedSecure(Watched, HTTPSConnection):
        pass

    class Pool(HTTPConnectionPool):
        ConnectionCls = Watched

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = WatchedSecure

    return {"http": Pool, "https": SecurePool}


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


def _root(error: BaseException) -> BaseException:
    while inner := error.__cause__ or error.__context__:
        error = inner
    return error
