"""One sync of one partition: what is known before, what is staged meanwhile, and the one transaction at the end."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import sqlalchemy as sa

from dandi_pipeline.errors import MirrorLost, PartitionMoved
from dandi_pipeline.mirror.database import Database
from dandi_pipeline.mirror.dialect import Row
from dandi_pipeline.mirror.facets import (
    FacetChanges,
    forget_facets,
    is_derived,
    mark_derived,
    rebuild_partition,
    rules_of,
)
from dandi_pipeline.mirror.known import read_known
from dandi_pipeline.mirror.merge import Counts, Merge
from dandi_pipeline.mirror.partitions import HIDDEN_TOKEN, PartitionRows, PartitionState, now, read_states
from dandi_pipeline.mirror.schema import RECORD_TABLES, RecordTable
from dandi_pipeline.mirror.shapes import ShapedViews, checked
from dandi_pipeline.mirror.staging import StagingTable, checked_keys, staged_rows
from dandi_pipeline.mirror.texts import renew_texts
from dandi_pipeline.platforms.contract import Key, Known, Record, RecordKind, Shape


class PartitionSession:
    """A partition as one sync sees and changes it. For one thread at a time; made by `Mirror.session`.

    Every method raises `MirrorLost`, `MirrorBusy` or `DatabaseUnavailable` where the database fails.
    """

    def __init__(
        self, database: Database, connection: sa.Connection, source: str, partition: str, parts: Sequence[str]
    ) -> None:
        self._database = database
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
            return read_known(self._connection, self._database.dialect, self._source, self._partition, kind)

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
        self._facets = None

    def commit(
        self, *, run_id: str, tokens: Mapping[str, str | None], clear_failure: bool = True
    ) -> Mapping[str, Counts]:
        """Apply everything staged and store each part's token, in one transaction; return counts by kind.

        A token of None stores the records and leaves the part stale. The partition counts as visible again.
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
                rows.succeed(part, token=token, added=added, visible=True, clear_failure=clear_failure)
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
            forget_facets(self._connection, self._database.dialect, self._source, self._partition)
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
        rules = rules_of([kind.name])
        if rules is not None:
            self._facets = self._facets or FacetChanges(rules, self._source, self._partition)
            self._facets.add(records)

    def _is_derived(self) -> bool:
        rules = rules_of(self._kinds)
        return rules is None or is_derived(self._connection, rules, self._source, self._partition)

    def _apply_facets(self, derived: bool) -> None:
        """Bring the facets up to date with the records; all of them where they are not of the present rules."""
        rules = rules_of(self._kinds)
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
        found = read_states(self._connection, self._database.dialect, self._source, self._partition)
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
def open_session(database: Database, source: str, partition: str, parts: Sequence[str]) -> Iterator[PartitionSession]:
    """Lend a session on a connection of its own."""
    with database.connection() as connection:
        session = PartitionSession(database, connection, source, partition, parts)
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
        for name, count in counts.items():
            total[name] = total.get(name, Counts()) + count
    return total
