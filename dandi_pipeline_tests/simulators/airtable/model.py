"""What an Airtable account consists of: bases, tables, fields, views, records, and tokens that may see them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Cell = Any
"""A cell's JSON as the API shows it, attachments without their URLs; an empty cell is not stored at all."""

SCOPES = frozenset({"data.records:read", "data.recordComments:read", "schema.bases:read", "webhook:manage"})


class Refused(ValueError):
    """The world does not allow the operation, or what it names does not exist."""


def is_empty(value: Cell) -> bool:
    """Whether a cell counts as empty, and so is left out of every answer."""
    return value is None or value is False or value == "" or value == []


@dataclass
class Field:
    """A column of a table; `options` as the schema shows them."""

    id: str
    name: str
    type: str
    options: dict[str, Any] = field(default_factory=dict)
    description: str | None = None


@dataclass
class View:
    """A named look at a table: a formula that its records fulfil, and fields by id to sort by."""

    id: str
    name: str
    type: str = "grid"
    filter: str | None = None
    sort: tuple[str, ...] = ()

    def forget(self, removed: Field) -> None:
        """Drop what the view says of a field that is removed."""
        self.sort = tuple(field_id for field_id in self.sort if field_id != removed.id)
        if self.filter and (removed.id in self.filter or removed.name in self.filter):
            self.filter = None


@dataclass
class Record:
    """A row: its cells by field id, and when each field was last edited by a user since it was created."""

    id: str
    number: int
    created: datetime
    creator: str
    cells: dict[str, Cell] = field(default_factory=dict)
    edits: dict[str, datetime] = field(default_factory=dict)
    editor: str | None = None
    comments: int = 0


@dataclass
class Table:
    """A table; `misfilters`: a filter by LAST_MODIFIED_TIME() lets every record through."""

    id: str
    base_id: str
    name: str
    primary_field_id: str
    description: str | None = None
    fields: dict[str, Field] = field(default_factory=dict)
    views: dict[str, View] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    last_number: int = 0
    misfilters: bool = False

    def find_field(self, key: str) -> Field | None:
        """Return the field with this id, or else this name."""
        return self.fields.get(key) or next((f for f in self.fields.values() if f.name == key), None)

    def find_view(self, key: str) -> View | None:
        """Return the view with this id, or else this name."""
        return self.views.get(key) or next((v for v in self.views.values() if v.name == key), None)

    def field(self, key: str) -> Field:
        """Return the field with this id or name; `Refused` if there is none."""
        found = self.find_field(key)
        if found is None:
            raise Refused(f"table {self.id} has no field {key!r}")
        return found

    def record(self, record_id: str) -> Record:
        """Return a record by its id; `Refused` if there is none."""
        if record_id not in self.records:
            raise Refused(f"table {self.id} has no record {record_id!r}")
        return self.records[record_id]


@dataclass(frozen=True)
class Transaction:
    """One change of one table, as webhooks tell it."""

    number: int
    at: datetime
    user_id: str
    table_id: str
    change: Mapping[str, Any]


@dataclass
class Webhook:
    """A subscription to a base's changes, of one table or all; `after` is the last transaction it does not tell."""

    id: str
    scope: str | None
    after: int
    expires: datetime


@dataclass
class Base:
    """A base, with everything in it and the history of its changes."""

    id: str
    name: str
    permission: str = "create"
    tables: dict[str, Table] = field(default_factory=dict)
    webhooks: dict[str, Webhook] = field(default_factory=dict)
    transactions: list[Transaction] = field(default_factory=list)

    def find_table(self, key: str) -> Table | None:
        """Return the table with this id, or else this name."""
        return self.tables.get(key) or next((t for t in self.tables.values() if t.name == key), None)


@dataclass
class Token:
    """What a personal access token may do: its user's scopes, in the bases it lists."""

    user_id: str
    scopes: frozenset[str] = SCOPES
    bases: set[str] = field(default_factory=set)
