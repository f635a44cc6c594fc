"""Applies what is staged of one kind to its table and to the change log, set by set, in the caller's transaction."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass

import sqlalchemy as sa

from dandi_pipeline.mirror.dialect import Dialect
from dandi_pipeline.mirror.schema import RecordTable
from dandi_pipeline.mirror.views import image


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
                f"DELETE FROM {self._table} AS t WHERE {self._here} AND EXISTS"
                f" (SELECT 1 FROM {staging} s WHERE {self._same_row})"
            )
        return deleted

    def delete_all(self) -> int:
        """Delete the partition's every row; return how many there were."""
        deleted = self._log("delete", f"FROM {self._table} t WHERE {self._here}")
        if deleted:
            self._execute(f"DELETE FROM {self._table} AS t WHERE {self._here}")
        return deleted

    def upsert_staged(self, staging: str) -> Counts:
        """Insert what is new of `staging`, update what differs, leave the rest unwritten."""
        pairs = f"FROM {staging} s CROSS JOIN {self._table} t WHERE {self._same_row}"
        updated = self._log("update", f"{pairs} AND ({self._content_differs})")
        absent = f"NOT EXISTS (SELECT 1 FROM {self._table} t WHERE {self._same_row})"
        inserted = self._log("insert", f"FROM {staging} s WHERE {absent}")
        written = self._execute(self._upsert(staging))
        return Counts(inserted=inserted, updated=updated, touched=written - inserted - updated)

    def mark(self, column: str, value: bool) -> int:
        """Give all rows one value in a column; return how many had another one before."""
        others = f"FROM {self._table} t WHERE {self._here} AND t.{column} = {str(not value).lower()}"
        changed = self._log("update", others)
        if changed:
            self._execute(f"UPDATE {self._table} AS t SET {column} = {str(value).lower()} WHERE {self._here}")
        return changed

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
            f"INSERT INTO {self._table} (source, {record.partition}, {columns})"
            f" SELECT :source, :partition, {columns} FROM {staging} WHERE true"
            f" ON CONFLICT ({', '.join(('source', record.partition, *record.key))}) DO UPDATE"
            f" SET {', '.join(f'{name} = excluded.{name}' for name in mutable)}"
            f" WHERE {differs}"
        )

    def _execute(self, statement: str) -> int:
        return self._connection.execute(sa.text(statement), self._named).rowcount
