"""Turns Notion's JSON into records, cells and shapes; every field is checked here and nowhere else."""

from collections.abc import Callable, Mapping
from typing import Any

from dandi_pipeline.canonical import canonical, digest_of
from dandi_pipeline.errors import UnexpectedPayload
from dandi_pipeline.http.payload import boolean, instant, mapping, mappings, text
from dandi_pipeline.instants import canonical_instant
from dandi_pipeline.model import CellType, ColumnType, Record, RecordKind, Shape, ShapeColumn

Json = Mapping[str, Any]


def content_of(document: Json) -> dict[str, Any]:
    """Return a copy without what is new on every read.

    The address of a file that Notion keeps is signed anew each time and expires after an hour. Of each
    `{"type": "file", "file": {"url", "expiry_time"}}`, wherever it occurs, only the address up to its query counts.
    """
    return {name: _content(value) for name, value in document.items()}


def _content(value: Any) -> Any:
    """Return the content of a value. By `map`, which takes one Python frame a level: a comprehension takes two."""
    if isinstance(value, list):
        return list(map(_content, value))
    if not isinstance(value, dict):
        return value
    kept = value.get("file")
    if value.get("type") == "file" and isinstance(kept, dict) and isinstance(kept.get("url"), str):
        return {**value, "file": kept["url"].partition("?")[0]}
    return dict(zip(value, map(_content, value.values()), strict=True))


CELL_TYPES: Mapping[str, ColumnType] = {
    "title": "text",
    "rich_text": "text",
    "select": "text",
    "status": "text",
    "url": "text",
    "email": "text",
    "phone_number": "text",
    "date": "text",
    "unique_id": "text",
    "created_by": "text",
    "last_edited_by": "text",
    "verification": "text",
    "number": "number",
    "checkbox": "boolean",
    "created_time": "instant",
    "last_edited_time": "instant",
    "formula": "scalar",
    "rollup": "scalar",
}
"""The type of the cells of each type of property; of any other, which nobody may have heard of, it is JSON.

A formula's schema does not say what it comes to, and a rollup's only by its function: their values tell.
"""

_ROLLED_UP: Mapping[str, CellType] = {
    **dict.fromkeys(("count", "count_values", "empty", "not_empty", "unique", "checked", "unchecked"), "number"),
    **dict.fromkeys(("percent_empty", "percent_not_empty", "percent_checked", "percent_unchecked"), "number"),
    **dict.fromkeys(("sum", "average", "median", "min", "max", "range"), "number"),
    **dict.fromkeys(("earliest_date", "latest_date", "date_range"), "text"),
}


def empty_type_of(prop: Json) -> CellType:
    """Return as what the column of a property reads as long as no page has a value in it."""
    rollup = prop.get("rollup")
    return _ROLLED_UP.get(str(rollup.get("function")), "json") if isinstance(rollup, Mapping) else "json"


def cell_of(value: Json) -> Any:
    """Return the cell for a property value of any type; None where it is empty or not as such values are.

    Texts are plain; options are names; people are names, or ids where names are not shown. A date is its start, or
    `start/end` as ISO 8601 spells intervals. Relations are lists of page ids, files lists of names. Formulas and
    rollups are what they come to.
    """
    type_name = str(value.get("type"))
    content = value.get(type_name)
    if content is None:
        return None
    try:
        cell = _CELLS.get(type_name, _as_it_is)(content)
    except (LookupError, TypeError, AttributeError, UnexpectedPayload):
        return None  # the JSON beside the cell still has what was said
    return None if cell in ("", [], {}) else cell


def plain_text(segments: Any) -> str:
    """Return the words of a rich text."""
    return "".join(segment["plain_text"] for segment in segments)


def _as_it_is(content: Any) -> Any:
    return content


def _name(option: Json) -> Any:
    return option["name"]


def _names(items: Any) -> list[Any]:
    return [item["name"] for item in items]


def _date(date: Json) -> str:
    return f"{date['start']}/{date['end']}" if date.get("end") else date["start"]


def _person(person: Json) -> Any:
    return person.get("name") or person["id"]


