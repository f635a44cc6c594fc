"""Keeps the facets of records: their tables, and their rows in step with the records, in the records' transaction.

What facets there are, and what they mean, the platforms say (`model.py`); a mirror is opened with their rules. Facets
hold nothing that could not be derived again from stored metadata, so they are not in the change feed, and new rules
rebuild them.
"""

import marshal
import tempfile
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import IO, Any

import sqlalchemy as sa

from dandi_pipeline.canonical import NotJson, canonical, parsed
from dandi_pipeline.errors import UnexpectedPayload
from dandi_pipeline.mirror.dialect import Dialect, Row
from dandi_pipeline.mirror.schema import METADATA, RECORD_TABLES, Instant, insert, mirror_statistics, partitions
from dandi_pipeline.model import FacetColumn, FacetRules, Facets, FacetTable, Key, Record, RollUp, Shared

BATCH = 1000
"""Rows loaded at a time."""

BUFFERED = 10_000
"""Records whose rows are held in memory; more go to a file."""

_REMEMBERED = 20_000
"""Shared rows remembered as they are; the others are told by their hash."""

_LOOKED_UP = 400
"""Hashes asked for in one query."""

# Sorts by code point, whatever the database's locale: the same order in both databases.
_TEXT = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")
_TYPES: Mapping[str, sa.types.TypeEngine[Any]] = {
    "text": _TEXT,
    "integer": sa.BigInteger(),
    "number": sa.Double(),
    "instant": Instant(),
}
# An alias of the row's own number in SQLite, which only a column declared exactly INTEGER is.
_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# By which rules a partition's facets were derived.
facet_states = sa.Table(
    "facet_states",
    METADATA,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("partition", sa.Text, primary_key=True),
    sa.Column("rules", sa.Integer, nullable=False),
)


@dataclass(frozen=True, slots=True)
class _Layout:
    """The tables of one platform's facets, and how their rows hang together."""

    rules: FacetRules
    shared: tuple[FacetTable, ...]
    main: Mapping[str, FacetTable]
    lists: Mapping[str, tuple[FacetTable, ...]]
    """By the kind of record, or the shared table, that their rows belong to."""
    by_name: Mapping[str, FacetTable]

    def referrers(self, shared: FacetTable) -> Iterator[tuple[str, str]]:
        """Yield the tables and columns that hold a shared table's keys."""
        for table in self.rules.tables:
            yield from ((table.name, column.name) for column in table.columns if column.shared == shared.name)


def _layout(rules: FacetRules) -> _Layout:
    main: dict[str, FacetTable] = {}
    lists: dict[str, list[FacetTable]] = {}
    for table in rules.tables:
        if table.of and table.of in rules.derive and table.of not in main:
            main[table.of] = table
        elif table.of:
            lists.setdefault(table.of, []).append(table)
    return _Layout(
        rules,
        shared=tuple(table for table in rules.tables if not table.of),
        main=main,
        lists={name: tuple(tables) for name, tables in lists.items()},
        by_name={table.name: table for table in rules.tables},
    )


# Tables


def _columns(columns: Iterable[FacetColumn], *, nullable: bool | None = None) -> list[sa.Column[Any]]:
    return [
        sa.Column(column.name, _TYPES[column.type], nullable=column.nullable if nullable is None else nullable)
        for column in columns
    ]


def _text_columns(names: Iterable[str]) -> list[sa.Column[Any]]:
    return [sa.Column(name, _TEXT, nullable=False) for name in names]


