"""The views that read a partition's records as a table, with one column a property, named as its user named it.

A view keeps nothing: what it shows, and what it no longer shows after a property was renamed, retyped or removed, is
in the records' table and in the change feed.
"""

import logging
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import orjson
import sqlalchemy as sa

from dandi_pipeline.errors import UnexpectedPayload
from dandi_pipeline.mirror.dialect import Dialect
from dandi_pipeline.mirror.schema import RECORD_TABLES, RecordTable, shapes
from dandi_pipeline.platforms.contract import Shape

_log = logging.getLogger(__name__)

LONGEST_NAME = 63
"""Bytes of UTF-8: PostgreSQL silently cuts longer names, after which two may be one."""

_LONGEST_SUFFIX = 24

_RESERVED = ("sqlite_", "pg_", "staged_", "removed_")
"""What no view's name may begin with: the databases' own tables do, and the mirror's temporary ones."""

_READABLE_CELL = re.compile(r'[^"\\\x00-\x1f]+')
"""SQLite's JSON paths have no way to name a member with a quote, a backslash or a control character."""

Definition = Mapping[str, Any]
"""A `Shape` as JSON: the name of its kind, its own name, and name, cell and type of each column."""


class ShapedViews:
    """Creates and drops the views within the caller's transaction, so that they change with the records."""

    def __init__(self, connection: sa.Connection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect

    def follow(self, source: str, partition: str, shape: Shape) -> None:
        """Make the partition's view read as `shape` says, unless it does already.

        The view is called after the source and the shape's name, and renamed when that is. Where another relation
        has the name, an ending from the partition's key sets them apart; a view keeps the name it once got for as
        long as the user's name stays. A view that others use meanwhile (an open query, a view on top of it) stays
        as it was until the partition's next commit.
        """
        definition = _definition(shape)
        stored = self._stored(source, partition)
        if stored is not None and stored[1] == definition:
            return
        name = self._name(source, partition, definition, stored)
        if self._replace(stored[0] if stored else None, _create(self._dialect, name, source, partition, definition)):
            self._connection.execute(
                sa.text(
                    "INSERT INTO shapes (source, partition, view_name, shape)"
                    " VALUES (:source, :partition, :name, :shape) ON CONFLICT (source, partition)"
                    " DO UPDATE SET view_name = excluded.view_name, shape = excluded.shape"
                ),
                {"source": source, "partition": partition, "name": name, "shape": orjson.dumps(definition).decode()},
            )

    def forget(self, source: str, partition: str) -> None:
        """Drop the partition's view, if it has one and nobody uses it."""
        stored = self._stored(source, partition)
        if stored is not None and self._replace(stored[0]):
            self._connection.execute(
                sa.text("DELETE FROM shapes WHERE source = :source AND partition = :partition"),
                {"source": source, "partition": partition},
            )

    def drop_all(self) -> None:
        """Drop every view, so that the tables under them can change."""
        for _, _, name, _ in self._all():
            _run(self._connection, _drop(name))

    def create_all(self) -> None:
        """Create every view that the mirror knows of over the tables as they are now."""
        for source, partition, name, definition in self._all():
            _run(self._connection, _create(self._dialect, name, source, partition, definition))

    def _all(self) -> Iterator[tuple[str, str, str, Definition]]:
        text = self._dialect.as_text(shapes.columns["shape"], "shape")
        rows = self._connection.execute(sa.text(f"SELECT source, partition, view_name, {text} FROM shapes")).all()
        return ((source, partition, name, orjson.loads(shape)) for source, partition, name, shape in rows)

    def _stored(self, source: str, partition: str) -> tuple[str, Definition] | None:
        text = self._dialect.as_text(shapes.columns["shape"], "shape")
        row = self._connection.execute(
            sa.text(f"SELECT view_name, {text} FROM shapes WHERE source = :source AND partition = :partition"),
            {"source": source, "partition": partition},
        ).one_or_none()
        return None if row is None else (row[0], orjson.loads(row[1]))

    def _name(self, source: str, partition: str, definition: Definition, stored: tuple[str, Definition] | None) -> str:
        suffix = _slug(partition)[-8:]
        wanted = _view_name(source, definition, suffix)
        if stored is not None and _view_name(source, stored[1], suffix) == wanted:
            return stored[0]
        return distinct(wanted, suffix, lambda name: self._dialect.has_relation(self._connection, name))

    def _replace(self, old: str | None, create: str | None = None) -> bool:
        """Drop a view and create another; return whether that was possible now."""
        try:
            with self._connection.begin_nested():
                self._dialect.wait_briefly(self._connection)
                for statement in (_drop(old) if old else None, create):
                    if statement:
                        _run(self._connection, statement)
        except sa.exc.DBAPIError as error:
            reason = self._dialect.use_of_view(error)
            if reason is None:
                raise
            _log.warning("%s: the view %s stays as it is for now: %s", self._dialect.place, old, reason)
            return False
        return True


def checked(shape: Shape, where: str) -> Shape:
    """Return a shape that a view can be made for; raise `UnexpectedPayload` for ids that no JSON path can spell."""
    for column in shape.columns:
        if not _READABLE_CELL.fullmatch(column.cell):
            raise UnexpectedPayload(
                f"{where}: the property {column.name[:60]!r} has the id {column.cell[:60]!r}, which cannot be read in"
                " SQL; nothing was written"
            )
    return shape


def distinct(name: str, suffix: str, taken: Callable[[str], bool]) -> str:
    """Return `name`, with an ending made of `suffix` if it is taken or too long."""
    if len(name.encode()) <= LONGEST_NAME and not taken(name):
        return name
    for number in count(1):
        ending = f"_{_cut(suffix, _LONGEST_SUFFIX)}" + (f"_{number}" if number > 1 else "")
        candidate = _cut(name, LONGEST_NAME - len(ending.encode())) + ending
        if not taken(candidate):
            break
    return candidate


def _definition(shape: Shape) -> Definition:
    columns = [{"name": column.name, "cell": column.cell, "type": column.type} for column in shape.columns]
    return {"kind": shape.kind.name, "name": shape.name, "columns": columns}


def _view_name(source: str, definition: Definition, suffix: str) -> str:
    name = f"{_slug(source)}_{_slug(definition['name']) or suffix}"
    return f"view_{name}" if name.startswith(_RESERVED) else name


def _create(dialect: Dialect, name: str, source: str, partition: str, definition: Definition) -> str:
    record = RECORD_TABLES[definition["kind"]]
    selected = ", ".join(
        f"{expression} AS {_quoted(column)}" for column, expression in _columns(dialect, record, definition["columns"])
    )
    return (
        f"CREATE VIEW {_quoted(name)} AS SELECT {selected} FROM {record.table.name}"
        f" WHERE source = {_literal(source)} AND {record.partition} = {_literal(partition)}"
    )


def _columns(
    dialect: Dialect, record: RecordTable, properties: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Yield the columns of a view with what each reads; the record's own are told by its kind before their names."""
    taken = set()
    for column in (*record.key, *(value for value in record.values if value != "cells")):
        name = column if column.startswith(f"{record.kind}_") else f"{record.kind}_{column}"
        taken.add(name)
        yield name, column
    for told in properties:
        name = distinct(_spelled(told["name"]) or told["cell"], told["cell"], lambda other: other.lower() in taken)
        taken.add(name.lower())
        yield name, dialect.cell(_literal(told["cell"]), told["type"])


def _slug(name: str) -> str:
    """Return a name in lower-case ASCII letters, digits and underscores: what needs no quotes in SQL."""
    ascii_only = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", ascii_only).strip("_")


def _spelled(name: str) -> str:
    """Return a name with what no identifier can hold replaced."""
    return name.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def _cut(text: str, longest: int) -> str:
    return text.encode()[:longest].decode(errors="ignore")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _drop(name: str) -> str:
    return f"DROP VIEW IF EXISTS {_quoted(name)}"


def _run(connection: sa.Connection, statement: str) -> None:
    """Run a statement as it is: users' names may hold what the driver or SQLAlchemy take for a parameter."""
    connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