def _people(people: Any) -> list[Any]:
    return [_person(person) for person in people]


def _relation(references: Any) -> list[Any]:
    return [reference["id"] for reference in references]


def _unique_id(content: Json) -> str | None:
    if content["number"] is None:  # of a page that was made before its number
        return None
    return f"{content['prefix']}-{content['number']}" if content.get("prefix") else str(content["number"])


def _result(content: Json) -> Any:
    """Return what a formula or rollup comes to; a rollup's array is one of typed values."""
    if content["type"] in ("unsupported", "incomplete"):
        return None
    if content["type"] == "array":
        return [cell_of(item) for item in content["array"]]
    return cell_of(content)


_CELLS: Mapping[str, Callable[[Any], Any]] = {
    "title": plain_text,
    "rich_text": plain_text,
    "select": _name,
    "status": _name,
    "multi_select": _names,
    "date": _date,
    "people": _people,
    "files": _names,
    "relation": _relation,
    "unique_id": _unique_id,
    "created_by": _person,
    "last_edited_by": _person,
    "created_time": canonical_instant,
    "last_edited_time": canonical_instant,
    "verification": lambda content: content["state"],
    "formula": _result,
    "rollup": _result,
}


PAGES = "pages"

SCHEMA = RecordKind("schema", PAGES, key=(), content=content_of)
PAGE = RecordKind("page", PAGES, key=("page_id",), fingerprint=("last_edited", "in_trash"), content=content_of)


def page_record(page: Json, *, where: str) -> Record:
    """Make a page's record from the JSON that a query or the page itself answers."""
    values = _values(page, where)
    titles = [cell_of(value) for value in values if value.get("type") == "title"]
    cells = {text(value, "id", where=where): cell_of(value) for value in values}
    return Record(
        kind=PAGE,
        key=(text(page, "id", where=where),),
        columns={
            "created": instant(page, "created_time", where=where),
            "last_edited": instant(page, "last_edited_time", where=where),
            "title": next(iter(titles), None),
            "url": text(page, "url", where=where),
            "in_trash": boolean(page, "in_trash", where=where),
            "cells": canonical(
                {cell: value for cell, value in cells.items() if value is not None}, where=where
            ).decode(),
        },
        metadata=canonical(page, where=where).decode(),
        content_hash=digest_of(canonical(content_of(page), where=where)),
    )


def schema_record(data_source: Json, *, where: str) -> Record:
    """Make the record of a data source's schema, which is all that the data source says of itself."""
    return Record(
        kind=SCHEMA,
        key=(),
        columns={"name": title_of(data_source, where=where)},
        metadata=canonical(data_source, where=where).decode(),
        content_hash=digest_of(canonical(content_of(data_source), where=where)),
    )


def shape_of(data_source: Json, *, where: str) -> Shape:
    """Return how the pages of a data source read as a table: the title first, then the properties as they come."""
    properties: list[dict[str, Any]] = [
        mapping(data_source["properties"], name, where=where)
        for name in mapping(data_source, "properties", where=where)
    ]
    columns = [
        ShapeColumn(
            name=text(prop, "name", where=where),
            cell=text(prop, "id", where=where),
            type=CELL_TYPES.get(text(prop, "type", where=where), "json"),
            empty=empty_type_of(prop),
        )
        for prop in sorted(properties, key=lambda prop: prop.get("type") != "title")
    ]
    marks = {"in_trash": True} if is_trashed(data_source) else {}
    return Shape(PAGE, title_of(data_source, where=where) or "untitled", columns, marks)


def is_trashed(data_source: Json) -> bool:
    """Tell whether a data source is in the trash: it may be answered all the same, and its query as ever."""
    return data_source.get("in_trash") is True


def title_of(data_source: Json, *, where: str) -> str:
    """Return what people call a data source; nothing if they never named it."""
    segments = mappings(data_source, "title", where=where)
    return "".join(text(segment, "plain_text", where=where) for segment in segments)


def _values(page: Json, where: str) -> list[dict[str, Any]]:
    properties = mapping(page, "properties", where=where)
    return [mapping(properties, name, where=where) for name in properties]
