"""One sync of one partition: what is known before, what is staged meanwhile, and the one transaction at the end."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from itertools import count, islice
from typing import Any

import sqlalchemy as sa

from dandi_pipeline.errors import MirrorLost, PartitionMoved, UnexpectedPayload
from dandi_pipeline.mirror.database import Database
from dandi_pipeline.mirror.dialect import Dialect, Row
from dandi_pipeline.mirror.facets import (
    FacetChanges,
    FacetSchema,
    is_derived,
    mark_derived,
    rebuild_partition,
)
from dandi_pipeline.mirror.partitions import HIDDEN_TOKEN, PartitionRows, PartitionState, now, read_states
from dandi_pipeline.mirror.schema import RECORD_TABLES, RecordTable
from dandi_pipeline.mirror.texts import renew_texts
from dandi_pipeline.mirror.views import ShapedViews, checked, image
from dandi_pipeline.model import Column, Fingerprint, Key, Known, Record, RecordKind, Shape
from dandi_pipeline.text import is_storable


def read_known(connection: sa.Connection, source: str, partition: str, kind: RecordKind) -> dict[Key, Fingerprint]:
    """Return the fingerprint of every record of a kind in a partition, by key."""
    record = RECORD_TABLES[kind.name]
    columns = record.table.c
    wanted = [columns[name] for name in (*record.key, "content_hash", *kind.fingerprint)]
    rows = connection.execute(
        sa.select(*wanted).where(columns.source == source, columns[record.partition] == partition)
    )
    width = len(record.key)
    return {tuple(row[:width]): tuple(row[width:]) for row in rows}


StoredRow = Mapping[str, Any]
"""A row's typed columns, metadata and hash, by name, spelled as records spell them."""

_ASKED_AT_ONCE = 400
"""Keys in one statement: SQLite before 3.32 takes 999 parameters."""


def read_rows(
    connection: sa.Connection, dialect: Dialect, source: str, partition: str, kind: RecordKind, keys: Sequence[Key]
) -> dict[Key, StoredRow]:
    """Return those records of a kind in a partition that have one of the keys, as they are stored."""
    record = RECORD_TABLES[kind.name]
    names = record.staged[len(record.key) :]
    columns = ", ".join(dialect.as_text(record.table.columns[name], name) for name in (*record.key, *names))
    where = f"WHERE source = :source AND {record.partition} = :partition"
    width = len(record.key)
    found: dict[Key, StoredRow] = {}
    for batch in [keys[start : start + _ASKED_AT_ONCE] for start in range(0, len(keys), _ASKED_AT_ONCE)]:
        values = {f"k{row}_{place}": part for row, key in enumerate(batch) for place, part in enumerate(key)}
        wanted = (f"({', '.join(f':k{row}_{place}' for place in range(width))})" for row in range(len(batch)))
        among = f" AND ({', '.join(record.key)}) IN (VALUES {', '.join(wanted)})" if width else ""
        rows = connection.execute(
            sa.text(f"SELECT {columns} FROM {record.table.name} {where}{among}"),  # noqa: S608 - the schema's names
            {"source": source, "partition": partition, **values},
        )
        found |= {tuple(row[:width]): dict(zip(names, row[width:], strict=True)) for row in rows}
    return found


BATCH = 1000
"""Rows sent at a time: bounds memory, whatever a caller hands over."""

_UNREADABLE = re.compile(r"(?<!\\)((?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})")
"""A NUL or half a surrogate pair, which are escapes in canonical JSON."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_HUGE = re.compile(r"\d{6000}|[eE][+-]?\d{5}", re.ASCII)
"""Beyond what PostgreSQL's NUMERIC, and with it JSONB, can hold: 131,072 digits before the point, 16,383 behind it."""

LONGEST_KEY = 2000
"""Bytes of UTF-8. PostgreSQL indexes rows of at most 2,704 bytes (a third of a page); a DANDI path ends at 512."""


