"""The client that every platform asks with: what is retried, what is refused, and how failures are worded."""

import logging
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from importlib.metadata import version
from threading import BoundedSemaphore
from types import TracebackType
from typing import Any

import orjson

from dandi_pipeline.canonical import NotJson, parsed
from dandi_pipeline.errors import (
    AccessRefused,
    ConfigurationError,
    ContractError,
    CredentialRejected,
    PipelineError,
    PlatformFailing,
    PlatformUnreachable,
    ResourceMissing,
    TransientError,
    UnexpectedPayload,
    WrongAddress,
)
from dandi_pipeline.http.addresses import BaseUrl, Parameters, Quoting
from dandi_pipeline.http.exchange import WANTS_USER, AttemptFailed, Connection, Reply, Timeouts
from dandi_pipeline.http.headers import http_date, last_modified, retry_after, server_date
from dandi_pipeline.http.rate_limits import LONGEST_PAUSE, LocalBudgets, RateBudget
from dandi_pipeline.http.traffic import Metrics, Traffic

_log = logging.getLogger(__name__)

USER_AGENT = f"dandi_pipeline/{version('dandi_pipeline')}"
"""What every platform is told of who asks."""

_LASTING = frozenset({501, 505, 506, 510, 511})
"""The 5xx that say what the server never does (RFC 9110, 15.6; RFC 6585, 6 for a network that wants a login first)."""

_OVERBURDENED = frozenset(range(500, 600)) - _LASTING
"""The 5xx that may pass, Cloudflare's 520 to 530 included. What is too large is answered by any of them: gunicorn,
for one, says 500 when its worker runs out of time, and the proxy before it 502, 503, 504 or 524."""

_PASSING = _OVERBURDENED | {408, 425, 429}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_KEPT_HEADERS = ("Content-Type", "ETag", "Last-Modified", "Link")
_HEADER_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many, how long (seconds) and how often.

    `total_timeout` bounds one attempt, from the connection to the last byte, so that an answer that drips in cannot
    hang; `largest_body` an answer, in bytes, on the wire and unpacked: real ones have some megabytes. Between attempts
    the client waits a random time below `first_backoff`, doubled each time up to `longest_backoff`. A Retry-After
    beyond `longest_pause` is not waited for. `throttle_pause` stands in for the Retry-After of a 429 without one.
    Without `keep_alive` every request has a connection of its own.
    """

    pool_size: int = 10
    max_concurrent: int = 5
    connect_timeout: float = 10
    read_timeout: float = 90
    total_timeout: float = 300
    largest_body: int = 256 * 1024 * 1024
    attempts: int = 6
    first_backoff: float = 1
    longest_backoff: float = 60
    longest_pause: float = LONGEST_PAUSE
    throttle_pause: float | None = None
    keep_alive: bool = True

    def __post_init__(self) -> None:
        if min(self.pool_size, self.max_concurrent, self.attempts, self.largest_body) < 1:
            raise ValueError("pool_size, max_concurrent, attempts and largest_body must be at least 1")
        if min(self.connect_timeout, self.read_timeout, self.total_timeout) <= 0:
            raise ValueError("every timeout must be more than 0 seconds")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the platform answered, and the URL to name in messages about it.

    `received_bytes` is the body on the wire, compressed; `server_date` the answer's own Date; `headers` only
    Content-Type, ETag, Last-Modified and Link; `elapsed` the seconds that the attempt took which succeeded, its wait
    for the budget included.
    """

    payload: Any = field(repr=False)
    where: str
    received_bytes: int
    server_date: datetime | None
    headers: Mapping[str, str]
    elapsed: float


@dataclass(frozen=True, slots=True)
class Download:
    """A document as it arrives; `last_modified` is what the server says of it, None if it does not say."""

    where: str
    last_modified: datetime | None
    pieces: Iterator[bytes] = field(repr=False)


