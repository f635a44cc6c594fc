"""Puts what is wrong with a part of the sources file into one line. Values are not quoted: one may be a secret."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

_MESSAGES = {
    "string_type": "expected text (put a number, date or yes/no in quotes)",
    "bool_type": "expected true or false",
    "list_type": "expected a list, each of its entries beginning with '- '",
    "model_type": "expected keys and values, indented below it",
    "dict_type": "expected keys and values, indented below it",
    "string_pattern_mismatch": "expected lower-case letters, digits, '_' and '-' only, at most 63",
}

_NUMBERS = ("int_type", "greater_than_equal", "less_than_equal")


def worded(error: ErrorDetails, model: type[BaseModel]) -> str:
    """Return what one of pydantic's complaints about a `model` means to the file's author."""
    *parents, key = error["loc"]
    fields = _fields(model, parents)
    if error["type"] == "extra_forbidden":
        return unknown("key", str(key), fields)
    if error["type"] == "missing":
        return f"no {key!r}, which must be set; expected: {_plain(fields[str(key)].description or '')}"
    place = f"{parents[-1]!r}, no. {key + 1}" if isinstance(key, int) else repr(key)
    if error["type"] == "literal_error":
        return f"{place}: expected {error['ctx']['expected']}{_meant(str(error['input']), _choices(error))}"
    if error["type"] in _NUMBERS:
        return f"{place}: expected a whole number{_range(fields[str(key)])}"
    return f"{place}: {_MESSAGES.get(error['type']) or _plain(error['msg'])}"


def unknown(noun: str, given: str, accepted: Iterable[str]) -> str:
    """Return that a word is unknown, which one was probably meant, and which there are."""
    names = sorted(accepted)
    return f"unknown {noun} {given[:40]!r}{_meant(given, names)}; accepted: {', '.join(names)}"


def _meant(given: str, accepted: Iterable[str]) -> str:
    close = get_close_matches(given.lower(), list(accepted), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _choices(error: ErrorDetails) -> list[str]:
    expected: str = error["ctx"]["expected"]
    return expected.replace(" or ", ", ").replace("'", "").split(", ")


def _fields(model: type[BaseModel], parents: Sequence[str | int]) -> Mapping[str, FieldInfo]:
    """Return the fields of the part of a `model` that lies below its `parents`; none where that is no model."""
    for parent in parents:
        if isinstance(parent, int):
            continue  # an entry of a list, whose annotation has been looked into
        annotation = model.model_fields[parent].annotation
        (inner,) = get_args(annotation) if get_origin(annotation) is list else (annotation,)
        if not isinstance(inner, type) or not issubclass(inner, BaseModel):
            return {}
        model = inner
    return model.model_fields


def _range(field: FieldInfo) -> str:
    """Return the bounds of a number in words."""
    bounds = {name: getattr(rule, name) for rule in field.metadata for name in ("ge", "le") if hasattr(rule, name)}
    if "le" in bounds:
        return f" from {bounds['ge']} to {bounds['le']}"
    return f" from {bounds['ge']} up"


def _plain(message: str) -> str:
    text = message.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
