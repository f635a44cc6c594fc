"""The kinds of values that settings hold, each with the check that says what is accepted."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://", re.ASCII)
_POSTGRESQL = ("postgres", "postgresql", "postgresql+psycopg2")
_CREDENTIALS = re.compile(r"[^:/]*(:[^@]*)?@")
"""The user and the password of a URL, as SQLAlchemy tells them from the rest."""

_INTERVAL = re.compile(r"([1-9]\d{0,5})([mhdw])", re.ASCII)
_UNITS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_NAMED_INTERVALS = {
    "hourly": timedelta(hours=1),
    "daily": timedelta(days=1),
    "weekly": timedelta(weeks=1),
}
_ENVIRONMENT_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}", re.ASCII)
_OWNER = re.compile(r"team:[A-Za-z0-9_.-]{1,63}|[A-Za-z0-9_.+-]{1,63}@[A-Za-z0-9.-]{1,190}", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9_.-]{1,63}", re.ASCII)
_LONGEST_NAME = 63


def api_url(text: str) -> str:
    """Return an API's address in its one spelling; raise ValueError for what is none.

    Scheme and host are in lower case, the usual port is left out, and so are empty segments and the last slash.
    The address is not quoted in the error: one with a password in it is refused for just that.
    """
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not text.isprintable() or " " in text:
        raise ValueError("not an address; expected https://host/path")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("expected https://host/path alone, with no user, password, query or fragment")
    usual = parts.port is None or parts.port == {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else str(parts.hostname)
    path = re.sub("/{2,}", "/", parts.path).rstrip("/")
    return f"{parts.scheme}://{host}{'' if usual else f':{parts.port}'}{path}"


def database_url(text: str, path: Callable[[str], Path] = lambda name: Path(name).absolute()) -> str:
    """Return the URL of a mirror's database in its one spelling: the driver named, or the file by its whole path.

    `path` returns the path that a file's name means. Raises ValueError for what no mirror can be in; the error repeats
    nothing that may be a password.
    """
    match = _SCHEME.match(text)
    scheme, rest = (match[1].lower(), text[match.end() :]) if match else ("", text)
    if scheme in _POSTGRESQL:
        return _server_url(rest)
    if scheme == "sqlite":
        return sqlite_url(path(_file_name(rest)))
    raise ValueError(
        f"{f'{scheme}://' if scheme else 'a value without a scheme'} is not supported;"
        " accepted: sqlite:///FILE, postgresql://USER:PASSWORD@HOST/DATABASE"
    )


def sqlite_url(path: Path) -> str:
    """Return the URL of a file, whatever characters its path has."""
    return f"sqlite:///{quote(str(path))}"


def _server_url(rest: str) -> str:
    credentials = _CREDENTIALS.match(rest)
    if "@" in rest[credentials.end() if credentials else 0 :]:
        # SQLAlchemy and libpq end the password at the first one: the rest of it would be shown as the host's name.
        raise ValueError("there is a '@' too many; in a user, a password or an option write it as %40")
    # Named in full: with psycopg 3 installed SQLAlchemy 2.1 would pick that for the short form.
    return f"postgresql+psycopg2://{rest}"


def _file_name(rest: str) -> str:
    name = rest.removeprefix("/")
    if not rest.startswith("/") or name in ("", ":memory:") or name.startswith("file:"):
        raise ValueError(
            "the mirror needs a file of its own; accepted: sqlite:///FILE (relative), sqlite:////FILE (absolute)"
        )
    if "?" in name:
        raise ValueError("a SQLite file takes no options; a '?' that belongs to its name is written %3F")
    return unquote(name)


def interval(text: Any) -> timedelta:
    """Return how long `15m`, `6h`, `2d`, `1w`, `hourly`, `daily` or `weekly` is."""
    named = _NAMED_INTERVALS.get(text) if isinstance(text, str) else None
    match = _INTERVAL.fullmatch(text) if isinstance(text, str) else None
    if named is not None:
        return named
    if match is None:
        raise ValueError("not an interval; accepted: a number and a unit (15m, 6h, 2d, 1w), hourly, daily, weekly")
    return int(match[1]) * _UNITS[match[2]]


def whole_days(value: timedelta) -> timedelta:
    """Return the interval if it is one or more whole days."""
    if value < timedelta(days=1) or value % timedelta(days=1):
        raise ValueError("expected whole days: daily, 2d, weekly")
    return value


def _environment_name(text: str) -> str:
    if not _ENVIRONMENT_NAME.fullmatch(text):
        raise ValueError(
            "expected the NAME of an environment variable (capitals, digits, underscores), never the secret itself"
        )
    return text


def _name(text: str) -> str:
    """Return a name as people write it: Dagster's tags have dashes in place of what a tag cannot hold."""
    if (
        not re.search(r"[A-Za-z0-9]", text)
        or not text.isprintable()
        or len(text) > _LONGEST_NAME
        or text != text.strip()
    ):
        raise ValueError(
            "expected a name of at most 63 characters, with a letter a-z or a digit, such as my-app or My App"
        )
    return text


def _identifier(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise ValueError("expected an id: at most 63 letters, digits, '_', '-' and '.'")
    return text


def slug(name: str) -> str:
    """Return a name in lower case with single dashes between its words: "My App" is "my-app"."""
    return re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")


def _user(text: str) -> str:
    if not _OWNER.fullmatch(text) and not _LABEL.fullmatch(text):
        raise ValueError("expected an e-mail address, 'team:name' or a plain name")
    return text


ApiUrl = Annotated[str, AfterValidator(api_url), WithJsonSchema({"type": "string", "format": "uri"})]
"""The address of an API, without a last slash."""

EnvironmentName = Annotated[
    str, AfterValidator(_environment_name), WithJsonSchema({"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$"})
]
"""The name of the environment variable that holds a secret."""

Interval = Annotated[
    timedelta,
    BeforeValidator(interval),
    WithJsonSchema({"type": "string", "pattern": "^([1-9][0-9]{0,5}[mhdw]|hourly|daily|weekly)$"}),
]
"""How often, written `15m`, `6h`, `daily`."""

Name = Annotated[str, AfterValidator(_name)]
"""What an application, a component or a vault is called; a tag in Dagster."""

Identifier = Annotated[str, AfterValidator(_identifier)]
"""What another system knows a vault or a user by."""

User = Annotated[str, AfterValidator(_user)]
"""Whom a source belongs to."""

Alias = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,63}$")]
"""What a source is called in the mirror, in Dagster and on the command line."""
