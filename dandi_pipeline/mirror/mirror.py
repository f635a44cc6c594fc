"""The mirror as the rest of the project sees it: open it, ask what it knows, change one partition at a time."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from types import TracebackType
from typing import Any

import sqlalchemy as sa

from dandi_pipeline.errors import DatabaseUnavailable, MirrorLost, TransientError
from dandi_pipeline.http import LocalBudgets, RateBudget, RateLimit
from dandi_pipeline.http.rate_limits import LedgerBudget
from dandi_pipeline.mirror.database import Database, dialect_of
from dandi_pipeline.mirror.facets import FacetSchema, outdated, rebuild_partition
from dandi_pipeline.mirror.migrations import is_current, revision, upgrade
from dandi_pipeline.mirror.partitions import (
    Held,
    PartitionRows,
    PartitionState,
    now,
    read_held,
    read_states,
    read_tokens,
)
from dandi_pipeline.mirror.past import prune_changes
from dandi_pipeline.mirror.rate_ledger import MirrorLedger, Usage
from dandi_pipeline.mirror.schema import METADATA, RECORD_TABLES, mirror_statistics, partitions
from dandi_pipeline.mirror.session import PartitionSession, StoredRow, open_session, read_known, read_rows
from dandi_pipeline.mirror.sqlite import SqliteDialect
from dandi_pipeline.mirror.views import Change, Shown, forget_history, read_changes, read_sample, read_shown
from dandi_pipeline.model import Fingerprint, Key, RecordKind


def build_lookups(database: Database, facets: FacetSchema) -> None:
    """Build those that are missing, in one transaction; where others hold the database, the next sync does it."""
    with suppress(TransientError), database.connection() as connection:
        with database.transaction(connection):
            complete = not _missing(connection, facets)
        if not complete:
            with database.writing(connection):
                for index in _missing(connection, facets):
                    index.create(connection)


GROWTH = 0.1
"""By what share the records may grow or shrink before statistics are taken again."""


def take_statistics(database: Database, facets: FacetSchema) -> None:
    """Take the database's statistics where the records have changed much since; what is busy, the next sync does.

    Without them no plan is good: keys begin with the source, which is the same in most rows.
    """
    with suppress(TransientError), database.connection() as connection:
        with database.transaction(connection):
            fit = _are_fit(connection)
        if not fit:
            with database.writing(connection):
                database.dialect.analyze(connection, (*METADATA.tables, *facets.metadata.tables))
                connection.execute(sa.delete(mirror_statistics))
                connection.execute(sa.insert(mirror_statistics).from_select(["records"], _RECORDS))


_RECORDS = sa.select(sa.func.coalesce(sa.func.sum(partitions.c.records), 0))


def _are_fit(connection: sa.Connection) -> bool:
    records = connection.execute(_RECORDS).scalar_one()
    then = connection.execute(sa.select(mirror_statistics.c.records)).scalar_one_or_none()
    return then is not None and abs(records - then) <= GROWTH * then


def _missing(connection: sa.Connection, facets: FacetSchema) -> list[sa.Index]:
    there = sa.inspect(connection)
    own = (index for record in RECORD_TABLES.values() for index in record.table.indexes)
    return [
        index
        for index in (*own, *facets.lookups())
        if index.table is not None and not there.has_index(index.table.name, str(index.name))
    ]


PATIENCE = 60.0
"""Seconds a writer waits for others before it gives up with `MirrorBusy`."""


class Mirror:
    """The SQL mirror in one database. Safe to share between threads; any number of processes may open it."""

    def __init__(self, database: Database, facets: FacetSchema) -> None:
        self._database = database
        self._facets = facets
        # On connections of their own: a sync that waits for its turn to ask may hold all others.
        self._ledger = MirrorLedger(Database(database.dialect))

    @classmethod
    def open(cls, url: str, facets: FacetSchema, *, patience: float = PATIENCE) -> "Mirror":
        """Open the mirror at a SQLAlchemy URL, creating or upgrading it first if need be, with these facets.

        A SQLite file is created readable by its owner only. Raises `DatabaseUnavailable` if the database cannot
        be reached or used, or was written by a newer version.
        """
        dialect = dialect_of(url, patience)
        if isinstance(dialect, SqliteDialect):
            dialect.create_file()
        database = Database(dialect)
        with _closed_on_failure(database):
            upgrade(database, facets)
        return cls(database, facets)

    @classmethod
    def peek(cls, url: str, facets: FacetSchema, *, patience: float = PATIENCE) -> "Mirror | None":
        """Open the mirror for reading only; None where there is none yet. Its budgets are kept all the same.

        Raises `DatabaseUnavailable` like `open`, and for a mirror that must be upgraded first.
        """
        dialect = dialect_of(url, patience)
        if isinstance(dialect, SqliteDialect) and not dialect.path.exists():
            return None
        database = Database(dialect, read_only=True)
        with _closed_on_failure(database):
            with database.reading() as connection:
                found = revision(connection)
            if found is not None and not is_current(found, dialect.place):
                raise DatabaseUnavailable(f"{dialect.place}: written by an older version; the next sync upgrades it")
        if found is None:
            database.close()
            return None
        return cls(database, facets)

    def tokens(self, source: str) -> dict[str, dict[str, str | None]]:
        """Return the token of each part of every partition of a source, by partition and part; cheap, as checks are."""
        with self._database.reading() as connection:
            return read_tokens(connection, source)

    def states(self, source: str, *, only_failed: bool = False) -> dict[tuple[str, str], PartitionState]:
        """Return how every part of every partition of a source stands, by (partition, part).

        With `only_failed`, of those alone whose last attempt failed.
        """
        with self._database.reading() as connection:
            return read_states(connection, source, only_failed=only_failed)

    def held(self) -> dict[str, Held]:
        """Return how much is held of each source, configured or not, by its alias."""
        with self._database.reading() as connection:
            return read_held(connection)

    def known(self, source: str, partition: str, kind: RecordKind) -> dict[Key, Fingerprint]:
        """Return the fingerprint of every record of a kind in a partition, by key."""
        with self._database.reading() as connection:
            return read_known(connection, source, partition, kind)

    def rows(self, source: str, partition: str, kind: RecordKind, keys: Sequence[Key]) -> dict[Key, StoredRow]:
        """Return the stored rows of those records that have one of the keys."""
        with self._database.reading() as connection:
            return read_rows(connection, self._database.dialect, source, partition, kind, keys)

    def shown(self, source: str, partition: str | None = None) -> dict[str, Shown]:
        """Return what partitions of users' own records, or one, are called, and in which views they are, by key."""
        with self._database.reading() as connection:
            return read_shown(connection, source, partition)

    def sample(
        self, source: str, partition: str, kind: RecordKind, view: str | None = None, *, limit: int = 5
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the columns and up to `limit` rows of a partition that changed last, from its view if it is named."""
        with self._database.reading() as connection:
            return read_sample(connection, RECORD_TABLES[kind.name], source, partition, view, limit)

    def has_history(self, source: str) -> bool:
        """Say whether the change feed tells of a source."""
        return bool(self.changes(source=source, limit=1))

    def changes(self, *, after: int = 0, source: str | None = None, limit: int = 1000) -> list[Change]:
        """Return up to `limit` changes beyond the sequence `after`, oldest first.

        No change with a lower sequence ever appears later, so a reader resumes from the last one it has seen.
        """
        with self._database.reading() as connection:
            return read_changes(connection, after=after, source=source, limit=limit)

    def prune_changes(self, before: str, *, dry_run: bool = False) -> int:
        """Forget the changes that are older than an instant; see `past.prune_changes`."""
        return prune_changes(self._database, before, dry_run=dry_run)

    def session(self, source: str, partition: str, parts: Sequence[str]) -> AbstractContextManager[PartitionSession]:
        """Begin a sync of some parts of a partition; what is not committed at the end is forgotten."""
        return open_session(self._database, self._facets, source, partition, parts)

    def complete(self) -> None:
        """Build the indexes for people's queries where they are missing, as they are until a first sync has ended.

        Take the database's statistics where the mirror has grown much since they were taken.
        """
        build_lookups(self._database, self._facets)
        take_statistics(self._database, self._facets)

    def rebuild_facets(self, source: str) -> int:
        """Derive facets anew where they are not of the present rules, from what is stored; return of how many.

        Each partition has a transaction of its own.
        """
        rebuilt = 0
        for rules in self._facets.rules:
            with self._database.reading() as connection:
                partitions = outdated(connection, rules, source)
            for partition in partitions:
                with self._database.connection() as connection, self._database.writing(connection):
                    rebuild_partition(connection, self._database.dialect, rules, source, partition)
            rebuilt += len(partitions)
        return rebuilt

    def forget(self, source: str, *, run_id: str, with_history: bool = False) -> Iterator[str]:
        """Remove all that is held of a source, a transaction a partition, and yield each partition once it is gone.

        The change feed tells of every record that was deleted, unless `with_history` the source's part of the feed
        goes last. What is interrupted is done by doing it again. Raises `PartitionMoved` where a sync is under way.
        """
        states = self.states(source)
        for partition in dict.fromkeys(partition for partition, _ in states):
            parts = [part for other, part in states if other == partition]
            with self.session(source, partition, parts) as session:
                session.remove(run_id=run_id)
            yield partition
        if with_history:
            with self._database.connection() as connection, self._database.writing(connection):
                forget_history(connection, source)

    def record_failure(
        self, source: str, partition: str, parts: Sequence[str], *, run_id: str, group: str, message: str
    ) -> None:
        """Remember that an attempt failed. What the mirror holds stays, and so does its token."""
        with self._database.connection() as connection, self._database.writing(connection):
            named = {"source": source, "partition": partition, "run_id": run_id, "at": now()}
            rows = PartitionRows(connection, named)
            for part in parts:
                rows.fail(part, group=group, message=message)

    def budget(self, *limits: RateLimit) -> RateBudget:
        """Return the budget that keeps every one of the limits, together with all who use this mirror.

        A pause holds back all who share the first limit, within a second. Its methods raise `MirrorBusy`,
        `MirrorLost` or `DatabaseUnavailable` where the database fails. Without a limit nothing is shared.
        """
        return LedgerBudget(self._ledger, limits) if limits else LocalBudgets().budget()

    def usage(self) -> dict[str, Usage]:
        """Return what was sent under each limit, by its key."""
        return self._ledger.usage()

    def close(self) -> None:
        """Close the connections; those of open sessions when these end."""
        self._ledger.close()
        self._database.close()

    def __enter__(self) -> "Mirror":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def _closed_on_failure(database: Database) -> Iterator[None]:
    """Close a database that cannot be opened; one that does not answer at all is probably named wrongly."""
    try:
        yield
    except BaseException as error:
        database.close()
        if isinstance(error, MirrorLost):
            raise DatabaseUnavailable(f"{error}; check MIRROR_DATABASE_URL") from error
        raise
