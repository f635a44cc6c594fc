"""Completes the values that a page shows only the first 25 references of."""

from collections.abc import Mapping
from typing import Any

from dandi_pipeline.errors import ResourceMissing
from dandi_pipeline.http.payload import mapping, text
from dandi_pipeline.platforms.notion.api import NotionApi
from dandi_pipeline.platforms.notion.content import Json

SHOWN = 25
"""References (people, related pages, mentions in a text) that a page's own JSON stops at."""


_LISTS = ("people", "relation")


def is_whole(page: Json, *, where: str) -> bool:
    """Tell whether a page shows all of its values."""
    return not any(map(_may_be_cut, mapping(page, "properties", where=where).values()))


def completed(api: NotionApi, page: Json, *, where: str) -> Json | None:
    """Return the page with every value whole, one request or more for each that is not; None if it vanished."""
    properties = dict(mapping(page, "properties", where=where))
    try:
        for name, value in properties.items():
            if _may_be_cut(value):
                properties[name] = _completed(api, text(page, "id", where=where), value, where)
    except ResourceMissing:
        return None  # or its property did, which the look at the schema after the reading will show
    return {**page, "properties": properties}


def _may_be_cut(value: Any) -> bool:
    """Tell by what Notion says of relations, and for the rest by whether the limit is reached."""
    if not isinstance(value, Mapping):
        return False
    type_name = value.get("type")
    shown = value.get(str(type_name))
    if not isinstance(shown, list):
        return False
    if type_name in ("title", "rich_text"):
        return len([segment for segment in shown if segment.get("type") == "mention"]) >= SHOWN
    if type_name == "relation" and "has_more" in value:
        return bool(value["has_more"])
    return type_name in _LISTS and len(shown) >= SHOWN


def _completed(api: NotionApi, page_id: str, value: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    items = api.property_items(page_id, text(value, "id", where=where))
    whole = {**value, value["type"]: items}
    return {**whole, "has_more": False} if "has_more" in value else whole
