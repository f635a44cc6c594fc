"""The account's state, and every upstream operation on it with exactly the last-modified times that it moves.

Only a user's edits of fields that are not computed move one. Where Airtable does not say, nothing moves: what
a mirror sees then is harder to notice, never easier. Rows are changed through `World` only; whoever reads
while others change holds `World.lock`.
"""

import random
import string
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from . import feed
from .field_types import CALCULATED_TYPES, COMPUTED_TYPES, converted
from .instants import Clock
from .model import SCOPES, Base, Cell, Field, Record, Refused, Table, Token, Transaction, View, is_empty
from .snapshot import Snapshot, take_snapshot

TOKEN = "patSimulated00001.5a1e" + "0" * 60
USER = "usrSimulated00001"
COLLABORATOR = "usrSimulated00002"

_ALPHABET = string.ascii_letters + string.digits
_PEOPLE: Mapping[str, Mapping[str, str]] = {
    USER: {"email": "mirror@example.org", "name": "Mirror"},
    COLLABORATOR: {"email": "rosalind@example.org", "name": "Rosalind Hodgkin"},
}


class World:
    """A whole account. `seed` decides the ids it makes up and the arbitrary order of records; `clock` all its times.

    Tables are named by id, fields by id or name, and every operation returns the id of what it made, if anything.
    """

    def __init__(self, *, seed: int = 0, clock: Clock | None = None) -> None:
        self.lock = threading.RLock()
        self.clock = clock or Clock()
        self.seed = seed
        self.random = random.Random(seed)
        self.users: dict[str, Mapping[str, str]] = dict(_PEOPLE)
        self.tokens: dict[str, Token] = {TOKEN: Token(USER)}
        self.bases: dict[str, Base] = {}
        self.blank_when_never_edited = True
        """Whether records that nobody has edited since their creation have a blank last-modified time."""
        self.readings = 0
        """How many attachments were shown so far; each time under another URL."""

    # Reading

    def table(self, table_id: str) -> Table:
        """Return a table by its id; `Refused` if there is none."""
        for base in self.bases.values():
            if table_id in base.tables:
                return base.tables[table_id]
        raise Refused(f"there is no table {table_id!r}")

    def snapshot(self, token: str | None = None) -> Snapshot:
        """Return what a perfect mirror would hold, of all bases or a token's; see `snapshot` for the shape."""
        with self.lock:
            return take_snapshot(self, set(self.bases) if token is None else self.tokens[token].bases)

    # Tokens and bases

    def add_token(
        self, token: str, *, user_id: str = USER, scopes: Sequence[str] = (), bases: Sequence[str] | None = None
    ) -> None:
        """Issue a token with all scopes and bases, or just those given."""
        with self.lock:
            listed = set(self.bases if bases is None else bases)
            self.tokens[token] = Token(user_id, frozenset(scopes or SCOPES), listed)

    def add_base(self, name: str, *, permission: str = "create", base_id: str | None = None) -> str:
        """Make an empty base, which every token lists from now on."""
        with self.lock:
            base = Base(base_id or self.new_id("app"), name, permission)
            self.bases[base.id] = base
            for token in self.tokens.values():
                token.bases.add(base.id)
            return base.id

    def revoke_base(self, base_id: str, *, token: str = TOKEN) -> None:
        """Take a base off a token's list: to it, the base is as if it did not exist."""
        with self.lock:
            self.tokens[token].bases.discard(base_id)

    def grant_base(self, base_id: str, *, token: str = TOKEN) -> None:
        """Put a base on a token's list again."""
        with self.lock:
            self.tokens[token].bases.add(self._base(base_id).id)

    def set_blank_when_never_edited(self, blank: bool) -> None:
        """Decide what LAST_MODIFIED_TIME() is of records never edited: blank, or their time of creation."""
        with self.lock:
            self.blank_when_never_edited = blank

    # Tables, views and fields

    def add_table(
        self,
        base_id: str,
        name: str,
        fields: Sequence[Mapping[str, Any]] = (),
        *,
        description: str | None = None,
        table_id: str | None = None,
    ) -> str:
        """Make a table with a primary field "Name", its other `fields` (see `add_field`) and a grid view."""
        with self.lock:
            base = self._base(base_id)
            primary = Field(self.new_id("fld"), "Name", "singleLineText")
            table = Table(table_id or self.new_id("tbl"), base.id, name, primary.id, description)
            table.fields[primary.id] = primary
            base.tables[table.id] = table
            for field in fields:
                self.add_field(table.id, **field)
            self.add_view(table.id, "Grid view")
            return table.id

    def rename_table(self, table_id: str, name: str) -> None:
        """Give a table another name."""
        with self.lock:
            self.table(table_id).name = name

    def remove_table(self, table_id: str) -> None:
        """Delete a table with all its records; links to them go with it."""
        with self.lock:
            table = self.table(table_id)
            for record_id in list(table.records):
                self.delete_record(table_id, record_id)
            for other in self.bases[table.base_id].tables.values():
                for field in list(other.fields.values()):
                    if field.options.get("linkedTableId") == table_id:
                        self.remove_field(other.id, field.id)
            del self.bases[table.base_id].tables[table_id]

    def misfilter(self, table_id: str, on: bool = True) -> None:
        """Let a filter by LAST_MODIFIED_TIME() return every record of the table, as some are reported to do."""
        with self.lock:
            self.table(table_id).misfilters = on

    def add_view(self, table_id: str, name: str, *, filter: str | None = None, sort: Sequence[str] = ()) -> str:
        """Make a view that shows the records for which the formula `filter` holds, sorted by fields."""
        with self.lock:
            table = self.table(table_id)
            order = tuple(table.field(key).id for key in sort)
            view = View(self.new_id("viw"), name, filter=filter, sort=order)
            table.views[view.id] = view
            return view.id

    def add_field(
        self,
        table_id: str,
        name: str,
        type: str = "singleLineText",
        options: Mapping[str, Any] | None = None,
        *,
        description: str | None = None,
        field_id: str | None = None,
    ) -> str:
        """Add a field of any type, unknown ones too. It is empty, unless its values are live."""
        with self._changing(table_id) as (table, change):
            if table.find_field(name):
                raise Refused(f"table {table_id} has a field {name!r} already")
            field = Field(field_id or self.new_id("fld"), name, type, self._options(type, options), description)
            table.fields[field.id] = field
            change["createdFieldsById"] = {field.id: {"name": name, "type": type}}
            return field.id

    def rename_field(self, table_id: str, field: str, name: str) -> None:
        """Give a field another name; its id stays."""
        with self._changing(table_id) as (table, change):
            renamed = table.field(field)
            change["changedFieldsById"] = {renamed.id: {"current": {"name": name}, "previous": {"name": renamed.name}}}
            renamed.name = name

    def retype_field(self, table_id: str, field: str, type: str, options: Mapping[str, Any] | None = None) -> None:
        """Make a field one of another type: cells are converted where they can be, emptied where not."""
        with self._changing(table_id) as (table, change):
            retyped = table.field(field)
            change["changedFieldsById"] = {retyped.id: {"current": {"type": type}, "previous": {"type": retyped.type}}}
            retyped.type, retyped.options = type, self._options(type, options)
            for record in table.records.values():
                _put(record, retyped.id, converted(record.cells.get(retyped.id), type))

    def change_options(self, table_id: str, field: str, **options: Any) -> None:
        """Change some of a field's options, e.g. `isValid=False` for a formula that broke."""
        with self.lock:
            self.table(table_id).field(field).options.update(options)

    def remove_field(self, table_id: str, field: str) -> None:
        """Delete a field, but not the primary one; formulas, lookups and counts built on it become invalid."""
        with self._changing(table_id) as (table, change):
            removed = table.field(field)
            if removed.id == table.primary_field_id:
                raise Refused(f"{removed.name} is the primary field of table {table_id}")
            del table.fields[removed.id]
            for record in table.records.values():
                record.cells.pop(removed.id, None)
            for other in self._fields_of_base(table.base_id):
                if other.type in COMPUTED_TYPES and removed.id in str(other.options):
                    other.options["isValid"] = False
            for view in table.views.values():
                view.forget(removed)
            change["destroyedFieldIds"] = [removed.id]

    # Records

    def add_record(
        self, table_id: str, cells: Mapping[str, Cell] | None = None, *, record_id: str | None = None
    ) -> str:
        """Add a record, created now and never edited since."""
        with self._changing(table_id) as (table, change):
            entered = self._entered(table, cells or {})
            table.last_number += 1
            record = Record(record_id or self.new_id("rec"), table.last_number, self._now(), COLLABORATOR)
            for field, value in entered:
                _put(record, field.id, value)
            table.records[record.id] = record
            change["createdRecordsById"] = {record.id: feed.created(table, record)}
            return record.id

    def edit_record(self, table_id: str, record_id: str, cells: Mapping[str, Cell]) -> None:
        """Change cells as a user does (an empty value clears one). Last-modified moves for those that differ."""
        with self._changing(table_id) as (table, change):
            record = table.record(record_id)
            before = dict(record.cells)
            for field, value in self._entered(table, cells):
                if record.cells.get(field.id) != (None if is_empty(value) else value):
                    _put(record, field.id, value)
                    record.edits[field.id] = self._now()
                    record.editor = COLLABORATOR
            if record.cells != before:
                change["changedRecordsById"] = {record.id: feed.changed(table, before, record.cells)}

    def delete_record(self, table_id: str, record_id: str) -> None:
        """Delete a record. Links to it vanish from other records, whose last-modified does not move."""
        with self._changing(table_id) as (table, change):
            del table.records[table.record(record_id).id]
            change["destroyedRecordIds"] = [record_id]
            for other in self.bases[table.base_id].tables.values():
                for field in other.fields.values():
                    if field.type == "multipleRecordLinks" and field.options.get("linkedTableId") == table_id:
                        _unlink(other, field.id, record_id)

    def recompute(self, table_id: str, record_id: str, field: str, value: Cell) -> None:
        """Let a formula, rollup or the like come to another value: its last-modified does not move.

        Formula errors are values too: `{"error": "#ERROR!"}`, `{"specialValue": "NaN"}`.
        """
        with self.lock:
            table = self.table(table_id)
            computed = table.field(field)
            if computed.type not in CALCULATED_TYPES:
                raise Refused(f"{computed.name} is a {computed.type}: such values are not set by calculation")
            _put(table.record(record_id), computed.id, value)

    def comment(self, table_id: str, record_id: str) -> None:
        """Let somebody comment on a record: nothing but its count of comments changes."""
        with self.lock:
            self.table(table_id).record(record_id).comments += 1

    # Help for the above

    def new_id(self, prefix: str) -> str:
        """Return an id that nothing has yet: a prefix and fourteen letters or digits."""
        return prefix + "".join(self.random.choices(_ALPHABET, k=14))

    def _base(self, base_id: str) -> Base:
        if base_id not in self.bases:
            raise Refused(f"there is no base {base_id!r}")
        return self.bases[base_id]

    def _now(self) -> datetime:
        """Return the time as records are stamped with it: whole seconds, as every stamp of the real API is."""
        return self.clock.now().replace(microsecond=0)

    def _fields_of_base(self, base_id: str) -> Iterator[Field]:
        for table in self.bases[base_id].tables.values():
            yield from table.fields.values()

    def _options(self, type: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
        """Copy a field's options; links must say to which table they lead."""
        copied = dict(options or {})
        if type == "multipleRecordLinks":
            self.table(copied.get("linkedTableId", ""))
        return copied

    def _entered(self, table: Table, cells: Mapping[str, Cell]) -> list[tuple[Field, Cell]]:
        """Return what a user enters, by field; attachments get ids."""
        fields = ((table.field(key), value) for key, value in cells.items())
        return [(field, self._entered_cell(field, value)) for field, value in fields]

    def _entered_cell(self, field: Field, value: Cell) -> Cell:
        if field.type in COMPUTED_TYPES:
            raise Refused(f"{field.name} is a {field.type} and cannot be edited")
        if field.type == "multipleAttachments":
            return [{"id": self.new_id("att"), **attachment} for attachment in value or []]
        if field.type == "multipleRecordLinks":
            linked = self.table(field.options["linkedTableId"])
            return [linked.record(record_id).id for record_id in value or []]
        return value

    @contextmanager
    def _changing(self, table_id: str) -> Iterator[tuple[Table, dict[str, Any]]]:
        """Hold the lock while a table changes, and tell the base's webhooks the change that was noted."""
        with self.lock:
            table, change = self.table(table_id), dict[str, Any]()
            yield table, change
            if change:
                history = self.bases[table.base_id].transactions
                history.append(Transaction(len(history) + 1, self.clock.now(), COLLABORATOR, table_id, change))


def _put(record: Record, field_id: str, value: Cell) -> None:
    if is_empty(value):
        record.cells.pop(field_id, None)
    else:
        record.cells[field_id] = value


def _unlink(table: Table, field_id: str, record_id: str) -> None:
    for record in table.records.values():
        if record_id in record.cells.get(field_id, ()):
            _put(record, field_id, [linked for linked in record.cells[field_id] if linked != record_id])
