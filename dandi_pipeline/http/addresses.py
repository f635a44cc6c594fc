"""Where requests may go, and how addresses and answers are quoted in messages: printable, and without secrets."""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, quote, unquote, urlencode, urljoin, urlsplit

from dandi_pipeline.errors import ConfigurationError, ContractError
from dandi_pipeline.text import excerpt

_HIDDEN = "***"
_SECRET_PARAMETER = re.compile(r"key|token|secret|signature|password|credential|auth", re.IGNORECASE)
_LONGEST_TEXT = 200
_LONGEST_URL = 400


class Quoting:
    """Quotes for messages. None of `secrets` stands in what it returns, even where a platform echoes one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = tuple(secrets)

    def __repr__(self) -> str:
        return "Quoting()"

    def text(self, text: str | bytes, *, longest: int = _LONGEST_TEXT) -> str:
        """Return the start of a text as one printable line of at most `longest` characters."""
        if isinstance(text, bytes):
            text = text.decode(errors="replace")
        # Before cutting, or the cut could leave the first half of a secret behind.
        return excerpt(self._without_secrets(text), longest)

    def url(self, url: str) -> str:
        """Return a URL without user, password and fragment, and with the secrets in its query hidden."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return "an unreadable address"
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        hidden = [(name, _HIDDEN if _SECRET_PARAMETER.search(name) else value) for name, value in pairs]
        query = urlencode(hidden, safe="*:/,", quote_via=quote)
        host = parts.netloc.rpartition("@")[2]
        return self.text(parts._replace(netloc=host, query=query, fragment="").geturl(), longest=_LONGEST_URL)

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return text


Parameters = Mapping[str, str | int | bool | None]
"""A query; None leaves a parameter out, booleans are spelled true and false."""

_DEFAULT_PORTS = {"http": 80, "https": 443}

_UPWARD = (".", "..")


def path(*segments: str) -> str:
    """Return the path of these segments, each quoted: a key stays one segment of it, whatever stands in the key.

    An empty last one makes the slash at the end. Raises `ConfigurationError` for a segment that no path can name.
    """
    for segment in segments:
        if segment in _UPWARD:
            raise ConfigurationError(f"{segment!r} is no key that an address can name; correct it")
    return "/".join(quote(segment, safe="") for segment in segments)


class BaseUrl:
    """The address of one API. Every request stays on its scheme, host and port, so a key never leaves them."""

    def __init__(self, text: str, quoting: Quoting) -> None:
        origin = _origin(text)
        if origin is None:
            raise ConfigurationError(
                f"{quoting.url(text)}: not an API's address; expected https://host/path, with no user or password"
            )
        self._origin = origin
        self._text = text.rstrip("/")
        self._quoting = quoting

    def __str__(self) -> str:
        return self._text

    @property
    def host(self) -> str:
        """The host that every request goes to, with its port unless it is the usual one."""
        scheme, name, port = self._origin
        return name if port == _DEFAULT_PORTS[scheme] else f"{name}:{port}"

    def resolve(self, target: str, parameters: Parameters | None = None) -> str:
        """Return the URL of a path below this address, or of an absolute URL on the same host.

        Raises `ContractError` for another host, and for a path that leads upward: platforms link to their own pages
        only, and what is asked for lies below the base address.
        """
        if "://" in target:
            self._refuse_elsewhere(target, "a link")
            url = target
        else:
            url = f"{self._text}/{target.lstrip('/')}"
        if any(unquote(segment) in _UPWARD for segment in urlsplit(url).path.split("/")):
            raise ContractError(f"{self._quoting.url(url)}: leads out of {self._text}; it was not asked")
        query = _query(parameters or {})
        return f"{url}{'&' if '?' in url else '?'}{query}" if query else url

    def redirected(self, url: str, location: str | None) -> str:
        """Return where a redirect leads; raise `ContractError` if that is nowhere or elsewhere."""
        where = self._quoting.url(url)
        if not location:
            raise ContractError(f"{where}: redirects without saying where")
        try:
            target = urljoin(url, location)
        except ValueError:
            raise ContractError(f"{where}: redirects to no address: {self._quoting.text(location)}") from None
        self._refuse_elsewhere(target, f"{where}: a redirect")
        return target

    def _refuse_elsewhere(self, url: str, what: str) -> None:
        if _origin(url) != self._origin:
            raise ContractError(
                f"{what} leads to {self._quoting.url(url)}, away from {self._text}; it was not followed, and no"
                " key was sent (if the platform has moved, set its URL to the new address)"
            )


def _query(parameters: Parameters) -> str:
    return urlencode({name: _spelled(value) for name, value in parameters.items() if value is not None})


def _spelled(value: str | int | bool | None) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _origin(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port, or None for what has none, or has a user in front of the host."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or port is None or not parts.hostname:
        return None
    # A backslash is read as a slash by some: two readings of one address must not name two hosts.
    if "@" in parts.netloc or "\\" in url:
        return None
    return parts.scheme, parts.hostname, port
