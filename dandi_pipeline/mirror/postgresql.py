"""The mirror in a PostgreSQL database: COPY into temporary tables, one advisory lock for writers."""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg2
import sqlalchemy as sa

from dandi_pipeline.errors import DatabaseUnavailable, MirrorBusy, MirrorLost, PipelineError, UnexpectedPayload
from dandi_pipeline.mirror.dialect import Row
from dandi_pipeline.mirror.schema import CANONICAL, Instant, JsonText
from dandi_pipeline.model import CellType

# Any number that others who use the same database are unlikely to lock; advisory locks are per database.
_WRITERS_LOCK = 0x64616E6469

_BUSY = {"55P03", "40P01", "40001"}
"""SQLSTATEs: lock not available, deadlock, serialization failure."""

_CANCELLED = "57014"
"""SQLSTATE of a statement that a time limit or an administrator ended."""

_TAKES_TURN = "pg_advisory_xact_lock"
"""The statement in which a writer waits for the others."""

_NO_CONNECTIONS = ("too many clients", "too many connections", "remaining connection slots")
"""What a server says that refuses one more connection; the driver hands on no SQLSTATE then."""

_ENDED = ("25P03", "25P04", "57P05")
"""SQLSTATEs of the limits for idle transactions, whole transactions and idle sessions."""

_ADVICE = {
    "53100": "the server's disk is full: free space there and sync again",
    "25006": "a standby, or a database or user with default_transaction_read_only, takes no mirror: name the primary,"
    " or allow writing",
    "42501": "the user needs CREATE on the schema, TEMPORARY on the database, and to own the mirror's tables",
    "3F000": "the user's search_path names no schema that exists: create it, or set another search_path",
    "XX001": "the server finds its files damaged: restore a copy, or name an empty database and sync everything anew",
    "XX002": "the server finds an index damaged: REINDEX DATABASE, or restore a copy",
}
"""What to do, by SQLSTATE."""

_LOST = ("08", "57P")
"""SQLSTATE classes: connection exception; the server is shutting down or starting up."""

_LIMIT = "54"
"""SQLSTATE class: a program limit is exceeded, such as the size of what an index can hold."""

_HELD = {"2BP01": "other views are built on it", "55P03": "a query that still runs reads it"}
"""SQLSTATEs of what keeps a view from being dropped."""

# Exactly the days that there are, so that a cast never fails. Not \d, which matches the digits of every script.
_DAYS = (
    r"[0-9]{4}-(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])",
    r"[0-9]{4}-(0[469]|11)-(0[1-9]|[12][0-9]|30)",
    r"[0-9]{4}-02-(0[1-9]|1[0-9]|2[0-8])",
    r"[0-9]{2}(0[48]|[2468][048]|[13579][26])-02-29",
    r"([02468][048]|[13579][26])00-02-29",
)
_INSTANT = rf"^(?!0000)({'|'.join(_DAYS)})T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{{6}}Z$"

# A CASE, since AND may be evaluated in any order. JSON has no exponent that NUMERIC could not hold, but DOUBLE has.
_CELL: Mapping[CellType, str] = {
    "text": "CASE jsonb_typeof(cells -> {name}) WHEN 'string' THEN cells ->> {name} END",
    "integer": "CASE jsonb_typeof(cells -> {name}) WHEN 'number' THEN CASE WHEN (cells -> {name})::numeric % 1 = 0"
    " AND (cells -> {name})::numeric BETWEEN -9223372036854775808 AND 9223372036854775807"
    " THEN (cells -> {name})::bigint END END",
    "number": "CASE jsonb_typeof(cells -> {name}) WHEN 'number' THEN (cells -> {name})::numeric END",
    "boolean": "CASE jsonb_typeof(cells -> {name}) WHEN 'boolean' THEN (cells -> {name})::boolean END",
    "instant": "CASE WHEN cells ->> {name} ~ '{instant}' THEN (cells ->> {name})::timestamptz END",
    "json": "nullif(cells -> {name}, 'null')",
}


