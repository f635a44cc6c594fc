"""Compares a mirror, as SQL shows it, with what the simulated account says a perfect one would hold."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa

from dandi_pipeline.instants import canonical_instant
from dandi_pipeline_tests.end_to_end.equality import plain_engine
from dandi_pipeline_tests.end_to_end.strictness import require_columns, same
from dandi_pipeline_tests.simulators.airtable import without_signatures

_SILENT = frozenset({"formula", "rollup", "count", "multipleLookupValues", "aiText", "button", "externalSyncSource"})
"""Types of field whose values change without any last-modified time moving."""

_INSTANTS = frozenset({"dateTime", "createdTime", "lastModifiedTime"})

_SHOWN: Mapping[str, tuple[str, tuple[type, ...]]] = {
    **dict.fromkeys(("singleLineText", "multilineText", "richText", "email", "url", "phoneNumber"), ("text", (str,))),
    **dict.fromkeys(("singleSelect", "date"), ("text", (str,))),
    **dict.fromkeys(("number", "currency", "percent", "duration"), ("number", (int, float))),
    **dict.fromkeys(("rating", "count", "autoNumber"), ("integer", (int,))),
    **dict.fromkeys(_INSTANTS, ("instant", (str,))),
    "checkbox": ("boolean", (bool,)),
}
"""What the columns of fields of a type show, and what values of theirs are."""


@dataclass(frozen=True)
class Difference:
    """Something in the mirror that is not as it should be; `record` is "" for a table's schema.

    `silent` says why Airtable lets no query see what it comes from, "" where it does: a deletion (in a link to what
    was deleted as well), or a value that was computed anew. `field` is the id of the
    field whose cell it is in, if it is in one.
    """

    table: str
    record: str
    what: str
    silent: str = ""
    field: str = ""


def differences(url: str, alias: str, snapshot: Mapping[str, Any]) -> list[Difference]:
    """Return every difference between the mirror's tables of a source and the bases of a snapshot."""
    with plain_engine(url).connect() as connection:
        records = {(row["table_id"], row["record_id"]): row for row in _rows(connection, "airtable_records", alias)}
        schemas = {row["partition"]: row for row in _rows(connection, "schemas", alias)}
    found: list[Difference] = []
    for base_id, base in snapshot.items():
        for table_id, table in base["tables"].items():
            key = f"{base_id}/{table_id}"
            held = {record_id: row for (table, record_id), row in records.items() if table == key}
            found += _schema(key, table["schema"], schemas.get(key))
            found += _records(key, table, held)
    there = {f"{base_id}/{table_id}" for base_id, base in snapshot.items() for table_id in base["tables"]}
    gone = {key for key in schemas if key not in there and key.partition("/")[0] in snapshot}
    return found + [Difference(key, "", "left behind") for key in gone]


def _rows(connection: sa.Connection, table: str, alias: str) -> list[dict[str, Any]]:
    result = connection.execute(sa.text(f"SELECT * FROM {table} WHERE source = :alias"), {"alias": alias})
    require_columns(table, result.keys(), _COLUMNS[table])
    rows = result.mappings()
    return [{str(name): _parsed(str(name), value) for name, value in row.items()} for row in rows]


_COLUMNS = {
    "airtable_records": {"source", "table_id", "record_id", "created", "cells", "errors", "metadata", "content_hash"},
    "schemas": {"source", "partition", "name", "metadata", "content_hash"},
}
"""Every column that is compared, but for the hash, which is over what is compared."""


def _parsed(name: str, value: Any) -> Any:
    if name in ("cells", "errors", "metadata") and isinstance(value, str):
        return orjson.loads(value)
    if name == "created":
        return canonical_instant(value if isinstance(value, str) else value.isoformat())
    return value


def _schema(key: str, expected: Mapping[str, Any], held: Mapping[str, Any] | None) -> Iterator[Difference]:
    if held is None:
        yield Difference(key, "", "not in the mirror")
    elif not same(held["metadata"], expected) or held["name"] != expected["name"]:
        yield Difference(key, "", f"its schema is {held['metadata']} instead of {expected}")


def _records(key: str, table: Mapping[str, Any], held: Mapping[str, Mapping[str, Any]]) -> Iterator[Difference]:
    expected = table["records"]
    for record_id in expected.keys() - held.keys():
        yield Difference(key, record_id, "missing from the mirror")
    for record_id in held.keys() - expected.keys():
        yield Difference(key, record_id, "left behind in the mirror", silent="a record was deleted")
    fields = {field["id"]: field for field in table["schema"]["fields"]}
    for record_id in expected.keys() & held.keys():
        yield from _record(key, expected[record_id], held[record_id], fields, expected.keys())


def _record(
    key: str, expected: Mapping[str, Any], held: Mapping[str, Any], fields: Mapping[str, Any], there: Any
) -> Iterator[Difference]:
    record_id, metadata = expected["id"], held["metadata"]
    if held["created"] != canonical_instant(expected["createdTime"]):
        yield Difference(key, record_id, "created at another time")
    shown = {field_id: without_signatures(value) for field_id, value in metadata["fields"].items()}
    if not same({**metadata, "fields": None}, {**expected, "fields": None}):
        yield Difference(key, record_id, f"its metadata is {metadata} instead of {expected}")
    for field_id in shown.keys() | expected["fields"].keys():
        before, now = shown.get(field_id), expected["fields"].get(field_id)
        if not same(before, now):
            what = f"{fields.get(field_id, {}).get('name')} is {before} instead of {now}"
            silent = _silent(fields.get(field_id), before, now)
            yield Difference(key, record_id, what, silent=silent, field=field_id)
    cells, errors = _sorted(shown, fields)
    if not same([held["cells"], held["errors"] or {}], [cells, errors]):
        yield Difference(key, record_id, f"its cells are {held['cells']}, {held['errors']}, not those of its metadata")


def _silent(field: Mapping[str, Any] | None, before: Any, now: Any) -> str:
    if field is None:
        return ""
    if field["type"] == "multipleRecordLinks" and set(now or ()) < set(before or ()):
        return "a link to a deleted record"
    return "a computed value" if field["type"] in _SILENT else ""


def _sorted(shown: Mapping[str, Any], fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the cells and the errors that belong to a row as Airtable shows it."""
    cells: dict[str, Any] = {field_id: False for field_id, field in fields.items() if _result_type(field) == "checkbox"}
    errors: dict[str, Any] = {}
    for field_id, value in shown.items():
        kind = _result_type(fields.get(field_id, {}))
        if isinstance(value, dict) and (value.keys() & {"error", "specialValue"} or value.get("state") == "error"):
            errors[field_id] = value
            cells.pop(field_id, None)
        elif kind in _INSTANTS and str(value).endswith(".000Z"):
            cells[field_id] = value.replace(".000Z", ".000000Z")
        else:
            cells[field_id] = value
            if kind in _SHOWN and not _is_readable(kind, value):
                errors[field_id] = {"expected": _SHOWN[kind][0], "value": value}
    return cells, errors


def _is_readable(kind: str, value: Any) -> bool:
    """Tell whether a value is one of its field's type; text is no instant unless it is spelled like one."""
    if type(value) not in _SHOWN[kind][1]:
        return False
    if kind in _INSTANTS:
        try:
            return datetime.fromisoformat(value.replace("Z", "+00:00")).tzinfo is not None
        except ValueError:
            return False
    return True


def _result_type(field: Mapping[str, Any]) -> Any:
    """Return the type of a field's values: of what is computed, that of its result."""
    result = (field.get("options") or {}).get("result") if field.get("type") in ("formula", "rollup") else field
    return (result or {}).get("type")