class StagingTable:
    """A temporary table that takes rows in order; where a key comes twice, the later row counts."""

    def __init__(
        self, connection: sa.Connection, dialect: Dialect, name: str, record: RecordTable, columns: Sequence[str]
    ):
        self.name = name
        self._connection = connection
        self._dialect = dialect
        self._columns = ("ordinal", *columns)
        self._ordinals = count()
        self._key = record.key
        dialect.create_staging(connection, name, [record.table.columns[column] for column in columns])

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows, a batch at a time."""
        for batch in _batches((next(self._ordinals), *row) for row in rows):
            self._dialect.load(self._connection, self.name, self._columns, batch)

    def settle(self) -> None:
        """Index the rows by key, which also keeps the database from guessing, and drop those staged again later."""
        if self._key:
            keys = ", ".join(self._key)
            self._connection.execute(
                sa.text(f"CREATE INDEX IF NOT EXISTS {self.name}_by_key ON {self.name} ({keys}, ordinal)")
            )
        same = " AND ".join(["true", *(f"later.{column} = {self.name}.{column}" for column in self._key)])
        self._connection.execute(
            sa.text(
                f"DELETE FROM {self.name} WHERE EXISTS"  # noqa: S608 - the schema's names
                f" (SELECT 1 FROM {self.name} later WHERE {same} AND later.ordinal > {self.name}.ordinal)"
            )
        )


def staged_rows(record_table: RecordTable, records: Iterable[Record], where: str) -> Iterator[Row]:
    """Yield the records as rows of `RecordTable.staged`.

    Raises `UnexpectedPayload` for what a database cannot hold: NUL and lone surrogates in text, integers beyond
    64 bits, keys and other values too long to index.
    """
    document, cellular = record_table.has_metadata, "cells" in record_table.values
    for record in records:
        columns = _readable(record.columns) if cellular else record.columns
        values = [columns[name] for name in record_table.values]
        row = (*record.key, *values, *((record.metadata,) if document else ()), record.content_hash)
        problem = (
            _problem(row)
            or _key_problem(record.key)
            or _lookup_problem(record, record_table.lookups)
            or (_cells_problem(columns["cells"]) if cellular else None)
        )
        if problem:
            _refuse(problem, record.kind.name, record.key, where)
        yield row


def checked_keys(kind: str, keys: Iterable[Key], where: str) -> Iterator[Row]:
    """Yield keys as rows; raises `UnexpectedPayload` like `staged_rows`."""
    for key in keys:
        if problem := _problem(key) or _key_problem(key):
            _refuse(problem, kind, key, where)
        yield key


def _readable(columns: Mapping[str, Column]) -> Mapping[str, Column]:
    """Return the columns with each NUL and each half of a surrogate pair in the cells replaced.

    JSONB takes neither, and SQLite's functions stop at a NUL. The metadata beside the cells keeps them.
    """
    return {**columns, "cells": readable(str(columns["cells"]))}


def readable(cells: str) -> str:
    """Return JSON of cells as both databases can hold it."""
    return _UNREADABLE.sub(r"\1\\ufffd", cells)


def _cells_problem(cells: Column) -> str | None:
    if isinstance(cells, str) and _HUGE.search(cells) and _HUGE.search(_STRING.sub("", cells)):
        return "has a number in its cells that PostgreSQL cannot hold"
    return None


def _refuse(problem: str, kind: str, key: Key, where: str) -> None:
    raise UnexpectedPayload(f"{where}: {kind} {'/'.join(key)[:200]!r} {problem}; nothing was written for it")


def _problem(row: Row) -> str | None:
    for value in row:
        if isinstance(value, str):
            if not is_storable(value):
                return "has a NUL character in a text" if "\0" in value else "has a text that is no valid Unicode"
        elif value is not None and not -(2**63) <= value < 2**63:
            return f"has an integer beyond 64 bits ({len(str(value))} digits)"
    return None


def _key_problem(key: Key) -> str | None:
    return f"has a key of more than {LONGEST_KEY} bytes" if _is_too_long(*key) else None


def _lookup_problem(record: Record, columns: Sequence[str]) -> str | None:
    for column in columns:
        value = record.columns[column]
        if isinstance(value, str) and len(value) * 4 > LONGEST_KEY and _is_too_long(value):
            return f"has a {column!r} of more than {LONGEST_KEY} bytes"
    return None


def _is_too_long(*texts: str) -> bool:
    return sum(map(len, texts)) * 4 > LONGEST_KEY and len("".join(texts).encode()) > LONGEST_KEY


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, BATCH)):
        yield batch


@dataclass(frozen=True, slots=True)
class Counts:
    """How many records of a kind a transaction changed.

    `touched`: same content, but a column beside it moved; rewritten without an entry in the change feed.
    """

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    touched: int = 0

    @property
    def growth(self) -> int:
        """By how many the records have become more."""
        return self.inserted - self.deleted

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(ours + theirs for ours, theirs in zip(astuple(self), astuple(other), strict=True)))


class Merge:
    """Changes the records of one kind in one partition; every number it returns was counted by the database."""

    def __init__(
        self, connection: sa.Connection, dialect: Dialect, record: RecordTable, named: Mapping[str, str]
    ) -> None:
        """Take `named`: the values of source, partition, run_id and at."""
        self._connection = connection
        self._dialect = dialect
        self._record = record
        self._named = named
        self._table = record.table.name
        self._here = f"t.source = :source AND t.{record.partition} = :partition"

    def delete_staged(self, staging: str) -> int:
        """Delete the rows whose keys `staging` holds; return how many there were."""
        deleted = self._log("delete", f"FROM {staging} s CROSS JOIN {self._table} t WHERE {self._same_row}")
        if deleted:
            self._execute(
                f"DELETE FROM {self._table} AS t WHERE {self._here} AND EXISTS"  # noqa: S608 - the schema's names
                f" (SELECT 1 FROM {staging} s WHERE {self._same_row})"
            )
        return deleted

    def delete_all(self) -> int:
        """Delete the partition's every row; return how many there were."""
        deleted = self._log("delete", f"FROM {self._table} t WHERE {self._here}")
        if deleted:
            self._connection.execute(sa.delete(self._record.table).where(*self._in_partition))
        return deleted

    def upsert_staged(self, staging: str) -> Counts:
        """Insert what is new of `staging`, update what differs, leave the rest unwritten."""
        pairs = f"FROM {staging} s CROSS JOIN {self._table} t WHERE {self._same_row}"
        updated = self._log("update", f"{pairs} AND ({self._content_differs})")
        absent = f"NOT EXISTS (SELECT 1 FROM {self._table} t WHERE {self._same_row})"  # noqa: S608 - the schema's names
        inserted = self._log("insert", f"FROM {staging} s WHERE {absent}")
        written = self._execute(self._upsert(staging))
        return Counts(inserted=inserted, updated=updated, touched=written - inserted - updated)

    def mark(self, column: str, value: bool) -> int:
        """Give all rows one value in a column; return how many had another one before."""
        others = f"FROM {self._table} t WHERE {self._here} AND t.{column} = {str(not value).lower()}"
        changed = self._log("update", others)
        if changed:
            table = self._record.table
            self._connection.execute(sa.update(table).where(*self._in_partition).values({column: value}))
        return changed

    @property
    def _in_partition(self) -> tuple[sa.ColumnElement[bool], ...]:
        columns = self._record.table.c
        partition = columns[self._record.partition] == self._named["partition"]
        return columns.source == self._named["source"], partition

    @property
    def _content_differs(self) -> str:
        """The hash tells; but whether a row is visible it cannot, since the mirror itself marks rows so."""
        marked = (f" OR t.{column} <> s.{column}" for column in self._record.markable)
        return f"t.content_hash <> s.content_hash{''.join(marked)}"

    @property
    def _same_row(self) -> str:
        return " AND ".join([self._here, *(f"t.{column} = s.{column}" for column in self._record.key)])

    def _log(self, kind: str, origin: str) -> int:
        """Log one change for each row of `origin`, where `t` is a row before it (or `s` one to be inserted)."""
        alias, before = ("s", "NULL") if kind == "insert" else ("t", image(self._record, self._dialect, "t"))
        return self._execute(
            "INSERT INTO change_log (at, run_id, source, partition, record, scope, name, kind, before)"
            f" SELECT :at, :run_id, :source, :partition, '{self._record.kind}',"
            f" {self._identity(self._record.scope, alias)}, {self._identity(self._record.name, alias)},"
            f" '{kind}', {before} {origin}"
        )

    def _identity(self, column: str | None, alias: str) -> str:
        if column is None:
            return "''"
        return ":partition" if column == self._record.partition else f"{alias}.{column}"

    def _upsert(self, staging: str) -> str:
        record = self._record
        columns = ", ".join(record.staged)
        mutable = record.staged[len(record.key) :]
        differs = " OR ".join(
            self._dialect.differs(record.table.columns[name], f"{self._table}.{name}", f"excluded.{name}")
            for name in mutable
        )
        # "WHERE true" keeps SQLite from reading ON CONFLICT as a join's ON.
        return (
            f"INSERT INTO {self._table} (source, {record.partition}, {columns})"  # noqa: S608 - the schema's names
            f" SELECT :source, :partition, {columns} FROM {staging} WHERE true"
            f" ON CONFLICT ({', '.join(('source', record.partition, *record.key))}) DO UPDATE"
            f" SET {', '.join(f'{name} = excluded.{name}' for name in mutable)}"
            f" WHERE {differs}"
        )

    def _execute(self, statement: str) -> int:
        return self._connection.execute(sa.text(statement), self._named).rowcount