class Overburdened(PlatformFailing):
    """The platform could not make an answer, for want of time or memory; it may manage a smaller one."""


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An answer with an error status, for a platform to judge; `excerpt` is safe to show, `body` is not."""

    status: int
    where: str
    excerpt: str
    body: bytes = field(repr=False)

    @property
    def members(self) -> Mapping[str, Any] | None:
        """The members of the JSON object that was answered; None for anything else, such as a gateway's page."""
        try:
            payload = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None
        return payload if isinstance(payload, dict) else None


class Unintelligible(PlatformFailing):
    """Every attempt was answered, the last by something that is not JSON."""


def wrong_address(answer: ErrorAnswer) -> WrongAddress:
    """Return what a refusal means that is not in the platform's own words: nothing follows from it."""
    return WrongAddress(
        f"{answer.where}: {_said(answer)}, which is not this API's way to say so;"
        " check the address in the settings, or try again later; nothing was deleted"
    )


Refusal = Callable[[ErrorAnswer], PipelineError | None]
"""Returns the error that an answer means on this platform, to be raised at once, or None for the usual meaning."""


def usual_meaning(_: ErrorAnswer) -> None:
    """Leave every error its usual meaning."""


class HttpClient:
    """Asks one platform, whose every URL lies on the host of `base_url`; any thread may use it.

    `headers` go with every request; `authorization` is the secret one, e.g. "token abc", and appears in no
    message. `budget` is shared with whoever else uses the same credential. Every method raises only
    `TransientError`, `ConfigurationError` and `ContractError`; which of them an error status means `refusal`
    may decide.
    """

    def __init__(
        self,
        base_url: str,
        *,
        user_agent: str = USER_AGENT,
        authorization: str | None = None,
        headers: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        budget: RateBudget | None = None,
        refusal: Refusal = usual_meaning,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._quoting = Quoting(_secrets(authorization))
        self.base_url = BaseUrl(base_url, self._quoting)
        self.metrics = Metrics()
        self._limits = limits or Limits()
        self._has_credential = authorization is not None
        self._budget = budget or LocalBudgets(sleep=sleep, clock=clock).budget()
        self._in_flight = BoundedSemaphore(self._limits.max_concurrent)
        self._refusal = refusal
        self._sleep = sleep
        self._clock = clock
        self._uniform = uniform
        self._connection = Connection(
            authorization=authorization,
            headers=_checked({"User-Agent": user_agent, **(headers or {})}),
            pool_size=self._limits.pool_size,
            keep_alive=self._limits.keep_alive,
            timeouts=Timeouts(self._limits.connect_timeout, self._limits.read_timeout, self._limits.total_timeout),
            largest_body=self._limits.largest_body,
            metrics=self.metrics,
            quoting=self._quoting,
            clock=clock,
        )

    def __enter__(self) -> "HttpClient":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"HttpClient({str(self.base_url)!r})"

    @property
    def traffic(self) -> Traffic:
        """What was sent, received and waited for so far."""
        return self.metrics.snapshot().of_host(self.base_url.host)

    def close(self) -> None:
        """Close every pooled connection."""
        self._connection.close()

    def get_json(self, path_or_url: str, params: Parameters | None = None, *, divisible: bool = False) -> Answer:
        """GET a path below the base URL, or an absolute link on the same host, and return its JSON.

        Where the caller can ask for less at a time, `divisible`, a 5xx that may pass, a timeout or a dropped connection
        is not met by the same request again: `Overburdened` is raised, once it is time for another attempt.
        """
        return self._answer("GET", self.base_url.resolve(path_or_url, params), divisible=divisible)

    def post_json(self, path_or_url: str, query: Any, *, divisible: bool = False) -> Answer:
        """POST a read-only query as JSON; like a GET it is repeated until an answer arrives whole."""
        url = self.base_url.resolve(path_or_url)
        return self._answer("POST", url, orjson.dumps(query), divisible=divisible)

    @contextmanager
    def stream(self, path_or_url: str, *, written_after: datetime) -> Iterator[Download | None]:
        """GET a document that is too large to hold, in one attempt: who can do without it falls back at once.

        Gives None where the server says that the document is not newer than that; nothing is sent then. Raises
        `TransientError` where no answer comes, or its body breaks off while it is read, and what an error status
        means otherwise.
        """
        url = self.base_url.resolve(path_or_url, None)
        where = self._quoting.url(url)
        try:
            with self._in_flight:
                self._wait_for_budget()
                condition = {"If-Modified-Since": http_date(written_after)}
                with self._connection.streaming(url, condition) as (status, headers, pieces):
                    self._budget.answered()
                    refused = ErrorAnswer(status, where, "", b"")
                    if status in _PASSING:
                        raise AttemptFailed(_said(refused), answered=True)
                    if status not in (HTTPStatus.OK, HTTPStatus.NOT_MODIFIED):
                        raise self._final(refused)
                    yield Download(where, last_modified(headers), pieces) if status == HTTPStatus.OK else None
        except AttemptFailed as failure:
            raise PlatformFailing(f"{where}: {failure.reason}") from None

    def _answer(self, method: str, url: str, body: bytes | None = None, *, divisible: bool = False) -> Answer:
        """Attempt until an attempt succeeds, its error is final, or there have been enough."""
        where = self._quoting.url(url)
        answered = False
        for attempt in range(1, self._limits.attempts + 1):
            try:
                return self._attempt(method, url, body, where)
            except AttemptFailed as failure:
                last = failure
            answered = answered or last.answered
            self._heed(last, where)
            if attempt < self._limits.attempts:
                self._back_off(last, where, attempt)
                if divisible and last.overburdened:
                    raise Overburdened(f"{where}: {last.reason}")
        raise self._given_up(last, where, answered=answered)

    def _attempt(self, method: str, url: str, body: bytes | None, where: str) -> Answer:
        with self._in_flight:
            started = self._clock()
            reply = self._send(method, url, body)
            elapsed = self._clock() - started
        if reply.status >= 300:
            raise self._error(reply, where)
        return Answer(
            payload=self._parsed(reply, where),
            where=where,
            received_bytes=reply.received_bytes,
            server_date=server_date(reply.headers),
            headers={name: reply.headers[name] for name in _KEPT_HEADERS if name in reply.headers},
            elapsed=elapsed,
        )

    def _send(self, method: str, url: str, body: bytes | None) -> Reply:
        """Send within the budget, and follow a GET's redirects as long as they stay on the same host."""
        for _ in range(_MOST_REDIRECTS + 1):
            self._wait_for_budget()
            reply = self._answered(method, url, body)
            if method != "GET" or reply.status not in _REDIRECTS:
                return reply
            url = self.base_url.redirected(url, reply.headers.get("Location"))
        raise ContractError(f"{self._quoting.url(url)}: redirected more than {_MOST_REDIRECTS} times")

    def _answered(self, method: str, url: str, body: bytes | None) -> Reply:
        try:
            return self._connection.send(method, url, body)
        finally:
            self._budget.answered()

    def _wait_for_budget(self) -> None:
        seconds = self._budget.take()
        self.metrics.add(seconds_slept=seconds, waited=int(seconds > 0))

    def _error(self, reply: Reply, where: str) -> Exception:
        """Return what an error status means: another attempt, or one of the three groups of errors."""
        answer = ErrorAnswer(reply.status, where, self._quoting.text(reply.body), reply.body)
        if reply.status == 429:
            self.metrics.add(throttled=1)
        if verdict := self._refusal(answer):
            return verdict
        if reply.status in _PASSING:
            return AttemptFailed(
                _said(answer),
                answered=True,
                overburdened=reply.status in _OVERBURDENED,
                pause=self._pause_asked(reply),
            )
        return self._final(answer)

    def _final(self, answer: ErrorAnswer) -> PipelineError:
        place, said = answer.where, _said(answer)
        if answer.status == 401 and self._has_credential:
            return CredentialRejected(f"{place}: the credential was refused ({said}); check the key, or unset it")
        if answer.status == 401:
            return AccessRefused(f"{place}: hidden without a credential ({said}); set a key that may read it")
        if answer.status == 403:
            return AccessRefused(f"{place}: not for this credential ({said}); use one that may read it")
        if answer.status == 407:
            return ConfigurationError(f"{place}: {WANTS_USER}")
        if answer.status == 404 and answer.members is not None:
            return ResourceMissing(f"{place}: does not exist ({said})")
        if answer.status == 404:
            return wrong_address(answer)
        return ContractError(f"{place}: the request was refused ({said}); nothing was written for it")

    def _pause_asked(self, reply: Reply) -> float | None:
        asked = retry_after(reply.headers)
        return self._limits.throttle_pause if asked is None and reply.status == 429 else asked

    def _heed(self, failure: AttemptFailed, where: str) -> None:
        """Hold everybody back for as long as the answer asks, unless that is too long to wait."""
        if failure.pause is None:
            return
        if failure.pause > self._limits.longest_pause:
            raise PlatformFailing(
                f"{where}: {failure.reason}; the platform asks to wait {failure.pause:.0f} s, more than the"
                f" {self._limits.longest_pause:g} s that a sync waits: try again after that"
            )
        self._budget.pause(failure.pause)

    def _back_off(self, failure: AttemptFailed, where: str, attempt: int) -> None:
        """Wait a random part of a time that doubles, so that the threads do not all come back at once."""
        ceiling = min(self._limits.longest_backoff, self._limits.first_backoff * 2 ** (attempt - 1))
        seconds = self._uniform(0, ceiling)
        _log.warning(
            "%s: %s; attempt %d of %d follows in %.1f s",
            where,
            failure.reason,
            attempt + 1,
            self._limits.attempts,
            max(seconds, failure.pause or 0),
        )
        self._sleep(seconds)
        self.metrics.add(retries=1, seconds_slept=seconds)

    def _given_up(self, last: AttemptFailed, where: str, *, answered: bool) -> TransientError:
        reason, attempts = last.reason, self._limits.attempts
        if answered:
            failing = Unintelligible if last.unintelligible else PlatformFailing
            return failing(
                f"{where}: no usable answer in {attempts} attempts (the last: {reason});"
                " the platform is in trouble, try again later"
            )
        return PlatformUnreachable(
            f"{where}: no answer in {attempts} attempts (the last: {reason});"
            " check the network and the URL, or try again later"
        )

    def _parsed(self, reply: Reply, where: str) -> Any:
        try:
            return parsed(reply.body)
        except NotJson:
            reason = f"a body that is not JSON: {self._quoting.text(reply.body, longest=80)!r}"
            raise AttemptFailed(reason, answered=True, unintelligible=True) from None
        except UnexpectedPayload as error:
            raise UnexpectedPayload(f"{where}: {error}") from None


def _said(answer: ErrorAnswer) -> str:
    try:
        name = f"{answer.status} {HTTPStatus(answer.status).phrase}"
    except ValueError:
        name = str(answer.status)
    return f"{name}: {answer.excerpt}" if answer.excerpt else name


def _secrets(authorization: str | None) -> tuple[str, ...]:
    """Return what must not be shown of a credential: all of it, and the part behind its scheme."""
    if authorization is None:
        return ()
    if not _HEADER_VALUE.fullmatch(authorization):
        raise ConfigurationError("the key holds characters that no HTTP header may; check how it was set")
    return tuple(dict.fromkeys((authorization, authorization.rpartition(" ")[2])))


def _checked(headers: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in headers.items():
        if not _HEADER_VALUE.fullmatch(value):
            raise ConfigurationError(f"the value of the HTTP header {name} holds characters that none may")
    return headers
