"""Turns Airtable's JSON into records and shapes; every field is checked here and nowhere else."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from dandi_pipeline.canonical import canonical, digest_of
from dandi_pipeline.errors import UnexpectedPayload
from dandi_pipeline.http.payload import instant, mapping, mappings, optional_mapping, text
from dandi_pipeline.instants import canonical_instant
from dandi_pipeline.model import CellType, ColumnType, Record, RecordKind, Shape, ShapeColumn
from dandi_pipeline.platforms.airtable.api import Json

RECORDS = "records"

SCHEMA = RecordKind("schema", RECORDS, key=())


def content_of(row: Json) -> dict[str, Any]:
    """Return a row without the addresses of attachments, which are others at every reading."""
    fields = row.get("fields")
    return {**row, "fields": {name: without_addresses(value) for name, value in dict(fields or {}).items()}}


RECORD = RecordKind("record", RECORDS, key=("record_id",), content=content_of)


def schema_record(table: Json, *, where: str) -> Record:
    """Make the record of a table's schema, views and descriptions included."""
    document = canonical(table, where=where)
    return Record(SCHEMA, (), {"name": text(table, "name", where=where)}, document.decode(), digest_of(document))


def table_record(row: Json, types: Mapping[str, ColumnType], *, where: str) -> Record:
    """Make a record from a row of a list; `types` say as what each field's cells are read, by the field's id.

    `metadata` is the row as it came. Its content is what `cells` and `errors` hold: all but the addresses of
    attachments, which are others at every reading.
    """
    key = text(row, "id", where=where)
    created = instant(row, "createdTime", where=f"{where}, {key}")
    cells, errors = sorted_cells(mapping(row, "fields", where=f"{where}, {key}"), types)
    here = f"{where}, {key}"
    spelled, wrong = canonical(cells, where=here), canonical(errors, where=here) if errors else b""
    return Record(
        kind=RECORD,
        key=(key,),
        columns={"created": created, "cells": spelled.decode(), "errors": wrong.decode() or None},
        metadata=canonical(row, where=here).decode(),
        content_hash=digest_of(key.encode(), created.encode(), spelled, wrong),
    )


def sorted_cells(
    fields: Json, types: Mapping[str, ColumnType] = MappingProxyType({})
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of a row's fields, by field id, and apart from them what is wrong with any.

    Empty cells are in neither, as Airtable leaves them out itself, but for checkboxes: one that is not ticked is
    false. Moments are spelled as everywhere. A value that its field's column cannot show is a cell all the same, and
    an error `{"expected": type, "value": value}`: a formula of numbers may answer `[12.5]` or `"12"`.
    """
    cells: dict[str, Any] = {field_id: False for field_id, kind in types.items() if kind == "boolean"}
    errors: dict[str, Any] = {}
    for field_id, value in fields.items():
        kind = types.get(field_id, "json")
        if _is_error(value):
            errors[field_id] = value
            cells.pop(field_id, None)
        elif not _is_empty(value):
            cells[field_id] = _moment(value) if kind == "instant" else without_addresses(value)
            if not _is_readable(cells[field_id], kind):
                errors[field_id] = {"expected": kind, "value": cells[field_id]}
    return cells, errors


def without_addresses(value: Any) -> Any:
    """Return a cell without the addresses of attachments, which expire two hours after each reading.

    An attachment is told by its id, so that those in lookups are found too. The address of a button stays.
    """
    if isinstance(value, list):
        return list(map(without_addresses, value))  # one Python frame a level, where a comprehension takes two
    if not (isinstance(value, dict) and str(value.get("id", "")).startswith("att")):
        return value
    kept = {name: part for name, part in value.items() if name != "url"}
    if isinstance(kept.get("thumbnails"), dict):
        kept["thumbnails"] = {size: _unaddressed(picture) for size, picture in kept["thumbnails"].items()}
    return kept


def _unaddressed(picture: Any) -> Any:
    return {name: part for name, part in picture.items() if name != "url"} if isinstance(picture, dict) else picture


def _is_error(value: Any) -> bool:
    """Tell what stands in place of a value that could not be computed: `#ERROR!`, NaN, a failed generation."""
    return isinstance(value, Mapping) and ("error" in value or "specialValue" in value or value.get("state") == "error")


def _is_readable(value: Any, kind: ColumnType) -> bool:
    """Tell whether a column of a type shows a value: the rules of the mirror's views."""
    if kind in ("json", "scalar"):
        return True
    if kind == "instant":
        return isinstance(value, str) and _moment(value) == value and value.endswith("Z") and len(value) == 27
    if kind in ("integer", "number"):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and (kind == "number" or (value == int(value) and -(2**63) <= value < 2**63))
    return isinstance(value, bool if kind == "boolean" else str)


def _is_empty(value: Any) -> bool:
    return value is None or value is False or value == "" or value == []


def _moment(value: Any) -> Any:
    """Spell a moment canonically; what is none stays as it came, for a typed column to pass over."""
    if not isinstance(value, str):
        return value
    try:
        return canonical_instant(value)
    except UnexpectedPayload:
        return value


_TYPES: Mapping[str, CellType] = {
    **dict.fromkeys(("singleLineText", "multilineText", "richText", "email", "url", "phoneNumber"), "text"),
    **dict.fromkeys(("singleSelect", "date"), "text"),
    **dict.fromkeys(("number", "currency", "percent", "duration"), "number"),
    **dict.fromkeys(("rating", "count", "autoNumber"), "integer"),
    "checkbox": "boolean",
    "dateTime": "instant",
}

_COMPUTED = frozenset({"formula", "rollup", "multipleLookupValues", "count"})
"""Types whose values change without an edit of the record, and so without its last-modified time moving."""


def shape_of(table: Json, *, where: str) -> Shape:
    """Return how a table reads: a column a field, under the names its users gave both."""
    columns = [
        ShapeColumn(text(field, "name", where=where), text(field, "id", where=where), cell_type(field, where=where))
        for field in mappings(table, "fields", where=where)
    ]
    return Shape(RECORD, text(table, "name", where=where), columns)


def cell_type(field: Json, *, where: str) -> CellType:
    """Return as what a field's cells are read; a type that is not known, or new, is read as JSON."""
    kind = text(field, "type", where=where)
    options = optional_mapping(field, "options", where=where) or {}
    result = optional_mapping(options, "result", where=where)
    if kind in ("createdTime", "lastModifiedTime"):
        return "text" if result and result.get("type") == "date" else "instant"
    if kind in ("formula", "rollup"):
        return cell_type(result, where=where) if result else "json"
    return _TYPES.get(kind, "json")


def layout_of(table: Json, *, where: str) -> str:
    """Return a hash of all in a schema that decides what cells hold.

    A field that is added, removed or retyped, a formula or a choice that is worded anew changes the cells of
    records whose last-modified time does not move. Names and descriptions change none.
    """
    fields = [
        [text(field, "id", where=where), text(field, "type", where=where), field.get("options")]
        for field in mappings(table, "fields", where=where)
    ]
    return digest_of(canonical(sorted(fields, key=lambda field: str(field[0]))))


def edited_fields(table: Json, *, where: str) -> list[str]:
    """Return the ids of the fields that tell whether a record was edited: all but those computed from others."""
    fields = mappings(table, "fields", where=where)
    return [text(f, "id", where=where) for f in fields if f["type"] not in _COMPUTED] or [_primary(table, where)]


def _primary(table: Json, where: str) -> str:
    return text(table, "primaryFieldId", where=where)
