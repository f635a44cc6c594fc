"""Checks JSON where it enters: each function returns one member with its type assured, or names what is wrong."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from dandi_pipeline.errors import UnexpectedPayload
from dandi_pipeline.http.instants import instant as canonical_instant

Kind = TypeVar("Kind")

_NAMES: Mapping[type, str] = {
    str: "text",
    int: "an integer",
    float: "a number with a fraction",
    bool: "a boolean",
    dict: "an object",
    list: "an array",
    type(None): "null",
}
_ABSENT = object()


def text(payload: Any, name: str, *, where: str) -> str:
    """Return the text member `name`."""
    return _required(payload, name, str, where)


def optional_text(payload: Any, name: str, *, where: str) -> str | None:
    """Return the text member `name`, or None where it is null or absent."""
    return _optional(payload, name, str, where)


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
    return canonical_instant(text(payload, name, where=where), where=f"{where}: {name!r}")


def optional_instant(payload: Any, name: str, *, where: str) -> str | None:
    """Return the instant member `name` in canonical spelling, or None where it is null or absent."""
    spelling = optional_text(payload, name, where=where)
    return None if spelling is None else canonical_instant(spelling, where=f"{where}: {name!r}")


def mapping(payload: Any, name: str, *, where: str) -> dict[str, Any]:
    """Return the object member `name`."""
    return _required(payload, name, dict, where)


def optional_mapping(payload: Any, name: str, *, where: str) -> dict[str, Any] | None:
    """Return the object member `name`, or None where it is null or absent."""
    return _optional(payload, name, dict, where)


def mappings(payload: Any, name: str, *, where: str) -> Sequence[dict[str, Any]]:
    """Return the array member `name`, each of whose items is an object."""
    items: list[Any] = _required(payload, name, list, where)
    for position, item in enumerate(items):
        if not isinstance(item, dict):
            raise _unexpected(where, f"{name!r} has {_kind_of(item)} at {position}", "only objects")
    return items


def _required(payload: Any, name: str, kind: type[Kind], where: str) -> Kind:
    value = _member(payload, name, where)
    if value is _ABSENT:
        raise _unexpected(where, f"has no {name!r}", _NAMES[kind])
    return _checked(value, name, kind, where)


def _optional(payload: Any, name: str, kind: type[Kind], where: str) -> Kind | None:
    value = _member(payload, name, where)
    return None if value is _ABSENT or value is None else _checked(value, name, kind, where)


def _member(payload: Any, name: str, where: str) -> Any:
    if not isinstance(payload, dict):
        raise _unexpected(where, f"is {_kind_of(payload)}", f"an object with {name!r}")
    return payload.get(name, _ABSENT)


def _checked(value: Any, name: str, kind: type[Kind], where: str) -> Kind:
    if type(value) is not kind:
        raise _unexpected(where, f"{name!r} is {_kind_of(value)}", _NAMES[kind])
    return value


def _kind_of(value: Any) -> str:
    return _NAMES.get(type(value), type(value).__name__)


def _unexpected(where: str, found: str, expected: str) -> UnexpectedPayload:
    return UnexpectedPayload(f"{where}: {found}, expected {expected}; nothing was written for it")
