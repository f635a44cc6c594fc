"""Connections and transactions of one mirror, with every driver error told in the project's own terms."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import psycopg2
import sqlalchemy as sa

from dandi_pipeline.errors import DatabaseUnavailable, MirrorBusy
from dandi_pipeline.mirror.dialect import Dialect
from dandi_pipeline.mirror.postgresql import PostgresqlDialect
from dandi_pipeline.mirror.sqlite import SqliteDialect
from dandi_pipeline.settings.values import database_url

_FILE = "sqlite:///"

_UNREADABLE = (
    "the mirror's database URL cannot be read; expected sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME, with"
    " what is no letter or digit in the password written as %XX"
)

_DRIVER_ERRORS = (sa.exc.SQLAlchemyError, sqlite3.Error, psycopg2.Error)


def dialect_of(url: str, patience: float) -> SqliteDialect | PostgresqlDialect:
    """Return how to speak to the database at `url`, waiting `patience` seconds for locks.

    Raises `DatabaseUnavailable`, which repeats nothing that may be a password, for a URL that names no database the
    mirror can use.
    """
    try:
        spelled = database_url(url)
    except ValueError as error:
        raise DatabaseUnavailable(f"the mirror's database URL: {error}") from None
    if spelled.startswith(_FILE):
        # Not by SQLAlchemy, whose versions differ in whether they unquote it.
        return SqliteDialect(Path(unquote(spelled.removeprefix(_FILE))), patience)
    try:
        return PostgresqlDialect(sa.make_url(spelled), patience)
    except (sa.exc.ArgumentError, ValueError):
        raise DatabaseUnavailable(_UNREADABLE) from None


class Database:
    """One mirror's database: hands out connections and lets one writer in at a time.

    Safe to share between threads. Nothing connects before it is used.
    """

    def __init__(self, dialect: Dialect, *, read_only: bool = False) -> None:
        self.dialect = dialect
        self._engine = dialect.engine(read_only=read_only)
        # The database arbitrates between processes; between threads a lock spares SQLite's polling.
        self._writers = threading.Lock()

    @contextmanager
    def connection(self) -> Iterator[sa.Connection]:
        """Lend a connection; what was not committed on it is rolled back at the end."""
        with self._reported():
            connection = self._engine.connect()
        with connection:
            yield connection

    @contextmanager
    def transaction(self, connection: sa.Connection) -> Iterator[None]:
        """Make one transaction that reads, or writes to temporary tables only."""
        with self._reported(), connection.begin():
            yield

    @contextmanager
    def writing(self, connection: sa.Connection) -> Iterator[None]:
        """Make one transaction that holds the mirror's write lock.

        Commits at the end, rolls back on any error. Raises `MirrorBusy` if others write for too long.
        """
        if not self._writers.acquire(timeout=self.dialect.patience):
            raise MirrorBusy(f"{self.dialect.place}: held by other writers for too long; it is tried again")
        try:
            with self._reported(), self.dialect.begin_writing(connection):
                self.dialect.wait_for_writers(connection)
                yield
        finally:
            self._writers.release()

    @contextmanager
    def beside(self, connection: sa.Connection) -> Iterator[None]:
        """Make one short transaction that writes, but none of the records: it does not queue for the write lock.

        Where the database locks single rows, that is; a SQLite file has but one writer.
        """
        with self._reported(), self.dialect.begin_writing(connection):
            yield

    def drop_staging(self, connection: sa.Connection, names: Sequence[str]) -> None:
        """Drop temporary tables of a connection."""
        with self._reported():
            self.dialect.drop_staging(connection, names)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Lend a connection for one transaction that reads."""
        with self.connection() as connection, self.transaction(connection):
            yield connection

    def close(self) -> None:
        """Close every idle connection; lent ones close when they come back."""
        self._engine.dispose()

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except _DRIVER_ERRORS as error:
            raise self.dialect.diagnose(error) from error
