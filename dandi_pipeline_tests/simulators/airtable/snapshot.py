"""What a perfect mirror of the account would hold, as plain data.

A snapshot is one dictionary, bases by id::

    {"app…": {
        "id", "name", "permissionLevel",                                          # as GET /meta/bases says
        "tables": {
            "tbl…": {
                "schema": {"id", "name", "primaryFieldId", "fields", "views", …},  # as GET /meta/bases/app…/tables says
                "records": {
                    "rec…": {"id", "createdTime", "fields": {"fld…": value}}       # as lists say, fields by id
                }}}}}

Empty cells are absent, as in lists. Attachments lack their `url`, also in thumbnails, since that is another at
each reading (`without_signatures`). The data is a copy: what happens to the world afterwards does not show in it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import orjson

from .cells import shown_cells, without_signatures
from .instants import spelled
from .model import Base, Field, Record, Table

if TYPE_CHECKING:
    from .world import World

Snapshot = dict[str, dict[str, Any]]


def take_snapshot(world: World, base_ids: Collection[str]) -> Snapshot:
    """Copy these bases; whoever calls holds the world's lock."""
    shown = {base.id: _base(world, base) for base in world.bases.values() if base.id in base_ids}
    copied: Snapshot = orjson.loads(orjson.dumps(shown))
    return copied


def base_row(base: Base) -> dict[str, Any]:
    """Return a base as the list of bases shows it."""
    return {"id": base.id, "name": base.name, "permissionLevel": base.permission}


def table_schema(table: Table) -> dict[str, Any]:
    """Return a table as the schema of its base shows it."""
    return {
        "id": table.id,
        "name": table.name,
        **({"description": table.description} if table.description else {}),
        "primaryFieldId": table.primary_field_id,
        "fields": [_field_schema(field) for field in table.fields.values()],
        "views": [{"id": view.id, "name": view.name, "type": view.type} for view in table.views.values()],
    }


def record_row(world: World, table: Table, record: Record) -> dict[str, Any]:
    """Return a record as lists show it, every field by its id."""
    cells = shown_cells(world, table, record, table.fields.values())
    return {"id": record.id, "createdTime": spelled(record.created), "fields": cells}


def _field_schema(field: Field) -> dict[str, Any]:
    return {
        "id": field.id,
        "name": field.name,
        "type": field.type,
        **({"options": field.options} if field.options else {}),
        **({"description": field.description} if field.description else {}),
    }


def _base(world: World, base: Base) -> dict[str, Any]:
    tables = {table.id: _table(world, table) for table in base.tables.values()}
    return {**base_row(base), "tables": tables}


def _table(world: World, table: Table) -> dict[str, Any]:
    rows = {record.id: record_row(world, table, record) for record in table.records.values()}
    for row in rows.values():
        row["fields"] = {field_id: without_signatures(value) for field_id, value in row["fields"].items()}
    return {"schema": table_schema(table), "records": rows}
