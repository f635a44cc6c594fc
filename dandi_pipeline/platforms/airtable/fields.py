"""What a table's fields are: the type of column each reads as, and which changes of them change every record."""

from collections.abc import Mapping

from dandi_pipeline.http.payload import mappings, optional_mapping, text
from dandi_pipeline.platforms.airtable.api import Json
from dandi_pipeline.platforms.airtable.records import RECORD
from dandi_pipeline.platforms.canonical import canonical, digest_of
from dandi_pipeline.platforms.contract import CellType, Shape, ShapeColumn

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