class PostgresqlDialect:
    """A mirror in the database that `url` names, in the first schema of its search path."""

    def __init__(self, url: sa.URL, patience: float) -> None:
        self._url = url
        self.patience = patience

    @property
    def place(self) -> str:
        """The database's address without password and options."""
        host = self._url.host or self._url.query.get("host") or "local"
        port = f":{self._url.port}" if self._url.port else ""
        return f"postgresql://{host}{port}/{self._url.database or ''}"

    @property
    def arguments(self) -> dict[str, Any]:
        """How psycopg2 connects, for a connection that is none of the engine's; with the password."""
        return {
            **self._url.translate_connect_args(username="user", database="dbname"),
            **self._url.query,
            "client_encoding": "utf8",
        }

    def engine(self, *, read_only: bool) -> sa.Engine:
        """Return a pooled engine that tests a connection before it is used again."""
        engine = sa.create_engine(
            self._url,
            pool_size=5,
            max_overflow=10,
            pool_timeout=self.patience,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={"client_encoding": "utf8"},
        )
        sa.event.listen(engine, "connect", self._require_unicode)
        return engine.execution_options(postgresql_readonly=True) if read_only else engine

    def _require_unicode(self, connection: Any, _record: object) -> None:
        """Refuse at once what would refuse single records; the server says its encoding with its greeting."""
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise DatabaseUnavailable(
                f"{self.place}: the database's encoding is {encoding}, which cannot hold every character; make one with"
                " CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
            )

    def begin_writing(self, connection: sa.Connection) -> sa.RootTransaction:
        """Begin as ever: no row is locked yet."""
        return connection.begin()

    def wait_for_writers(self, connection: sa.Connection) -> None:
        """Queue behind every other writer, so that `change_log.sequence` becomes visible in its own order."""
        connection.execute(
            sa.text("SELECT set_config('lock_timeout', :wait, true)"), {"wait": f"{int(self.patience * 1000)}ms"}
        )
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _WRITERS_LOCK})

    def clock(self, connection: sa.Connection) -> float:
        """Return the server's time now, not that of the transaction's begin."""
        return float(connection.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())

    def as_text(self, column: sa.Column[Any], expression: str) -> str:
        """Spell instants as SQLite stores them, and leave documents unparsed."""
        if isinstance(column.type, JsonText):
            return f"{expression}::text"
        if not isinstance(column.type, Instant):
            return expression
        return CANONICAL.format(expression).replace(":", "\\:")

    def json_object(self, members: Sequence[tuple[sa.Column[Any], str]]) -> str:
        """Build the object with `json_build_object`, which keeps nested documents to the letter."""
        pairs = (
            f"'{column.name}', {value if isinstance(column.type, JsonText) else self.as_text(column, value)}"
            for column, value in members
        )
        return f"json_build_object({', '.join(pairs)})"

    def differs(self, column: sa.Column[Any], left: str, right: str) -> str:
        """JSON has no equality; its text has."""
        if isinstance(column.type, JsonText):
            left, right = self.as_text(column, left), self.as_text(column, right)
        return f"{left} IS DISTINCT FROM {right}"

    def cell(self, name: str, kind: CellType) -> str:
        """Read from JSONB, with every cast behind a test."""
        return _CELL[kind].format(name=name, instant=_INSTANT)

    def has_relation(self, connection: sa.Connection, name: str) -> bool:
        """Look among relations and types, which share their names with relations."""
        found = connection.execute(
            sa.text(
                "SELECT 1 FROM pg_class WHERE relname = :name AND relnamespace = current_schema()::regnamespace"
                " UNION ALL"
                " SELECT 1 FROM pg_type WHERE typname = :name AND typnamespace = current_schema()::regnamespace"
            ),
            {"name": name},
        )
        return found.first() is not None

    def analyze(self, connection: sa.Connection, tables: Sequence[str]) -> None:
        """Do not wait for autovacuum, which may come a minute later, or never."""
        connection.execute(sa.text(f"ANALYZE {', '.join(tables)}"))

    def wait_briefly(self, connection: sa.Connection) -> None:
        """Wait two seconds at most: whoever waits here keeps all other writers waiting."""
        connection.execute(sa.text("SET LOCAL lock_timeout = '2s'"))

    def use_of_view(self, error: sa.exc.DBAPIError) -> str | None:
        """Tell by the SQLSTATE."""
        return _HELD.get(getattr(error.orig, "pgcode", None) or "")

    def create_staging(self, connection: sa.Connection, name: str, columns: Sequence[sa.Column[Any]]) -> None:
        """Create a temporary table with the columns' own types."""
        typed = (f"{column.name} {column.type.compile(connection.dialect)}" for column in columns)
        connection.execute(sa.text(f"CREATE TEMP TABLE {name} ({', '.join(['ordinal BIGINT', *typed])})"))

    def load(self, connection: sa.Connection, name: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Append by COPY in its text format."""
        with connection.connection.cursor() as cursor:  # type: ignore[attr-defined]
            cursor.copy_expert(f"COPY {name} ({', '.join(columns)}) FROM STDIN", io.StringIO(_copy_text(rows)))

    def drop_staging(self, connection: sa.Connection, names: Sequence[str]) -> None:
        """Drop the tables; the connection is worth keeping."""
        with connection.begin():
            connection.execute(sa.text(f"DROP TABLE {', '.join(names)}"))

    def diagnose(self, error: Exception) -> PipelineError:
        """Tell by the SQLSTATE; an operational error without one is a connection that could not be made or broke."""
        cause = getattr(error, "orig", None) or error
        code = getattr(cause, "pgcode", None) or ""
        message = self._without_password(" ".join(str(cause).split()))
        if isinstance(cause, (psycopg2.DataError, psycopg2.IntegrityError)) or code.startswith(_LIMIT):
            return UnexpectedPayload(f"{self.place}: a record does not fit its table: {message}; nothing was written")
        if passing := self._passing(error, cause, code, message):
            return passing
        if code == _CANCELLED:
            return DatabaseUnavailable(
                f"{self.place}: the server cancelled a statement ({message}); raise the limit for this user, e.g. ALTER"
                " ROLE … SET statement_timeout = 0"
            )
        advice = _ADVICE.get(code)
        if advice is not None:
            return DatabaseUnavailable(f"{self.place}: {message}; {advice}")
        return DatabaseUnavailable(f"{self.place}: the mirror cannot be used: {message}")

    def _passing(self, error: Exception, cause: Exception, code: str, message: str) -> PipelineError | None:
        """Return what an error means that passes by itself; None for another."""
        if isinstance(cause, sa.exc.TimeoutError):
            return MirrorBusy(f"{self.place}: all connections of this process were in use for too long ({message})")
        if code in _BUSY or (code == _CANCELLED and _TAKES_TURN in str(getattr(error, "statement", ""))):
            return MirrorBusy(f"{self.place}: held by other writers for too long ({message}); it is tried again")
        unmade = not code and isinstance(cause, (psycopg2.OperationalError, psycopg2.InterfaceError))
        if code == "53300" or (unmade and any(words in message for words in _NO_CONNECTIONS)):
            return MirrorBusy(
                f"{self.place}: the server has no connection left ({message}); it is tried again. If that stays so,"
                " raise the server's or the user's limit, or lower `max_concurrent`"
            )
        if code.startswith(_ENDED):
            return MirrorLost(f"{self.place}: the server ended the connection by a time limit of its own ({message})")
        if code.startswith(_LOST) or unmade:
            return MirrorLost(f"{self.place}: no connection to the database ({message})")
        return None

    def _without_password(self, message: str) -> str:
        named = [self._url.password, *(self._url.query.get(name) for name in ("password", "sslpassword"))]
        for secret in (secret for secret in named if isinstance(secret, str) and secret):
            message = message.replace(secret, "***")
        return message


def _copy_text(rows: Iterable[Row]) -> str:
    return "".join("\t".join(map(_copy_field, row)) + "\n" for row in rows)


def _copy_field(value: str | float | None) -> str:
    """Spell a value as https://www.postgresql.org/docs/current/sql-copy.html ("Text Format") says."""
    if value is None:
        return r"\N"
    if not isinstance(value, str):
        return str(value)
    return value.replace("\\", r"\\").replace("\t", r"\t").replace("\n", r"\n").replace("\r", r"\r")
