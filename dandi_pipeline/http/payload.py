"""Checks JSON where it enters: each function returns one member with its type assured, or names what is wrong."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from dandi_pipeline.canonical import ExactNumber
from dandi_pipeline.errors import UnexpectedPayload
from dandi_pipeline.instants import canonical_instant

Kind = TypeVar("Kind")

_NAMES: Mapping[type, str] = {
    str: "text",
    int: "an integer",
    float: "a number with a fraction",
    bool: "a boolean",
    dict: "an object",
    list: "an array",
    type(None): "null",
    ExactNumber: "a number that is no plain integer",
}
_ABSENT = object()


def text(payload: Any, name: str, *, where: str) -> str:
    """Return the text member `name`."""
    # Without a call more, as below: of an asset half a dozen texts come by here, of an archive millions.
    value = payload.get(name) if isinstance(payload, dict) else None
    return value if type(value) is str else _required(payload, name, str, where)


def optional_text(payload: Any, name: str, *, where: str) -> str | None:
    """Return the text member `name`, or None where it is null or absent."""
    value = payload.get(name) if isinstance(payload, dict) else None
    return value if type(value) is str else _optional(payload, name, str, where)


def integer(payload: Any, name: str, *, where: str) -> int:
    """Return the integer member `name`; true and false are no integers."""
    return _required(payload, name, int, where)


def optional_integer(payload: Any, name: str, *, where: str) -> int | None:
    """Return the integer member `name`, or None where it is null or absent."""
    return _optional(payload, name, int, where)


def boolean(payload: Any, name: str, *, where: str) -> bool:
    """Return the boolean member `name`."""
    return _required(payload, name, bool, where)


def instant(payload: Any, name: str, *, where: str) -> str:
    """Return the instant member `name` in the canonical spelling of `dandi_pipeline.http.instant`."""
    return _instant(text(payload, name, where=where), name, where)


def optional_instant(payload: Any, name: str, *, where: str) -> str | None:
    """Return the instant member `name` in canonical spelling, or None where it is null or absent."""
    spelling = optional_text(payload, name, where=where)
    return None if spelling is None else _instant(spelling, name, where)


def mapping(payload: Any, name: str, *, where: str) -> dict[str, Any]:
    """Return the object member `name`."""
    return _required(payload, name, dict, where)


def optional_mapping(payload: Any, name: str, *, where: str) -> dict[str, Any] | None:
    """Return the object member `name`, or None where it is null or absent."""
    return _optional(payload, name, dict, where)


def array(payload: Any, name: str, *, where: str) -> list[Any]:
    """Return the array member `name`, whatever its items are."""
    return _required(payload, name, list, where)


def mappings(payload: Any, name: str, *, where: str) -> Sequence[dict[str, Any]]:
    """Return the array member `name`, each of whose items is an object."""
    return _objects(_required(payload, name, list, where), f"{name!r} has", where)


def rows(payload: Any, *, where: str) -> Sequence[dict[str, Any]]:
    """Return the payload itself, an array each of whose items is an object."""
    if not isinstance(payload, list):
        raise _unexpected(where, f"is {_kind_of(payload)}", "an array")
    return _objects(payload, "has", where)


def _objects(items: list[Any], told: str, where: str) -> Sequence[dict[str, Any]]:
    for position, item in enumerate(items):
        if not isinstance(item, dict):
            raise _unexpected(where, f"{told} {_kind_of(item)} at {position}", "only objects")
    return items


def _instant(spelling: str, name: str, where: str) -> str:
    """Spell an instant canonically; where it stands is put into words for the error alone, as in `_wrong`."""
    try:
        return canonical_instant(spelling)
    except UnexpectedPayload:
        return canonical_instant(spelling, where=f"{where}: {name!r}")


def _required(payload: Any, name: str, kind: type[Kind], where: str) -> Kind:
    value = payload.get(name, _ABSENT) if isinstance(payload, dict) else _ABSENT
    if type(value) is kind:
        return value
    raise _wrong(payload, value, name, kind, where)


def _optional(payload: Any, name: str, kind: type[Kind], where: str) -> Kind | None:
    value = payload.get(name) if isinstance(payload, dict) else _ABSENT
    if value is None or type(value) is kind:
        return value
    raise _wrong(payload, value, name, kind, where)


def _wrong(payload: Any, value: Any, name: str, kind: type, where: str) -> UnexpectedPayload:
    """Say why a member is not what it is to be; every asset comes by here a dozen times, so nothing is said before."""
    if not isinstance(payload, dict):
        return _unexpected(where, f"is {_kind_of(payload)}", f"an object with {name!r}")
    if value is _ABSENT:
        return _unexpected(where, f"has no {name!r}", _NAMES[kind])
    return _unexpected(where, f"{name!r} is {_kind_of(value)}", _NAMES[kind])


def _kind_of(value: Any) -> str:
    return _NAMES.get(type(value), type(value).__name__)


def _unexpected(where: str, found: str, expected: str) -> UnexpectedPayload:
    return UnexpectedPayload(f"{where}: {found}, expected {expected}; nothing was written for it")
