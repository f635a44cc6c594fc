"""Puts rows in the order that a query or a search asks for.

Times count as they are shown, to the minute; rows that a sort does not tell apart, and all rows of a query without
sorts, come in an order that means nothing.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from .computed import Computer, scalar
from .errors import invalid
from .filters import TIMESTAMPS
from .records import Page, Property, Row
from .workspace import find_property

Key = Callable[[Row], Any]
_DIRECTIONS = ("ascending", "descending")


def in_order(rows: Iterable[Row], sorts: Any, schema: Mapping[str, Property], computer: Computer) -> list[Row]:
    """Return the rows sorted, those without a value last; raise the API's refusal of sorts that are none."""
    if not isinstance(sorts, list):
        raise invalid("body failed validation: body.sorts should be an array.")
    keys = [_key(sort, schema, computer) for sort in sorts]
    ordered = sorted(rows, key=lambda row: hashlib.sha256(row.id.encode()).digest())
    for key, descending in reversed(keys):
        valued = sorted((row for row in ordered if key(row) is not None), key=key, reverse=descending)
        ordered = [*valued, *(row for row in ordered if key(row) is None)]
    return ordered


def _key(sort: Any, schema: Mapping[str, Property], computer: Computer) -> tuple[Key, bool]:
    direction = sort.get("direction") if isinstance(sort, dict) else None
    if direction not in _DIRECTIONS:
        raise invalid("body failed validation: a sort's direction should be `ascending` or `descending`.")
    descending = direction == "descending"
    if sort.get("timestamp") in TIMESTAMPS:
        return TIMESTAMPS[sort["timestamp"]], descending
    prop = find_property(dict(schema), str(sort.get("property")))
    if prop is None:
        raise invalid(f"Could not find sort property with name or id: {sort.get('property')}")
    return _value_key(prop, computer), descending


def _value_key(prop: Property, computer: Computer) -> Key:
    def key(row: Row) -> Any:
        if not isinstance(row, Page):
            return None
        value = scalar({"type": prop.type, prop.type: computer.value(row, prop)})
        if isinstance(value, dict | list):
            return orjson.dumps(value).decode()
        return value

    return key
