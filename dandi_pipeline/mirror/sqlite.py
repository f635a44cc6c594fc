"""The mirror in a SQLite file: WAL, one writer at a time, staging in a temporary database on disk."""

import os
import re
import shutil
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from dandi_pipeline.errors import DatabaseUnavailable, MirrorBusy, PipelineError, UnexpectedPayload
from dandi_pipeline.mirror.dialect import Row
from dandi_pipeline.mirror.schema import JsonText
from dandi_pipeline.model import CellType

_BEGIN = "mirror_begin"

_SAMPLED = 2000
"""Rows of each index that statistics are made from."""

_CREATING = threading.Lock()
"""Keeps a thread from opening a file that another one has just created and is about to close."""

# `{type}` and `{value}` are the JSON type and the SQL value of a cell, `{twice}` is an array that has it twice, as it
# was written: `json_extract` of one path turns it into an SQL value. A CASE, since AND may be evaluated in any order.
_CELL: Mapping[CellType, str] = {
    "text": "CASE {type} WHEN 'text' THEN {value} END",
    "integer": "CASE WHEN {type} IN ('integer', 'real') THEN CASE WHEN {value} = CAST({value} AS INTEGER)"
    " THEN CAST({value} AS INTEGER) END END",
    "number": "CASE WHEN {type} IN ('integer', 'real') THEN {value} END",
    "boolean": "CASE {type} WHEN 'true' THEN 1 WHEN 'false' THEN 0 END",
    # `strftime` takes the 31st of February; whatever is added to it, even nothing, makes a day in March of it.
    "instant": "CASE WHEN {type} = 'text' AND {value} GLOB"
    " '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]"
    ".[0-9][0-9][0-9][0-9][0-9][0-9]Z' AND {value} NOT GLOB '0000*'"
    " THEN CASE strftime('%Y-%m-%dT%H:%M:%S', substr({value}, 1, 19), '+0 days')"
    " WHEN substr({value}, 1, 19) THEN {value} END END",
    "json": "CASE WHEN {type} <> 'null' THEN substr({twice}, 2, (length({twice}) - 3) / 2) END",
}


_STAGES = re.compile(r"CREATE TEMP TABLE|INSERT INTO (staged|removed)_")
"""Statements that write to the temporary database alone."""

_ALL_BUT_FULL = 64 * 1024
"""A disk with fewer free bytes has no room for SQLite's next pages."""


