"""One property of one page, whole: what page objects cut at 25 references is paged through here."""

from typing import Any

from .computed import Computer, aggregate
from .paging import Pager, Piece
from .records import Page, Property
from .views import shown_id

_LISTED = frozenset({"title", "rich_text", "people", "relation"})


def property_item(
    pager: Pager, computer: Computer, page: Page, prop: Property, cursor: str | None, size: int, address: str
) -> dict[str, Any]:
    """Return a simple value, or one page of a long one; `computer` sees every reference.

    `address` is where the property is asked for, which the address of the next page is made from.
    """
    if prop.type == "rollup":
        items = [{"id": shown_id(prop), **typed} for typed in computer.rolled_up(page, prop) or []]
    elif prop.type in _LISTED:
        said = {"id": shown_id(prop), "type": prop.type}
        items = [{**said, prop.type: item} for item in computer.value(page, prop)]
    else:
        value = computer.value(page, prop)
        return {"object": "property_item", "id": shown_id(prop), "type": prop.type, prop.type: value}
    numbers = [str(number) for number in range(len(items))]
    piece = pager.piece([page.id, prop.id], cursor, size, lambda: numbers, free=False)
    results = [{"object": "property_item", **items[int(number)]} for number in piece.ids if int(number) < len(items)]
    next_url = piece.next_cursor and f"{address}?start_cursor={piece.next_cursor}"
    summary = _rollup_so_far(computer, page, prop, piece) if prop.type == "rollup" else {}
    return {
        "object": "list",
        "results": results,
        "next_cursor": piece.next_cursor,
        "has_more": piece.next_cursor is not None,
        "type": "property_item",
        "property_item": {"id": shown_id(prop), "next_url": next_url, "type": prop.type, prop.type: summary},
    }


def _rollup_so_far(computer: Computer, page: Page, prop: Property, piece: Piece) -> dict[str, Any]:
    """Return the aggregate, which is known on the last page only; an array is in the results already."""
    function = prop.config["function"]
    if piece.next_cursor is not None:
        return {"type": "incomplete", "incomplete": {}, "function": function}
    whole = aggregate(function, computer.rolled_up(page, prop))
    return {**whole, "array": []} if whole["type"] == "array" else whole
