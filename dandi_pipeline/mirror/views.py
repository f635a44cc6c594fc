"""The views people query: the public ones, a partition's records as a table of its own, and the change feed."""

import logging
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

import orjson
import sqlalchemy as sa

from dandi_pipeline.canonical import parsed
from dandi_pipeline.errors import UnexpectedPayload
from dandi_pipeline.instants import moment_of
from dandi_pipeline.mirror.dialect import Dialect
from dandi_pipeline.mirror.facets import FacetSchema
from dandi_pipeline.mirror.schema import (
    RECORD_TABLES,
    Instant,
    JsonText,
    RecordTable,
    change_log,
    first_syncs,
    insert,
    shapes,
)
from dandi_pipeline.model import CellType, Shape, ShapeColumn
from dandi_pipeline.text import storable

_log = logging.getLogger(__name__)

LONGEST_NAME = 63
"""Bytes of UTF-8: PostgreSQL silently cuts longer names, after which two may be one."""

_LONGEST_SUFFIX = 24

_RESERVED = ("sqlite_", "pg_", "staged_", "removed_")
"""What no view's name may begin with: the databases' own tables do, and the mirror's temporary ones."""

_READABLE_CELL = re.compile(r'[^"\\\x00-\x1f]+')
"""SQLite's JSON paths have no way to name a member with a quote, a backslash or a control character."""

_SCALARS: Sequence[CellType] = ("json", "number", "text", "boolean")
"""What values are counted as, to tell the type of a scalar column: whatever they are, and what they may all be."""

_AT_ONCE = 100
"""Scalar columns whose values are counted by one query; SQLite returns 2,000 columns at most."""

Key = tuple[str, str]
"""A source and a partition."""

Definition = Mapping[str, Any]
"""A `Shape` as JSON: the name of its kind, its own name, and name, cell and type of each column."""


