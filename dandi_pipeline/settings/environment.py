"""The settings that come from environment variables."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from dandi_pipeline.errors import ConfigurationError
from dandi_pipeline.settings.values import api_url, database_url, sqlite_url

DANDI_API_URL = "https://api.dandiarchive.org/api"

_HEADER_TEXT = re.compile(r"[!-~]+", re.ASCII)


_MAIL = re.compile(r"[^@\s<>,;]+@[^@\s<>,;]+")
_MAIL_PORTS = {"smtp": 25, "smtps": 465}


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed over. With `tls` the connection is encrypted from its first byte, else by STARTTLS."""

    host: str
    port: int
    tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """Who is told of what went wrong; nobody unless `webhook_url` or `email_to` is set.

    The webhook's URL is a secret: whoever knows it can post there. `ui_url` is where people open Dagster's UI.
    """

    webhook_url: str | None = field(default=None, repr=False)
    email_to: tuple[str, ...] = ()
    email_from: str = ""
    mail_server: MailServer = MailServer("127.0.0.1", 25, tls=False)
    ui_url: str | None = None

    @property
    def configured(self) -> bool:
        """Whether anybody is told."""
        return self.webhook_url is not None or bool(self.email_to)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says; every path is absolute.

    `sources_path` is None where no file was named and `./sources.yaml` does not exist: the default source it is.
    Keys and the database's password are in no repr.
    """

    dandi_api_url: str
    dandi_manifest_url: str | None
    mirror_database_url: str = field(repr=False)
    mirror_reader_url: str | None = field(repr=False)
    dagster_home: Path
    sources_path: Path | None
    alerts: AlertSettings
    _environ: Mapping[str, str] = field(repr=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], cwd: Path) -> "Settings":
        """Return the settings; an empty variable counts as unset.

        Relative paths are taken from `cwd`, and `~` is the user's folder: where no shell has read a value, as in
        a service's environment file, it is still there.

        Raises `ConfigurationError`, in one line that names the variable, for a value that cannot be used.
        """
        given = {name: value.strip() for name, value in environ.items() if value.strip()}
        home = _dagster_home(given, cwd)
        return cls(
            dandi_api_url=_address(given.get("DANDI_API_URL", DANDI_API_URL), "DANDI_API_URL"),
            dandi_manifest_url=_optional_address(given, "DANDI_MANIFEST_URL"),
            mirror_database_url=_database_url(given, cwd, home),
            mirror_reader_url=given.get("MIRROR_READER_URL"),
            dagster_home=home,
            sources_path=_sources_path(given, cwd),
            alerts=_alerts(given),
            _environ=given,
        )

    def credential(self, name: str) -> str | None:
        """Return the secret in the environment variable `name`, or None where it is unset or empty."""
        secret = self._environ.get(name)
        if secret is not None and not _HEADER_TEXT.fullmatch(secret):
            raise ConfigurationError(
                f"{name}: holds spaces or characters that no key has; check how it was set (its value is not shown)"
            )
        return secret


def _address(text: str, variable: str) -> str:
    try:
        return api_url(text)
    except ValueError as error:
        raise ConfigurationError(f"{variable}: {error}") from None


def _optional_address(given: Mapping[str, str], variable: str) -> str | None:
    return _address(given[variable], variable) if variable in given else None


def _alerts(given: Mapping[str, str]) -> AlertSettings:
    recipients = _addresses(given.get("ALERT_EMAIL_TO", ""), "ALERT_EMAIL_TO")
    return AlertSettings(
        webhook_url=_webhook(given),
        email_to=recipients,
        email_from=_sender(given, recipients),
        mail_server=_mail_server(given),
        ui_url=_optional_address(given, "ALERT_UI_URL"),
    )


def _webhook(given: Mapping[str, str]) -> str | None:
    url = given.get("ALERT_WEBHOOK_URL")
    if url is None:
        return None
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https") or "@" in parts.netloc or not url.isprintable():
        raise ConfigurationError(
            "ALERT_WEBHOOK_URL: not an address; expected https://host/path, as Slack or another chat gives it (its"
            " value is not shown)"
        )
    return url


def _addresses(text: str, variable: str) -> tuple[str, ...]:
    addresses = tuple(address.strip() for address in text.split(",") if address.strip())
    if not all(_MAIL.fullmatch(address) and address.isascii() for address in addresses):
        raise ConfigurationError(f"{variable}: expected e-mail addresses with commas between, such as a@example.org")
    return addresses


def _sender(given: Mapping[str, str], recipients: Sequence[str]) -> str:
    senders = _addresses(given.get("ALERT_EMAIL_FROM", ""), "ALERT_EMAIL_FROM") or recipients[:1]
    if len(senders) > 1:
        raise ConfigurationError("ALERT_EMAIL_FROM: expected one e-mail address")
    return senders[0] if senders else ""


def _mail_server(given: Mapping[str, str]) -> MailServer:
    parts = _split(given.get("ALERT_SMTP_URL", "smtp://127.0.0.1"))
    if parts is None or parts.scheme not in _MAIL_PORTS or parts.path.strip("/") or parts.query or parts.password:
        raise ConfigurationError(
            "ALERT_SMTP_URL: not a mail server; expected smtp://USER@HOST:PORT or smtps://USER@HOST:PORT, with the"
            " password in ALERT_SMTP_PASSWORD"
        )
    user, password = parts.username and unquote(parts.username), given.get("ALERT_SMTP_PASSWORD")
    if bool(user) != bool(password):
        missing = "a user in ALERT_SMTP_URL" if password else "ALERT_SMTP_PASSWORD"
        raise ConfigurationError(f"ALERT_SMTP_URL: a login needs {missing} as well")
    port = parts.port or _MAIL_PORTS[parts.scheme]
    return MailServer(str(parts.hostname), port, parts.scheme == "smtps", user, password)


def _split(url: str) -> SplitResult | None:
    """Return the parts of an address; None for what has no host, or a port that is none."""
    try:
        parts = urlsplit(url)
        return parts if parts.hostname and parts.port != 0 else None
    except ValueError:
        return None


def _dagster_home(given: Mapping[str, str], cwd: Path) -> Path:
    home = _path(given.get("DAGSTER_HOME", ".dagster_home"), "DAGSTER_HOME", given, cwd)
    if home.exists() and not home.is_dir():
        raise ConfigurationError(f"DAGSTER_HOME: {home} is not a directory; name one, it is made if need be")
    return home


def _sources_path(given: Mapping[str, str], cwd: Path) -> Path | None:
    named = given.get("DANDI_PIPELINE_SOURCES")
    path = _path(named or "sources.yaml", "DANDI_PIPELINE_SOURCES", given, cwd)
    if path.is_file():
        return path
    if named is None and not path.exists():
        return None
    variable = "DANDI_PIPELINE_SOURCES: " if named else ""
    raise ConfigurationError(f"{variable}{path} is not a file; name the YAML file that lists the sources")


def _database_url(given: Mapping[str, str], cwd: Path, home: Path) -> str:
    url = given.get("MIRROR_DATABASE_URL")
    if url is None:
        return sqlite_url(home / "mirror.sqlite")
    try:
        return database_url(url, lambda name: _path(name, "MIRROR_DATABASE_URL", given, cwd))
    except ValueError as error:
        raise ConfigurationError(f"MIRROR_DATABASE_URL: {error}") from None


def _path(text: str, variable: str, given: Mapping[str, str], cwd: Path) -> Path:
    """Return the path that a setting means."""
    if "HOME" in given and (text == "~" or text.startswith("~/")):
        return (cwd / given["HOME"] / text[2:]).absolute()
    try:
        return (cwd / Path(text).expanduser()).absolute()
    except RuntimeError:
        raise ConfigurationError(f"{variable}: {text}: no such user; a folder of that name is ./{text}") from None
