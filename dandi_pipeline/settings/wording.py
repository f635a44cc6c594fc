"""Puts what is wrong with a part of the sources file into one line. Values are not quoted: one may be a secret."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from pydantic import BaseModel
from pydantic_core import ErrorDetails

_MESSAGES = {
    "string_type": "expected text (put a number, date or yes/no in quotes)",
    "bool_type": "expected true or false",
    "int_type": "expected a whole number",
}


def worded(error: ErrorDetails, model: type[BaseModel]) -> str:
    """Return what one of pydantic's complaints about a `model` means to the file's author."""
    *parents, key = error["loc"]
    if error["type"] == "extra_forbidden":
        return unknown("key", str(key), _keys(model, parents))
    if error["type"] == "missing":
        return f"no {key!r}, which must be set"
    if error["type"] == "literal_error":
        return f"{key!r}: expected {error['ctx']['expected']}{_meant(str(error['input']), _choices(error))}"
    if error["type"] in ("model_type", "dict_type"):
        return f"{key!r}: expected keys and values, indented below it"
    if error["type"] == "string_pattern_mismatch":
        return f"{key!r}: expected lower-case letters, digits, '_' and '-' only, at most 63"
    return f"{key!r}: {_MESSAGES.get(error['type']) or _plain(error['msg'])}"


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


def _keys(model: type[BaseModel], parents: Sequence[str | int]) -> Iterable[str]:
    for parent in parents:
        inner = model.model_fields[str(parent)].annotation
        if not isinstance(inner, type) or not issubclass(inner, BaseModel):
            return ()
        model = inner
    return model.model_fields


def _plain(message: str) -> str:
    text = message.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
