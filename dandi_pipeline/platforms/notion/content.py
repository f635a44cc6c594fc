"""What of Notion's JSON is content, and what changes with every read."""

from collections.abc import Mapping
from typing import Any

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