class ShapedViews:
    """Creates and drops the views within the caller's transaction, so that they change with the records."""

    def __init__(self, connection: sa.Connection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect

    def follow(self, source: str, partition: str, shape: Shape) -> None:
        """Make the partition's view read as `shape` says, unless it does already.

        The view is called after the source and the shape's name, and renamed when that is. Of several that would
        have one name the partition with the lowest key has it, whichever came first; an ending from its key sets
        each other one apart, and one that has the name of another relation. A view that others use meanwhile (an
        open query, a view on top of it) stays as it was until the partition's next commit.
        """
        definition = self._definition(source, partition, shape)
        key = (source, partition)
        known = self._read(*_is(key)).get(key)
        if known is not None and known.definition == definition and known.name == known.wanted(key):
            return
        stored = self._read()
        shapes = {each: view.definition for each, view in stored.items()} | {key: definition}
        if self._rearrange(shapes, stored):
            return
        # The views of others are in the way: this one follows alone, under a name that is free.
        name = known.name if known and known.wanted(key) == View("", definition).wanted(key) else None
        free = name or distinct(View("", definition).wanted(key), _suffix(partition), self._is_taken)
        self._change({key: (known, View(free, definition))})

    def forget(self, source: str, partition: str) -> None:
        """Drop the partition's view, if it has one and nobody uses it; its name goes to the next that wants it."""
        stored = self._read()
        key = (source, partition)
        if key not in stored or not self._change({key: (stored[key], None)}):
            return
        del stored[key]
        self._rearrange({each: view.definition for each, view in stored.items()}, stored)

    def _rearrange(self, shapes: Mapping[Key, Definition], stored: Mapping[Key, "View"]) -> bool:
        """Give every shape the view that it is to have; return whether that was possible now."""
        ours = {view.name for view in stored.values()}
        names = _names(shapes, lambda name: name not in ours and self._is_taken(name))
        views = {key: View(names[key], definition) for key, definition in shapes.items()}
        return self._change({key: (stored.get(key), view) for key, view in views.items() if stored.get(key) != view})

    def _is_taken(self, name: str) -> bool:
        return self._dialect.has_relation(self._connection, name)

    def drop_all(self) -> None:
        """Drop every view, so that the tables under them can change."""
        for _, _, name, _ in self._all():
            _run(self._connection, _drop(name))

    def create_all(self) -> None:
        """Create every view that the mirror knows of over the tables as they are now."""
        for source, partition, name, definition in self._all():
            _run(self._connection, _create(self._dialect, name, source, partition, definition))

    def _all(self) -> Iterator[tuple[str, str, str, Definition]]:
        return ((*key, view.name, view.definition) for key, view in self._read().items())

    def _read(self, *conditions: sa.ColumnElement[bool]) -> dict[Key, "View"]:
        columns = (shapes.c.source, shapes.c.partition, shapes.c.view_name, shapes.c.shape)
        rows = self._connection.execute(sa.select(*columns).where(*conditions)).all()
        return {(source, partition): View(name, orjson.loads(shape)) for source, partition, name, shape in rows}

    def _change(self, changes: Mapping[Key, tuple["View | None", "View | None"]]) -> bool:
        """Drop the first and create the second of each, all or nothing; return whether that was possible now."""
        dropped = [before.name for before, _ in changes.values() if before]
        try:
            with self._connection.begin_nested():
                self._dialect.wait_briefly(self._connection)
                for name in dropped:
                    _run(self._connection, _drop(name))
                for key, (_, after) in changes.items():
                    self._store(key, after)
        except sa.exc.DBAPIError as error:
            reason = self._dialect.use_of_view(error)
            if reason is None:
                raise
            _log.warning("%s: the view %s stays as it is for now: %s", self._dialect.place, ", ".join(dropped), reason)
            return False
        return True

    def _store(self, key: Key, view: "View | None") -> None:
        if view is None:
            self._connection.execute(sa.delete(shapes).where(*_is(key)))
            return
        _run(self._connection, _create(self._dialect, view.name, *key, view.definition))
        values = {"view_name": view.name, "shape": orjson.dumps(view.definition).decode()}
        statement = insert(self._connection, shapes).values(source=key[0], partition=key[1], **values)
        self._connection.execute(statement.on_conflict_do_update(index_elements=["source", "partition"], set_=values))

    # What columns read as

    def _definition(self, source: str, partition: str, shape: Shape) -> Definition:
        """Return a shape as JSON, its scalar columns with the type that the values in them have now."""
        scalars = [column.cell for column in shape.columns if column.type == "scalar"]
        types = self._types_of(source, partition, RECORD_TABLES[shape.kind.name], scalars)
        columns = [
            {"name": column.name, "cell": column.cell, "type": _resolved(column, types)} for column in shape.columns
        ]
        return {"kind": shape.kind.name, "name": shape.name, "columns": columns}

    def _types_of(
        self, source: str, partition: str, record: RecordTable, cells: Sequence[str]
    ) -> Mapping[str, CellType | None]:
        """Return the type that all values of each cell have; None for a cell without any."""
        found: dict[str, CellType | None] = {}
        for some in (cells[start : start + _AT_ONCE] for start in range(0, len(cells), _AT_ONCE)):
            counts = ", ".join(
                f"count({self._dialect.cell(_literal(cell), kind)})" for cell in some for kind in _SCALARS
            )
            (row,) = self._connection.exec_driver_sql(
                f"SELECT {counts} {_from(record, source, partition)}", execution_options={"no_parameters": True}
            ).all()
            for cell, start in zip(some, range(0, len(row), len(_SCALARS)), strict=True):
                filled, *typed = row[start : start + len(_SCALARS)]
                alike = (kind for kind, number in zip(_SCALARS[1:], typed, strict=True) if number == filled)
                found[cell] = next(alike, "json") if filled else None
        return found


@dataclass(frozen=True, slots=True)
class View:
    """A view's name, and what it shows."""

    name: str
    definition: Definition

    def wanted(self, key: Key) -> str:
        """Return the name that it would have if there were no other."""
        return _view_name(key[0], self.definition, _suffix(key[1]))


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


def _names(shapes: Mapping[Key, Definition], taken: Callable[[str], bool]) -> Mapping[Key, str]:
    """Return the names of all views, which follow from what there is, and not from what came first."""
    wanted = {key: View("", shapes[key]).wanted(key) for key in sorted(shapes)}
    owners = {name: key for key, name in reversed(wanted.items())}
    given: dict[Key, str] = {}
    used: set[str] = set()
    # Whoever has a name as it is comes before all whose ending could make it.
    for key in sorted(wanted, key=lambda key: (owners[wanted[key]] != key, key)):
        given[key] = distinct(wanted[key], _suffix(key[1]), lambda name: name in used or taken(name))
        used.add(given[key])
    return given


def _suffix(partition: str) -> str:
    return _slug(partition)[-8:]


def _resolved(column: ShapeColumn, types: Mapping[str, CellType | None]) -> CellType:
    return (types[column.cell] or column.empty) if column.type == "scalar" else column.type


def _view_name(source: str, definition: Definition, suffix: str) -> str:
    name = f"{_slug(source)}_{_slug(definition['name']) or suffix}"
    return f"view_{name}" if name.startswith(_RESERVED) else name


def _create(dialect: Dialect, name: str, source: str, partition: str, definition: Definition) -> str:
    record = RECORD_TABLES[definition["kind"]]
    selected = ", ".join(
        f"{expression} AS {_quoted(column)}" for column, expression in _columns(dialect, record, definition["columns"])
    )
    return f"CREATE VIEW {_quoted(name)} AS SELECT {selected} {_from(record, source, partition)}"


def _from(record: RecordTable, source: str, partition: str) -> str:
    where = f"source = {_literal(source)} AND {record.partition} = {_literal(partition)}"
    return f"FROM {record.table.name} WHERE {where}"


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
    return storable(name.replace("\0", "\N{REPLACEMENT CHARACTER}"), "?")


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


_DRAFT_ASSETS = """
CREATE VIEW draft_assets AS
SELECT source, dandiset_id, path, asset_id, size, encoding_format, sha256, dandi_etag, blob, zarr,
       created, modified, metadata
FROM assets
WHERE version = 'draft'
"""

_VERSION_ASSETS = """
CREATE VIEW version_assets AS
SELECT source, dandiset_id, version, path, asset_id
FROM assets
"""

# The image after a change is the one before the next change of the same record; if there is none, the row's.
# An insert has no image before it, and what follows a delete is an insert, so NULLs never stand for an image.
_CHANGES = """
CREATE VIEW changes AS
SELECT c.sequence, c.at, c.run_id, c.source, c.partition, c.record, c.scope,
       CASE WHEN c.scope IN ('', 'draft') THEN c.name ELSE c.scope || '/' || c.name END AS key,
       c.kind, c.before,
       CASE WHEN c.kind = 'delete' THEN NULL ELSE coalesce(
           (SELECT later.before
            FROM change_log later
            WHERE later.source = c.source AND later.partition = c.partition AND later.record = c.record
              AND later.scope = c.scope AND later.name = c.name
              AND later.sequence > c.sequence AND later.before IS NOT NULL
            ORDER BY later.sequence
            LIMIT 1),
           CASE c.record {images} END
       ) END AS after
FROM change_log c
"""

_VIEWS = ("changes", "version_assets", "draft_assets")


def image(record: RecordTable, dialect: Dialect, alias: str) -> str:
    """Return SQL for a row's image: a JSON object of every column but the source, its metadata nested."""
    columns = [column for column in record.table.columns if column.name != "source"]
    return dialect.json_object([(column, f"{alias}.{column.name}") for column in columns])


def drop_views(connection: sa.Connection, dialect: Dialect, facets: FacetSchema) -> None:
    """Drop the views, so that the tables under them can change."""
    if sa.inspect(connection).has_table("shapes"):
        ShapedViews(connection, dialect).drop_all()
    facets.drop_views(connection)
    for name in _VIEWS:
        connection.execute(sa.text(f"DROP VIEW IF EXISTS {name}"))


def create_views(connection: sa.Connection, dialect: Dialect, facets: FacetSchema) -> None:
    """Create the views over the tables as they are now."""
    images = " ".join(_current_image(record, dialect) for record in RECORD_TABLES.values())
    for statement in (_DRAFT_ASSETS, _VERSION_ASSETS, _CHANGES.format(images=images)):
        connection.execute(sa.text(statement))
    facets.create_views(connection)
    ShapedViews(connection, dialect).create_all()


def _current_image(record: RecordTable, dialect: Dialect) -> str:
    scope = f"t.{record.scope}" if record.scope else "''"
    return (
        f"WHEN '{record.kind}' THEN (SELECT {image(record, dialect, 't')} FROM {record.table.name} t"  # noqa: S608 - the schema's names
        f" WHERE t.source = c.source AND t.{record.partition} = c.partition"
        f" AND {scope} = c.scope AND t.{record.name} = c.name)"
    )


def _is(key: Key) -> tuple[sa.ColumnElement[bool], ...]:
    return shapes.c.source == key[0], shapes.c.partition == key[1]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one record; `before` and `after` are the row's columns, None where there was no row.

    Numbers in them are as `dandi_pipeline.canonical` reads them.
    """

    sequence: int
    at: datetime
    run_id: str
    source: str
    partition: str
    record: str
    key: str
    kind: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


_FEED = sa.table(
    "changes",
    sa.column("sequence"),
    sa.column("at", Instant),
    *map(sa.column, ("run_id", "source", "partition", "record", "key", "kind")),
    sa.column("before", JsonText),
    sa.column("after", JsonText),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """How people find a partition of users' own records: by what the platform calls it, in a view of this name."""

    name: str
    view: str


def read_shown(connection: sa.Connection, source: str, partition: str | None) -> dict[str, Shown]:
    """Return how partitions of a source, or one, are shown; those without a view of their own are left out."""
    columns = (shapes.c.partition, shapes.c.view_name, shapes.c.shape)
    statement = sa.select(*columns).where(shapes.c.source == source)
    if partition is not None:
        statement = statement.where(shapes.c.partition == partition)
    rows = connection.execute(statement)
    return {partition: Shown(orjson.loads(shape)["name"], view) for partition, view, shape in rows}


_LOOKED_BACK = 5_000
"""Changes among which those of a partition are looked for, the newest: a sample is not worth more."""


def read_sample(
    connection: sa.Connection, record: RecordTable, source: str, partition: str, view: str | None, limit: int
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the columns and up to `limit` rows of a partition, those that changed last.

    Of a view they are the users' own columns; else the typed ones.
    """
    keys = _newest(connection, record, source, partition, limit)
    if view is not None:
        names = [column["name"] for column in sa.inspect(connection).get_columns(view)]
        own = [name for name in names if not name.startswith(f"{record.kind}_")] or names
        table: sa.FromClause = sa.table(view, *map(sa.column, names))
        where: list[sa.ColumnElement[bool]] = []
    else:
        own = [name for name in (record.partition, *record.key, *record.values) if name != "cells"]
        table = record.table
        where = [table.c.source == source, table.c[record.partition] == partition]
    if keys and record.key:
        where.append(sa.tuple_(*(table.c[name] for name in record.key)).in_(keys))
    rows = connection.execute(sa.select(*(table.c[name] for name in own)).where(*where).limit(limit))
    return own, [tuple(row) for row in rows]


def _newest(
    connection: sa.Connection, record: RecordTable, source: str, partition: str, limit: int
) -> list[tuple[str, ...]]:
    """Return the keys of the records of a partition that were added or updated last, if that is not long ago."""
    log = change_log.c
    newest = connection.execute(sa.select(sa.func.max(log.sequence))).scalar_one() or 0
    rows = connection.execute(
        sa.select(log.scope, log.name)
        .where(log.sequence > newest - _LOOKED_BACK, log.source == source, log.partition == partition)
        .where(log.record == record.kind, log.kind != "delete")
        .order_by(log.sequence.desc())
        .limit(limit)
    )
    return [(scope, name) if record.scope else (name,) for scope, name in rows]


def read_changes(connection: sa.Connection, *, after: int, source: str | None, limit: int) -> list[Change]:
    """Return up to `limit` changes with a sequence beyond `after`, oldest first."""
    statement = sa.select(_FEED).where(_FEED.c.sequence > after).order_by(_FEED.c.sequence).limit(limit)
    if source is not None:
        statement = statement.where(_FEED.c.source == source)
    return list(map(_change, connection.execute(statement)))


def forget_history(connection: sa.Connection, source: str) -> None:
    """Delete what the feed tells of a source, and since when its partitions were held. No number comes again."""
    for table in (change_log, first_syncs):
        connection.execute(sa.delete(table).where(table.c.source == source))


def _change(row: sa.Row[Any]) -> Change:
    values = dict(row._mapping)
    images = {name: _image(values[name]) for name in ("before", "after")}
    return Change(**{**values, "at": moment_of(values["at"]), **images})


def _image(text: str | None) -> dict[str, Any] | None:
    return None if text is None else dict(parsed(text.encode()))