def _number_column(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _is_keyed(layout: _Layout, table: FacetTable) -> bool:
    """Tell whether a table's rows refer to what they belong to by its integer key."""
    return not table.spelled and bool(_owner(layout, table).key)


def _owner(layout: _Layout, table: FacetTable) -> FacetTable:
    return layout.main.get(table.of) or layout.by_name[table.of]


def _is_link(table: FacetTable) -> bool:
    """Tell whether a table joins records with shared rows, each pair once."""
    return bool(table.of) and bool(table.columns) and bool(table.columns[0].shared)


def identity(layout: _Layout, table: FacetTable) -> tuple[str, ...]:
    """Return the columns of a table that say what its rows belong to, in the order in which they are stored."""
    rules = layout.rules
    if not table.of:
        return ("source", rules.partition, rules.scope, "hash")
    if table.of in layout.by_name:
        return (_owner(layout, table).key, "ordinal")
    if table is layout.main[table.of]:
        return ("source", rules.partition, *RECORD_TABLES[table.of].key)
    if _is_keyed(layout, table):
        return (_owner(layout, table).key, *(() if _is_link(table) else ("ordinal",)))
    return ("source", rules.partition, *RECORD_TABLES[table.of].key, "ordinal")


def _define(metadata: sa.MetaData, layout: _Layout, table: FacetTable) -> sa.Table:
    names = identity(layout, table)
    numbers = {"ordinal", *(owner.key for owner in layout.by_name.values() if owner.key)}
    identifying = [_number_column(name) if name in numbers else _text_columns([name])[0] for name in names]
    # The partition leads, so that it alone finds its rows.
    spelled = (*(name for name in names if name != "source"), *(name for name in names if name == "source"))
    columns = [*identifying, *_columns(table.columns)]
    options: dict[str, Any] = {}
    if table.key:
        columns.insert(0, sa.Column(table.key, _KEY, primary_key=True, autoincrement=False))
        unique: list[Any] = [sa.Index(f"{table.name}_by_identity", *spelled, unique=True)]
    else:
        unique = [sa.PrimaryKeyConstraint(*spelled, *(column.name for column in table.columns[:1] if _is_link(table)))]
        options["sqlite_with_rowid"] = False
    return sa.Table(table.name, metadata, *columns, *unique, *_indexes(table), **options)


def _indexes(table: FacetTable) -> Iterator[sa.Index]:
    nullable = {column.name for column in table.columns if column.nullable}
    for columns in table.indexes:
        only = sa.text(f"{columns[0]} IS NOT NULL") if columns[0] in nullable else None
        yield sa.Index(f"{table.name}_by_{columns[0]}", *columns, sqlite_where=only, postgresql_where=only)


def _define_roll_up(metadata: sa.MetaData, layout: _Layout, roll_up: RollUp) -> sa.Table:
    key = ("source", layout.rules.partition)
    keys = {table.key for table in layout.shared}
    return sa.Table(
        roll_up.name,
        metadata,
        *_text_columns(key),
        *_columns(roll_up.columns),
        sa.Index(f"{roll_up.name}_by_{key[1]}", *reversed(key)),
        *(
            sa.Index(f"{roll_up.name}_by_{column.name}", column.name)
            for column in roll_up.columns
            if column.name in keys
        ),
    )


class FacetSchema:
    """The tables and views of every facet that a mirror keeps, made from what its platforms describe."""

    def __init__(self, rules: Iterable[FacetRules]) -> None:
        self.rules = tuple(rules)
        self.metadata = sa.MetaData()
        self._layouts = [_layout(each) for each in self.rules]
        self.tables: tuple[sa.Table, ...] = tuple(
            table
            for layout in self._layouts
            for table in (
                *(_define(self.metadata, layout, table) for table in layout.rules.tables),
                *(_define_roll_up(self.metadata, layout, roll_up) for roll_up in layout.rules.roll_ups),
            )
        )

    def rules_of(self, kinds: Iterable[str]) -> FacetRules | None:
        """Return the rules by which facets of any of these kinds are derived."""
        named = set(kinds)
        return next((rules for rules in self.rules if named & rules.derive.keys()), None)

    def recreate_tables(self, connection: sa.Connection) -> None:
        """Create the tables as they are now, empty, in place of those that are there; facets are derived again then.

        For migrations: views must be dropped first.
        """
        self.metadata.drop_all(connection)
        self.metadata.create_all(connection)
        connection.execute(sa.delete(facet_states))
        connection.execute(sa.delete(mirror_statistics))
        for index in self.lookups():
            index.drop(connection)

    def lookups(self) -> Iterator[sa.Index]:
        """Yield the indexes that no sync needs while it fills a mirror; `mirror.build_lookups` builds them."""
        yield from (index for table in self.tables for index in table.indexes if "sha256" in index.columns)

    def drop_views(self, connection: sa.Connection) -> None:
        """Drop the views that platforms describe."""
        for rules in self.rules:
            for view in reversed(rules.views):
                connection.execute(sa.text(f"DROP VIEW IF EXISTS {view.name}"))

    def create_views(self, connection: sa.Connection) -> None:
        """Create the views that platforms describe."""
        for rules in self.rules:
            for view in rules.views:
                connection.execute(sa.text(f"CREATE VIEW {view.name} AS {view.select}"))

    def forget(self, connection: sa.Connection, dialect: Dialect, source: str, partition: str) -> None:
        """Delete a partition's facets."""
        named = {"source": source, "partition": partition}
        for layout in self._layouts:
            _Writing(connection, dialect, layout, named).delete_all()
        connection.execute(sa.delete(facet_states).where(*_one(facet_states, source, partition)))


def _one(table: sa.Table, source: Any, partition: Any) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.source == source, table.c.partition == partition


# Rows


class FacetChanges:
    """The facets of one partition's records as one sync changes them; nothing is written before `apply`."""

    def __init__(self, rules: FacetRules, source: str, partition: str) -> None:
        self._layout = _layout(rules)
        self._named = {"source": source, "partition": partition}
        self._records = dict.fromkeys(rules.derive, 0)
        self._positions: dict[str, dict[Key, int]] = {kind: {} for kind in rules.derive}
        self._superseded: dict[str, set[int]] = {kind: set() for kind in rules.derive}
        self._rows = _Spool()
        self._interned = {table.name: _Interned(self._layout, table) for table in self._layout.shared}
        self._plans = {kind: _plan(self._layout, kind) for kind in rules.derive}

    def close(self) -> None:
        """Forget the rows, and the file that may hold them."""
        self._rows.close()

    def add(self, records: Iterable[Record]) -> None:
        """Take records' facets; the last of those with one key count."""
        for record in records:
            if record.facets is not None and record.kind.name in self._records:
                self.take(record.kind.name, record.key, record.facets)

    def take(self, kind: str, key: Key, facets: Facets) -> None:
        """Take one record's facets."""
        number = self._records[kind]
        self._records[kind] = number + 1
        positions = self._positions[kind]
        earlier = positions.setdefault(key, number)
        if earlier != number:
            self._superseded[kind].add(earlier)
            positions[key] = number
        scope, rows = key[0], self._rows.buffer
        main, places, linked, keyed, spelled = self._plans[kind]
        [values] = facets[main]
        rows[main].append((number, *key, *(self._numbered(scope, values, places) if places else values)))
        for name in linked:
            for values in facets.get(name, ()):
                rows[name].append((number, self._intern(scope, values[0]), *values[1:]))
        for name in keyed:
            for ordinal, values in enumerate(facets.get(name, ())):
                rows[name].append((number, ordinal, *values))
        for name in spelled:
            for ordinal, values in enumerate(facets.get(name, ())):
                rows[name].append((number, *key, ordinal, *values))
        self._rows.count(1)

    def _numbered(self, scope: str, values: tuple[Any, ...], places: tuple[int, ...]) -> tuple[Any, ...]:
        numbered = list(values)
        for place in places:
            if numbered[place] is not None:
                numbered[place] = self._intern(scope, numbered[place])
        return tuple(numbered)

    def _intern(self, scope: str, shared: Shared) -> int:
        interned = self._interned[shared.table]
        known = interned.remembered.get(id(shared))
        # Told by the object itself: what is derived from equal metadata is mostly one object, and hashing it is slow.
        if known is not None and known[0] is shared and known[1] == scope:
            return known[2]
        return interned.number(scope, shared, self._intern_inner, self._rows)

    def _intern_inner(self, scope: str, shared: Shared) -> tuple[int, str]:
        number = self._intern(scope, shared)
        return number, self._interned[shared.table].hashes[number][1]

    def apply(self, connection: sa.Connection, dialect: Dialect, stale: Mapping[str, Sequence[str]] | None) -> None:
        """Replace facets in the caller's transaction: of the records in these staging tables, or, for None, of all."""
        writing = _Writing(connection, dialect, self._layout, self._named)
        replaced = writing.delete_all() if stale is None else writing.delete(stale)
        if not replaced and not any(self._records.values()):
            return
        keys = {
            table.name: writing.store_shared(table, self._interned[table.name].hashes) for table in self._layout.shared
        }
        bases = {kind: writing.next_key(main) for kind, main in self._layout.main.items()}
        for name, rows in self._rows.batches():
            writing.load(name, self._final(name, rows, keys, bases))
        if replaced:
            writing.delete_orphans()
        writing.roll_up()

    def _final(
        self,
        name: str,
        rows: Sequence[tuple[Any, ...]],
        keys: Mapping[str, "_Keys"],
        bases: Mapping[str, int],
    ) -> list[Row]:
        """Return rows as they are stored: numbers turned into keys, rows of what was taken again left out."""
        table = self._layout.by_name[name]
        if not table.of or table.of in self._interned:
            stored = self._shared_rows(table, rows, keys[table.of or name])
        else:
            stored = self._record_rows(table, rows, bases[table.of])
        for place in _shared_places(table):
            stored = _resolved(stored, place - len(table.columns), keys[table.columns[place].shared].keys)
        return stored

    def _shared_rows(self, table: FacetTable, rows: Sequence[tuple[Any, ...]], owner: "_Keys") -> list[Row]:
        """Return the rows of a shared table, or those that belong to such rows, where these are new to the mirror."""
        own = tuple(self._named.values()) if not table.of else ()
        return [(owner.keys[row[0]], *own, *row[1:]) for row in rows if row[0] in owner.new]

    def _record_rows(self, table: FacetTable, rows: Sequence[tuple[Any, ...]], base: int) -> list[Row]:
        superseded = self._superseded[table.of]
        if superseded:
            rows = [row for row in rows if row[0] not in superseded]
        own = tuple(self._named.values())
        if table.key:
            return [(base + row[0], *own, *row[1:]) for row in rows]
        if _is_keyed(self._layout, table):
            return [(base + row[0], *row[1:]) for row in rows]
        return [(*own, *row[1:]) for row in rows]


_Plan = tuple[str, tuple[int, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""A kind's first table and where it holds shared rows; the others: links, by key, spelled."""


def _plan(layout: _Layout, kind: str) -> _Plan:
    lists, main = layout.lists.get(kind, ()), layout.main[kind]
    return (
        main.name,
        _shared_places(main),
        tuple(table.name for table in lists if _is_link(table)),
        tuple(table.name for table in lists if _is_keyed(layout, table) and not _is_link(table)),
        tuple(table.name for table in lists if not _is_keyed(layout, table)),
    )


def _resolved(rows: Sequence[tuple[Any, ...]], place: int, keys: Sequence[int]) -> list[Row]:
    """Return rows with the number at `place`, counted from the end, turned into its key."""
    if place == -1:
        return [(*row[:-1], None if row[-1] is None else keys[row[-1]]) for row in rows]
    after = place + 1
    return [(*row[:place], None if row[place] is None else keys[row[place]], *row[after:]) for row in rows]


def _shared_places(table: FacetTable) -> tuple[int, ...]:
    return tuple(place for place, column in enumerate(table.columns) if column.shared)


class _Interned:
    """The distinct rows of one shared table that a sync has met, numbered in their order."""

    def __init__(self, layout: _Layout, table: FacetTable) -> None:
        self.remembered: dict[int, tuple[Shared, str, int]] = {}
        self.hashes: list[tuple[str, str]] = []
        self._numbers: dict[tuple[str, str], int] = {}
        self._table = table

    def number(
        self, scope: str, shared: Shared, inner: Callable[[str, Shared], tuple[int, str]], rows: "_Spool"
    ) -> int:
        """Return the number of a row; one that is new is added to `rows`, with the rows that belong to it."""
        told = [inner(scope, value) if isinstance(value, Shared) else value for value in shared.values]
        content = [value[1] if isinstance(value, tuple) else value for value in told]
        digest = blake2b(canonical([content, shared.lists]), digest_size=12).digest()
        identity = scope, b64encode(digest).decode()
        number = self._numbers.setdefault(identity, len(self.hashes))
        if number == len(self.hashes):
            self.hashes.append(identity)
            values = (value[0] if isinstance(value, tuple) else value for value in told)
            rows.buffer[self._table.name].append((number, *identity, *values))
            for table, listed in shared.lists:
                for ordinal, row in enumerate(listed):
                    rows.buffer[table].append((number, ordinal, *row))
        if len(self.remembered) >= _REMEMBERED:
            self.remembered.clear()
        self.remembered[id(shared)] = (shared, scope, number)
        return number


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys of a shared table's rows by their numbers, and the numbers of those that are new to the mirror."""

    keys: Sequence[int]
    new: frozenset[int] | range


class _Writing:
    """Writes one partition's facets in the caller's transaction."""

    def __init__(self, connection: sa.Connection, dialect: Dialect, layout: _Layout, named: Mapping[str, str]) -> None:
        self._connection = connection
        self._dialect = dialect
        self._layout = layout
        self._named = named
        self._names: dict[str, tuple[str, ...]] = {}

    def load(self, name: str, rows: Sequence[Row]) -> None:
        if rows:
            self._dialect.load(self._connection, name, self._columns(name), rows)

    def _columns(self, name: str) -> tuple[str, ...]:
        if name not in self._names:
            table = self._layout.by_name[name]
            key = (table.key,) if table.key else ()
            values = (column.name for column in table.columns)
            self._names[name] = (*key, *identity(self._layout, table), *values)
        return self._names[name]

    def _table(self, name: str) -> sa.TableClause:
        return sa.table(name, *map(sa.column, self._columns(name)))

    def _here(self, table: sa.TableClause) -> sa.ColumnElement[bool]:
        partition = table.c[self._layout.rules.partition] == self._named["partition"]
        return sa.and_(table.c.source == self._named["source"], partition)

    def _is_empty(self, table: sa.TableClause) -> bool:
        held = sa.select(sa.literal(1)).select_from(table).where(self._here(table)).limit(1)
        return self._connection.execute(held).first() is None

    def _delete(self, table: sa.TableClause, condition: sa.ColumnElement[bool]) -> int:
        return self._connection.execute(sa.delete(table).where(condition)).rowcount

    def next_key(self, table: FacetTable) -> int:
        """Return a key beyond all that there are; the transaction is the only one that writes."""
        if not table.key:
            return 0
        key = self._table(table.name).c[table.key]
        return int(self._connection.execute(sa.select(sa.func.coalesce(sa.func.max(key), 0) + 1)).scalar_one())

    def store_shared(self, table: FacetTable, hashes: Sequence[tuple[str, str]]) -> _Keys:
        """Give every row of a shared table its key: the one that it has already, or the next."""
        if not hashes:
            return _Keys((), frozenset())
        base = self.next_key(table)
        known = self._known(table, hashes)
        if not known:
            return _Keys(range(base, base + len(hashes)), range(len(hashes)))
        keys = [known.get(identity, base + number) for number, identity in enumerate(hashes)]
        return _Keys(keys, frozenset(number for number, identity in enumerate(hashes) if identity not in known))

    def _known(self, table: FacetTable, hashes: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
        stored = self._table(table.name)
        if self._is_empty(stored):
            return {}
        scope = stored.c[self._layout.rules.scope]
        held = sa.select(scope, stored.c.hash, stored.c[table.key]).where(self._here(stored))
        wanted: dict[str, list[str]] = {}
        for version, told in hashes:
            wanted.setdefault(version, []).append(told)
        found: dict[tuple[str, str], int] = {}
        for version, told_hashes in wanted.items():
            for start in range(0, len(told_hashes), _LOOKED_UP):
                those = (scope == version, stored.c.hash.in_(told_hashes[start : start + _LOOKED_UP]))
                found |= {(row[0], row[1]): row[2] for row in self._connection.execute(held.where(*those))}
        return found

    def delete(self, stale: Mapping[str, Sequence[str]]) -> bool:
        """Delete what belongs to the records in these staging tables; return whether there was anything."""
        found = False
        for kind, stagings in stale.items():
            main = self._layout.main[kind]
            if self._is_empty(self._table(main.name)):
                continue
            for staging in stagings:
                found = self._delete_staged(kind, main, staging) or found
        return found

    def _delete_staged(self, kind: str, main: FacetTable, staging: str) -> bool:
        key = RECORD_TABLES[kind].key
        staged = sa.table(staging, *map(sa.column, key))
        for table in self._layout.lists.get(kind, ()):
            if not _is_keyed(self._layout, table):
                self._delete_same(self._table(table.name), staged)
        if not main.key:
            return self._delete_same(self._table(main.name), staged) > 0
        here = f"t.source = :source AND t.{self._layout.rules.partition} = :partition"
        same = " AND ".join([here, *(f"t.{name} = s.{name}" for name in key)])
        # Driven by what is staged, as the join in `merge`: it may be little, and the partition much.
        self._run(
            f"CREATE TEMP TABLE stale_facets AS SELECT DISTINCT t.{main.key} AS stale_key"  # noqa: S608 - the schema's names
            f" FROM {staging} s CROSS JOIN {main.name} t WHERE {same}"
        )
        stale = sa.select(sa.table("stale_facets", sa.column("stale_key")).c.stale_key)
        for table in self._layout.lists.get(kind, ()):
            if _is_keyed(self._layout, table):
                keyed = self._table(table.name)
                self._delete(keyed, keyed.c[main.key].in_(stale))
        stored = self._table(main.name)
        deleted = self._delete(stored, stored.c[main.key].in_(stale))
        self._run("DROP TABLE stale_facets")
        return deleted > 0

    def _delete_same(self, table: sa.TableClause, staged: sa.TableClause) -> int:
        """Delete the rows of a table that belong to staged records."""
        same = sa.select(sa.literal(1)).where(*(column == table.c[column.name] for column in staged.c))
        return self._delete(table, sa.and_(self._here(table), same.correlate(table).exists()))

    def delete_all(self) -> bool:
        """Delete every facet of the partition; return whether there was any."""
        deleted = 0
        for owner in (*self._layout.main.values(), *self._layout.shared):
            stored = self._table(owner.name)
            for table in self._layout.lists.get(owner.of or owner.name, ()):
                listed = self._table(table.name)
                self._delete(listed, self._within(table, listed, owner, stored))
            number = self._delete(stored, self._here(stored))
            deleted += number if owner.of else 0
        for roll_up in self._layout.rules.roll_ups:
            self._clear(roll_up)
        return deleted > 0

    def _clear(self, roll_up: RollUp) -> None:
        table = sa.table(roll_up.name, sa.column("source"), sa.column(self._layout.rules.partition))
        self._delete(table, self._here(table))

    def _within(
        self, table: FacetTable, listed: sa.TableClause, owner: FacetTable, stored: sa.TableClause
    ) -> sa.ColumnElement[bool]:
        if not _is_keyed(self._layout, table):
            return self._here(listed)
        return listed.c[owner.key].in_(sa.select(stored.c[owner.key]).where(self._here(stored)))

    def delete_orphans(self) -> None:
        """Delete the partition's shared rows that nothing refers to any more, those first that refer to others."""
        for shared in reversed(self._layout.shared):
            stored = self._table(shared.name)
            used = (
                self._refers(referrer, column, stored.c[shared.key])
                for referrer, column in self._layout.referrers(shared)
            )
            orphans = sa.and_(self._here(stored), *(~each for each in used))
            for table in self._layout.lists.get(shared.name, ()):
                listed = self._table(table.name)
                self._delete(listed, listed.c[shared.key].in_(sa.select(stored.c[shared.key]).where(orphans)))
            self._delete(stored, orphans)

    def _refers(self, referrer: str, column: str, key: sa.ColumnElement[int]) -> sa.Exists:
        return sa.select(sa.literal(1)).where(self._table(referrer).c[column] == key).correlate(key.table).exists()

    def roll_up(self) -> None:
        """Make the partition's sums anew."""
        rules = self._layout.rules
        for roll_up in rules.roll_ups:
            self._clear(roll_up)
            columns = ", ".join(column.name for column in roll_up.columns)
            select = roll_up.select.lstrip().removeprefix("SELECT")
            self._run(
                f"INSERT INTO {roll_up.name} (source, {rules.partition}, {columns})"
                f" SELECT CAST(:source AS TEXT), CAST(:partition AS TEXT), {select}"
            )

    def _run(self, statement: str) -> None:
        self._connection.execute(sa.text(statement), self._named)


class _Spool:
    """Rows by table, in memory up to a bound, in a file beyond."""

    def __init__(self) -> None:
        self.buffer: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        self._counted = 0
        self._file: IO[bytes] | None = None

    def count(self, records: int) -> None:
        """Account for records whose rows were put to the buffer."""
        self._counted += records
        if self._counted >= BUFFERED:
            self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
            marshal.dump(dict(self.buffer), self._file)
            self.buffer.clear()
            self._counted = 0

    def batches(self) -> Iterator[tuple[str, Sequence[tuple[Any, ...]]]]:
        """Yield every row, a batch of one table at a time."""
        for buffer in self._buffers():
            for table, rows in buffer.items():
                remaining = iter(rows)
                while batch := list(islice(remaining, BATCH)):
                    yield table, batch

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def _buffers(self) -> Iterator[dict[str, list[tuple[Any, ...]]]]:
        if self._file is not None:
            end = self._file.tell()
            self._file.seek(0)
            while self._file.tell() < end:
                yield marshal.load(self._file)  # noqa: S302 - what this process wrote
            self._file.seek(end)
        yield self.buffer


# Partitions


def is_derived(connection: sa.Connection, rules: FacetRules, source: str, partition: str) -> bool:
    """Tell whether a partition's facets can be brought up to date record by record.

    They are of the present rules, or there is no record yet.
    """
    found = connection.execute(
        sa.select(facet_states.c.rules).where(*_one(facet_states, source, partition))
    ).scalar_one_or_none()
    return found == rules.number or (found is None and not _has_records(connection, rules, source, partition))


def _has_records(connection: sa.Connection, rules: FacetRules, source: str, partition: str) -> bool:
    return any(connection.execute(_records(kind, rules, source, partition).limit(1)).first() for kind in rules.derive)


def _records(
    kind: str, rules: FacetRules, source: Any, partition: Any, *columns: sa.ColumnElement[Any]
) -> sa.Select[Any]:
    """Select of a partition's records of a kind these columns, or whether there are any."""
    table = RECORD_TABLES[kind].table
    return (
        sa.select(*columns or [sa.literal(1)])
        .where(table.c.source == source, table.c[rules.partition] == partition)
        .select_from(table)
    )


def mark_derived(connection: sa.Connection, rules: FacetRules, source: str, partition: str) -> None:
    """Remember that a partition's facets are of the present rules."""
    statement = insert(connection, facet_states).values(source=source, partition=partition, rules=rules.number)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["source", "partition"],
            set_={"rules": rules.number},
            where=facet_states.c.rules != rules.number,
        )
    )


def outdated(connection: sa.Connection, rules: FacetRules, source: str) -> list[str]:
    """Return the partitions of a source that have records, but not the facets of the present rules."""
    held = (_records(kind, rules, partitions.c.source, partitions.c.partition).exists() for kind in rules.derive)
    derived = (
        sa.select(facet_states)
        .where(*_one(facet_states, partitions.c.source, partitions.c.partition), facet_states.c.rules == rules.number)
        .exists()
    )
    statement = (
        sa.select(partitions.c.partition)
        .distinct()
        .where(partitions.c.source == source, sa.or_(*held), ~derived)
        .order_by(partitions.c.partition)
    )
    return list(connection.execute(statement).scalars())


def rebuild_partition(
    connection: sa.Connection, dialect: Dialect, rules: FacetRules, source: str, partition: str
) -> None:
    """Derive a partition's facets anew from its stored records, in the caller's transaction."""
    named = {"source": source, "partition": partition}
    with closing(FacetChanges(rules, source, partition)) as changes:
        for kind in rules.derive:
            for key, columns, metadata in _stored(connection, kind, named):
                changes.take(kind, key, rules.derive[kind](key, columns, metadata))
        changes.apply(connection, dialect, None)
    mark_derived(connection, rules, source, partition)


def _stored(
    connection: sa.Connection, kind: str, named: Mapping[str, str]
) -> Iterator[tuple[Key, Mapping[str, Any], Any]]:
    """Yield the stored records of a kind: key, typed columns, parsed metadata."""
    record = RECORD_TABLES[kind]
    table = record.table
    rows = connection.execute(
        sa.select(*(table.c[name] for name in (*record.key, *record.values, "metadata"))).where(
            table.c.source == named["source"], table.c[record.partition] == named["partition"]
        ),
        execution_options={"yield_per": BATCH},
    )
    width = len(record.key)
    for row in rows:
        columns = dict(zip(record.values, row[width:-1], strict=True))
        yield tuple(row[:width]), columns, stored_json(row[-1])


def stored_json(metadata: str | None) -> Any:
    """Return stored metadata as a sync has it; what cannot be read has no facets."""
    try:
        return None if metadata is None else parsed(metadata.encode())
    except (NotJson, UnexpectedPayload):
        return None