class SqliteDialect:
    """A mirror in the file at `path`."""

    def __init__(self, path: Path, patience: float) -> None:
        self.path = path
        self.patience = patience

    @property
    def place(self) -> str:
        """The file's path."""
        return str(self.path)

    def create_file(self) -> None:
        """Create the file for its owner only (the WAL beside it gets the same mode), and missing folders likewise.

        A file that exists is not even opened: closing it would drop this process's locks on it, those of other
        connections among them, and corrupt it (https://sqlite.org/howtocorrupt.html, 2.2).
        """
        try:
            with _CREATING:
                self._create_missing_file()
        except OSError as error:
            raise DatabaseUnavailable(f"{self.path}: the mirror's file cannot be created: {error.strerror}") from error

    def _create_missing_file(self) -> None:
        if self.path.exists():
            return
        for folder in reversed([parent for parent in self.path.parents if not parent.exists()]):
            folder.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))

    def engine(self, *, read_only: bool) -> sa.Engine:
        """Return a pooled engine; each transaction begins when SQLAlchemy says so, not when sqlite3 guesses."""

        def connect() -> sqlite3.Connection:
            return _connect(self.path, read_only=read_only, patience=self.patience)

        engine = sa.create_engine(
            "sqlite://",
            creator=connect,
            poolclass=sa.QueuePool,
            pool_size=5,
            max_overflow=10,
            pool_timeout=self.patience,
            hide_parameters=True,
        )
        sa.event.listen(engine, "begin", _begin)
        return engine

    def begin_writing(self, connection: sa.Connection) -> sa.RootTransaction:
        """Take the write lock at once: a transaction that starts by reading could not be upgraded safely."""
        connection.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        try:
            return connection.begin()
        finally:
            connection.execution_options(**{_BEGIN: "BEGIN"})

    def wait_for_writers(self, connection: sa.Connection) -> None:
        """Do nothing: BEGIN IMMEDIATE has waited already."""

    def clock(self, connection: sa.Connection) -> float:
        """Return the machine's time: a file is not shared between machines."""
        return time.time()

    def as_text(self, column: sa.Column[Any], expression: str) -> str:
        """Everything is stored as it is to be read."""
        return expression

    def json_object(self, members: Sequence[tuple[sa.Column[Any], str]]) -> str:
        """Build the object with `json_object`, with documents nested and booleans as such."""
        pairs = (f"'{column.name}', {_json(column, value)}" for column, value in members)
        return f"json_object({', '.join(pairs)})"

    def differs(self, column: sa.Column[Any], left: str, right: str) -> str:
        """`IS DISTINCT FROM` came with SQLite 3.39; `IS NOT` is older and the same."""
        return f"{left} IS NOT {right}"

    def cell(self, name: str, kind: CellType) -> str:
        """Read by a JSON path; the operators -> and ->> came with SQLite 3.38."""
        path = f"'$.\"{name[1:-1]}\"'"
        return _CELL[kind].format(
            type=f"json_type(cells, {path})",
            value=f"json_extract(cells, {path})",
            twice=f"json_extract(cells, {path}, {path})",
        )

    def has_relation(self, connection: sa.Connection, name: str) -> bool:
        """Look among all names of the file, whatever their capitals."""
        found = connection.execute(sa.text("SELECT 1 FROM sqlite_master WHERE lower(name) = :name"), {"name": name})
        return found.first() is not None

    def analyze(self, connection: sa.Connection, tables: Sequence[str]) -> None:
        """Sample each index; reading all of them takes as long as a large sync."""
        connection.exec_driver_sql(f"PRAGMA analysis_limit = {_SAMPLED}")
        for table in tables:
            connection.exec_driver_sql(f"ANALYZE {table}")

    def wait_briefly(self, connection: sa.Connection) -> None:
        """Do nothing: in a file there is nothing but the write lock to wait for."""

    def use_of_view(self, error: sa.exc.DBAPIError) -> str | None:
        """Nobody is in the way: readers keep what they began with, and views do not depend on each other."""
        return None

    def create_staging(self, connection: sa.Connection, name: str, columns: Sequence[sa.Column[Any]]) -> None:
        """Create the table in the temporary database, a file of its own, so that nobody is locked out."""
        names = [column.name for column in columns]
        connection.execute(sa.text(f"CREATE TEMP TABLE {name} ({', '.join(['ordinal', *names])})"))

    def load(self, connection: sa.Connection, name: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Append by one prepared statement, run for each row."""
        marks = ", ".join("?" * len(columns))
        connection.exec_driver_sql(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks})", list(rows))  # noqa: S608 - the schema's names

    def drop_staging(self, connection: sa.Connection, names: Sequence[str]) -> None:
        """Close the driver's connection, and the temporary database goes with it; the next use opens another.

        Dropping a table reads its every page: a second and more where this costs a millisecond.
        """
        connection.invalidate()

    def diagnose(self, error: Exception) -> PipelineError:
        """Tell by the message, which is what people know the error by."""
        cause = getattr(error, "orig", None) or error
        message = " ".join(str(cause).split())
        if isinstance(cause, (sqlite3.IntegrityError, sqlite3.DataError)):
            return UnexpectedPayload(f"{self.place}: a record does not fit its table: {message}; nothing was written")
        if "locked" in message or isinstance(cause, sa.exc.TimeoutError):
            return MirrorBusy(f"{self.place}: held by other writers for too long ({message}); it is tried again")
        return DatabaseUnavailable(f"{self.place}: {self._trouble(message, getattr(error, 'statement', None) or '')}")

    def _trouble(self, message: str, statement: str) -> str:
        """Say what keeps the file from being used, and what to do."""
        full = "disk is full" in message
        staging = (full or "disk I/O" in message or "unable to open" in message) and _STAGES.search(statement)
        folder = _temporary_folder()
        # Sorting, indexes and merges use temporary files as well.
        if staging or (full and _is_full(folder) and not _is_full(self.path.parent)):
            return (
                f"the disk for temporary files, {folder}, is full or cannot be written ({message}); free space there,"
                " or name a folder with more in SQLITE_TMPDIR"
            )
        if full:
            return "the disk is full; free space there and sync again"
        if "disk I/O" in message:
            return f"the disk is failing or full ({message}); check it and its free space, and sync again"
        if "malformed" in message or "not a database" in message:
            return (
                f"the file is damaged, or is no SQLite database ({message}); restore a copy, or move it away: the next"
                " sync reads everything anew"
            )
        if "readonly" in message or "unable to open" in message:
            return (
                f"the file cannot be written, or those beside it ({message}); check the permissions, and that the disk"
                " is not read-only"
            )
        return f"the mirror cannot be used: {message}"


def _json(column: sa.Column[Any], value: str) -> str:
    if isinstance(column.type, JsonText):
        return f"json({value})"
    if isinstance(column.type, sa.Boolean):
        return f"json(CASE WHEN {value} THEN 'true' ELSE 'false' END)"
    return value


def _temporary_folder() -> Path:
    """Return where SQLite keeps temporary files, by its own rule (https://sqlite.org/tempfiles.html, 5)."""
    named = (os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"), "/var/tmp", "/usr/tmp", "/tmp")  # noqa: S108
    usable = (Path(name) for name in named if name and os.path.isdir(name) and os.access(name, os.W_OK | os.X_OK))
    return next(usable, Path.cwd())


def _is_full(folder: Path) -> bool:
    return shutil.disk_usage(folder).free < _ALL_BUT_FULL


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


def _connect(path: Path, *, read_only: bool, patience: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw",
        uri=True,
        timeout=patience,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        _configure(connection, read_only=read_only, patience=patience)
    except BaseException:
        connection.close()
        raise
    return connection


def _configure(connection: sqlite3.Connection, *, read_only: bool, patience: float) -> None:
    if read_only:
        # Not "mode=ro": that leaves the WAL's two files behind, which a reader must create and may not remove.
        connection.execute("PRAGMA query_only = ON")
    else:
        # Of a new file: five assets with their metadata fit on a page, where the usual 4096 bytes take one.
        connection.execute("PRAGMA page_size = 16384")
        _use_write_ahead_log(connection, patience)
        # With a WAL, NORMAL can lose the last commits in a power cut but never corrupts. A commit holds the rows
        # and their state token together, so what is lost is stale and read again.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_size_limit = 67108864")
    # For each connection, of which a sync has one a partition; beyond it the operating system's cache does as well.
    connection.execute("PRAGMA cache_size = -8192")


def _use_write_ahead_log(connection: sqlite3.Connection, patience: float) -> None:
    """Switch the file to WAL; the switch alone does not wait for locks by itself (two first openers at once)."""
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
