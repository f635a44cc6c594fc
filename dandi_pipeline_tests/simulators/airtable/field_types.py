"""Airtable's types of field: which are computed, and what becomes of a cell whose field changes its type."""

import re
from collections.abc import Callable, Mapping

from .instants import spelled, understood
from .model import Cell

TEXT_TYPES = ("singleLineText", "multilineText", "richText", "email", "url", "phoneNumber")
NUMBER_TYPES = ("number", "currency", "percent", "duration", "rating")
LIVE_TYPES = (
    "createdTime",
    "lastModifiedTime",
    "createdBy",
    "lastModifiedBy",
    "autoNumber",
    "count",
    "multipleLookupValues",
)
"""Their values follow from the rest of the world at each reading."""
CALCULATED_TYPES = ("formula", "rollup", "button", "externalSyncSource", "aiText")
"""Their values are what `World.recompute` was told last."""
ENTERED_TYPES = (
    *TEXT_TYPES,
    *NUMBER_TYPES,
    "checkbox",
    "singleSelect",
    "multipleSelects",
    "date",
    "dateTime",
    "singleCollaborator",
    "multipleCollaborators",
    "multipleRecordLinks",
    "barcode",
    "multipleAttachments",
)
FIELD_TYPES = (*ENTERED_TYPES, *CALCULATED_TYPES, *LIVE_TYPES)
"""Those that are documented; a field may be of any other type too, since new ones appear at any time."""

COMPUTED_TYPES = frozenset({*LIVE_TYPES, *CALCULATED_TYPES})
"""No user edits them, so that their changes move no last-modified time."""

_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


def converted(value: Cell, new_type: str) -> Cell:
    """Return what remains of a cell whose field becomes one of another type; None where nothing does."""
    kind = "text" if new_type in TEXT_TYPES else "number" if new_type in NUMBER_TYPES else new_type
    return _CONVERSIONS[kind](as_text(value)) if kind in _CONVERSIONS else None


def as_text(value: Cell) -> str:
    """Return a cell as a person would read it."""
    if isinstance(value, list):
        return ", ".join(as_text(item) for item in value)
    if isinstance(value, dict):
        names = (value.get(key) for key in ("name", "text", "label", "filename", "value", "email"))
        return next((str(name) for name in names if name), "")
    if value is True:
        return "checked"
    return "" if value is None or value is False else str(value)


def _number(text: str) -> Cell:
    if not _NUMBER.fullmatch(text):
        return None
    return float(text) if "." in text else int(text)


def _day(text: str) -> Cell:
    return _instant(text)[:10] if _instant(text) else None


def _instant(text: str) -> Cell:
    try:
        return spelled(understood(text))
    except ValueError:
        return None


_CONVERSIONS: Mapping[str, Callable[[str], Cell]] = {
    "text": lambda text: text,
    "number": _number,
    "checkbox": lambda text: text == "checked",
    "singleSelect": lambda text: text,
    "multipleSelects": lambda text: [part.strip() for part in text.split(",")] if text else [],
    "date": _day,
    "dateTime": _instant,
}
