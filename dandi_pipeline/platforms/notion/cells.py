"""Turns property values into cells: one scalar or piece of JSON for each, as people would write it in a table.

What a cell leaves out (colours, ids of options, avatars) is in the page's own JSON beside it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from dandi_pipeline.errors import UnexpectedPayload
from dandi_pipeline.http.instants import instant
from dandi_pipeline.platforms.contract import CellType, ColumnType
from dandi_pipeline.platforms.notion.content import Json

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
    "created_time": instant,
    "last_edited_time": instant,
    "verification": lambda content: content["state"],
    "formula": _result,
    "rollup": _result,
}