class PartitionSession:
    """A partition as one sync sees and changes it. For one thread at a time; made by `Mirror.session`.

    Every method raises `MirrorLost`, `MirrorBusy` or `DatabaseUnavailable` where the database fails.
    """

    def __init__(
        self,
        database: Database,
        facets: FacetSchema,
        connection: sa.Connection,
        source: str,
        partition: str,
        parts: Sequence[str],
    ) -> None:
        self._database = database
        self._facet_schema = facets
        self._connection = connection
        self._source = source
        self._partition = partition
        self._parts = tuple(parts)
        self._kinds: dict[str, RecordKind] = {}
        self._staged: dict[str, StagingTable] = {}
        self._removed: dict[str, StagingTable] = {}
        self._shape: Shape | None = None
        self._facets: FacetChanges | None = None
        with database.transaction(connection):
            self._states = self._read_states()

    @property
    def states(self) -> Mapping[str, PartitionState | None]:
        """How each part stood at entry (and after each commit of this session); None for one never seen."""
        return self._states

    def known(self, kind: RecordKind) -> Known:
        """Return what the mirror holds of a kind in this partition: its keys with their fingerprints."""
        with self._database.transaction(self._connection):
            return read_known(self._connection, self._source, self._partition, kind)

    def stage(self, records: Sequence[Record]) -> None:
        """Take records that are new or differ from what is known; the last of those with one key counts.

        Raises `UnexpectedPayload`, naming the record, for values no database can hold.
        """
        for kind, group in _by_kind(records):
            table = RECORD_TABLES[kind.name]
            rows = staged_rows(table, group, self._where)
            self._add(self._staging(self._staged, "staged", kind, table.staged), rows)
            self._take_facets(kind, group)

    def stage_deleted(self, kind: RecordKind, keys: Sequence[Key]) -> None:
        """Take the keys of records that are gone."""
        table = RECORD_TABLES[kind.name]
        rows = checked_keys(kind.name, keys, self._where)
        self._add(self._staging(self._removed, "removed", kind, table.key), rows)

    def shape(self, shape: Shape) -> None:
        """Take how the partition's records read as a table; the last shape counts.

        Raises `UnexpectedPayload` for a property that no view can read.
        """
        self._shape = checked(shape, self._where)

    def discard(self) -> None:
        """Forget everything staged."""
        names = [staging.name for staging in (*self._staged.values(), *self._removed.values())]
        if names and not self._connection.invalidated:
            # A lost connection has taken its temporary tables along.
            with suppress(MirrorLost):
                self._database.drop_staging(self._connection, names)
        self._staged.clear()
        self._removed.clear()
        self._kinds.clear()
        self._shape = None
        if self._facets is not None:
            self._facets.close()
        self._facets = None

    def commit(
        self, *, run_id: str, tokens: Mapping[str, str | None], clear_failure: bool = True, changing: bool = False
    ) -> Mapping[str, Counts]:
        """Apply everything staged and store each part's token, in one transaction; return counts by kind.

        A token of None stores the records and leaves the part stale, `changing` says because it changed meanwhile.
        The partition counts as visible again.
        The partition's view follows its shape. Raises `PartitionMoved`, having written nothing, if another session
        committed it since this one read it.
        """
        if set(tokens) != set(self._parts):
            raise ValueError(f"tokens are for {sorted(tokens)}, the session is for {sorted(self._parts)}")
        with self._database.transaction(self._connection):
            for staging in (*self._staged.values(), *self._removed.values()):
                staging.settle()

        def apply(rows: PartitionRows, merge: Callable[[RecordTable], Merge]) -> dict[str, Counts]:
            derived = self._is_derived()
            counts = {name: self._apply(merge(RECORD_TABLES[name]), name) for name in self._kinds}
            self._apply_facets(derived)
            shown = self._set_visible(merge, visible=True) if self._was_hidden else {}
            for part, token in tokens.items():
                added = sum(counts[name].growth for name, kind in self._kinds.items() if kind.part == part)
                rows.succeed(
                    part, token=token, added=added, visible=True, clear_failure=clear_failure, changing=changing
                )
            marked = {} if self._shape is None else self._follow(self._shape, merge)
            return _sum(counts, shown, marked)

        return self._write(run_id, apply)

    def hide(self, *, run_id: str) -> Mapping[str, Counts]:
        """Mark the partition as existing but hidden: its records stay, what is staged is dropped.

        Raises `PartitionMoved` like `commit`.
        """

        def apply(rows: PartitionRows, merge: Callable[[RecordTable], Merge]) -> dict[str, Counts]:
            for part in self._parts:
                rows.succeed(part, token=HIDDEN_TOKEN, added=0, visible=False, clear_failure=True)
            return self._set_visible(merge, visible=False)

        return self._write(run_id, apply)

    def remove(self, *, run_id: str) -> Mapping[str, Counts]:
        """Delete every record of the partition, of all parts, its state and its view; return counts by kind.

        The change feed keeps what was deleted. Raises `PartitionMoved` like `commit`.
        """

        def apply(rows: PartitionRows, merge: Callable[[RecordTable], Merge]) -> dict[str, Counts]:
            deleted = {name: merge(table).delete_all() for name, table in RECORD_TABLES.items()}
            rows.forget()
            self._facet_schema.forget(self._connection, self._database.dialect, self._source, self._partition)
            self._views.forget(self._source, self._partition)
            return {name: Counts(deleted=number) for name, number in deleted.items() if number}

        return self._write(run_id, apply)

    def _follow(self, shape: Shape, merge: Callable[[RecordTable], Merge]) -> dict[str, Counts]:
        """Mark the records as the shape says, and let the view follow it."""
        table = RECORD_TABLES[shape.kind.name]
        marked = sum(merge(table).mark(column, value) for column, value in shape.marks.items())
        self._views.follow(self._source, self._partition, shape)
        return {shape.kind.name: Counts(updated=marked)} if marked else {}

    @property
    def _where(self) -> str:
        return f"{self._source} {self._partition}"

    @property
    def _views(self) -> ShapedViews:
        return ShapedViews(self._connection, self._database.dialect)

    @property
    def _was_hidden(self) -> bool:
        return any(state is not None and not state.visible for state in self._states.values())

    def _write(
        self,
        run_id: str,
        apply: Callable[[PartitionRows, Callable[[RecordTable], Merge]], dict[str, Counts]],
    ) -> Mapping[str, Counts]:
        """Run `apply` in the transaction that owns the partition, then start afresh from what it left."""
        dialect = self._database.dialect
        with self._database.writing(self._connection):
            named = {"source": self._source, "partition": self._partition, "run_id": run_id, "at": now()}
            rows = PartitionRows(self._connection, named)
            rows.advance()
            for part, state in self._states.items():
                if not rows.claim(part, state):
                    raise PartitionMoved(
                        f"{self._where}: another sync committed {part!r} meanwhile; nothing was written, read it again"
                    )
            counts = apply(rows, lambda record: Merge(self._connection, dialect, record, named))
            if "version" in counts:
                renew_texts(self._connection, self._source, self._partition)
            states = self._read_states()
        self._states = states
        self.discard()
        return counts

    def _apply(self, merge: Merge, kind: str) -> Counts:
        deleted = merge.delete_staged(self._removed[kind].name) if kind in self._removed else 0
        counts = merge.upsert_staged(self._staged[kind].name) if kind in self._staged else Counts()
        return counts + Counts(deleted=deleted)

    def _take_facets(self, kind: RecordKind, records: Sequence[Record]) -> None:
        rules = self._facet_schema.rules_of([kind.name])
        if rules is not None:
            self._facets = self._facets or FacetChanges(rules, self._source, self._partition)
            self._facets.add(records)

    def _is_derived(self) -> bool:
        rules = self._facet_schema.rules_of(self._kinds)
        return rules is None or is_derived(self._connection, rules, self._source, self._partition)

    def _apply_facets(self, derived: bool) -> None:
        """Bring the facets up to date with the records; all of them where they are not of the present rules."""
        rules = self._facet_schema.rules_of(self._kinds)
        if rules is None:
            return
        if not derived:
            rebuild_partition(self._connection, self._database.dialect, rules, self._source, self._partition)
            return
        stale = {
            kind: [tables[kind].name for tables in (self._removed, self._staged) if kind in tables]
            for kind in self._kinds
            if kind in rules.derive
        }
        changes = self._facets or FacetChanges(rules, self._source, self._partition)
        changes.apply(self._connection, self._database.dialect, stale)
        mark_derived(self._connection, rules, self._source, self._partition)

    def _set_visible(self, merge: Callable[[RecordTable], Merge], *, visible: bool) -> dict[str, Counts]:
        changed = {
            name: merge(table).mark("visible", visible) for name, table in RECORD_TABLES.items() if table.hideable
        }
        return {name: Counts(updated=number) for name, number in changed.items() if number}

    def _read_states(self) -> dict[str, PartitionState | None]:
        found = read_states(self._connection, self._source, self._partition)
        return {part: found.get((self._partition, part)) for part in self._parts}

    def _staging(
        self, tables: dict[str, StagingTable], prefix: str, kind: RecordKind, columns: Sequence[str]
    ) -> StagingTable:
        if kind.name not in tables:
            record = RECORD_TABLES[kind.name]
            name = f"{prefix}_{kind.name}"
            with self._database.transaction(self._connection):
                table = StagingTable(self._connection, self._database.dialect, name, record, columns)
            tables[kind.name] = table
            self._kinds[kind.name] = kind
        return tables[kind.name]

    def _add(self, staging: StagingTable, rows: Iterable[Row]) -> None:
        with self._database.transaction(self._connection):
            staging.add(rows)


@contextmanager
def open_session(
    database: Database, facets: FacetSchema, source: str, partition: str, parts: Sequence[str]
) -> Iterator[PartitionSession]:
    """Lend a session on a connection of its own."""
    with database.connection() as connection:
        session = PartitionSession(database, facets, connection, source, partition, parts)
        try:
            yield session
        finally:
            session.discard()


def _by_kind(records: Sequence[Record]) -> Iterator[tuple[RecordKind, list[Record]]]:
    groups: dict[RecordKind, list[Record]] = {}
    for record in records:
        groups.setdefault(record.kind, []).append(record)
    yield from groups.items()


def _sum(*counted: Mapping[str, Counts]) -> dict[str, Counts]:
    total: dict[str, Counts] = {}
    for counts in counted:
        for name, more in counts.items():
            total[name] = total.get(name, Counts()) + more
    return total
