"""JSON to the letter: an exact reader and writer, the one spelling of a value, and the hash of its content."""

import json
import re
from hashlib import blake2b
from typing import Any

import orjson

from dandi_pipeline.errors import UnexpectedPayload

MOST_LEVELS = 500
"""How deep a document may nest. SQLite's JSON functions end at 1,000 levels, Python's own reader a little before."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST_INTEGER = 4_000
"""Digits of an integer that Python is asked to convert; it refuses more than 4,300 (CVE-2020-10735)."""

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_SURROGATES = re.compile("([\ud800-\udfff])")


class NotJson(ValueError):
    """The text is no JSON, or not all of it has arrived."""


class ExactNumber:
    """A number as it was written, where Python has none that is written so: `1e400`, `1.10`, `-0`.

    No number to Python: what takes an integer refuses it like a text. `NaN` and `Infinity`, which some servers write
    though JSON has neither, are read as such a number too, so that only the record that holds one fails.
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"ExactNumber({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExactNumber) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def parsed(body: bytes) -> Any:
    """Return the value of a JSON text in UTF-8, with or without a byte order mark, each number as it was written.

    Numbers are `int` and `float` where these are spelled as they were written, `ExactNumber` otherwise. Of a name
    that an object has twice, the last counts. Raises `NotJson`, and `UnexpectedPayload` for what nests too deep to be
    read.
    """
    try:
        value = orjson.loads(body)
        # Most servers write just as orjson does. That proves in a tenth of the time of reading that nothing is lost.
        if orjson.dumps(value) == body:
            return value
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        pass
    return _parsed_exactly(body)


def decoder() -> json.JSONDecoder:
    """Return a decoder that reads numbers like `parsed`, from text; it refuses `NaN`, and 1,000 levels as an error."""
    return json.JSONDecoder(parse_float=_fraction, parse_int=_integer, parse_constant=_refused)


def canonical(value: Any, *, where: str = "its metadata") -> bytes:
    """Return the one spelling of a JSON value: sorted keys, no blanks, UTF-8, numbers as they were written.

    Raises `UnexpectedPayload` for what nests deeper than `MOST_LEVELS`, and for `NaN` or an infinity.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        pieces: list[str] = []
        _write(value, pieces, MOST_LEVELS, where)
        return "".join(pieces).encode()


def _parsed_exactly(body: bytes) -> Any:
    try:
        return _READER.decode(body.removeprefix(_BYTE_ORDER_MARK).decode())
    except RecursionError:
        raise UnexpectedPayload(
            f"nests deeper than can be read; the mirror keeps up to {MOST_LEVELS} levels, nothing was written for it"
        ) from None
    except ValueError as error:
        raise NotJson(str(error)) from None


def _fraction(text: str) -> float | ExactNumber:
    number = float(text)
    return number if orjson.dumps(number) == text.encode() else ExactNumber(text)


def _integer(text: str) -> int | ExactNumber:
    return ExactNumber(text) if text == "-0" or len(text) > _LONGEST_INTEGER else int(text)


def _refused(text: str) -> Any:
    raise NotJson(f"{text} is no JSON")


_READER = json.JSONDecoder(parse_float=_fraction, parse_int=_integer, parse_constant=ExactNumber)


def _write(value: Any, pieces: list[str], levels: int, where: str) -> None:
    """Append the spelling of a value; `levels` is how many more it may nest. One Python frame a level, no more."""
    if not isinstance(value, (dict, list)):
        pieces.append(_scalar(value, where))
        return
    if not levels:
        raise UnexpectedPayload(f"{where}: nests deeper than {MOST_LEVELS} levels; nothing was written for it")
    named = isinstance(value, dict)
    separator = "{" if named else "["
    for item in sorted(value) if named else value:
        pieces.append(separator)
        if named:
            pieces.append(f"{_text(item)}:")
        _write(value[item] if named else item, pieces, levels - 1, where)
        separator = ","
    if not value:
        pieces.append(separator)
    pieces.append("}" if named else "]")


def _scalar(value: Any, where: str) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, ExactNumber):
        if not _JSON_NUMBER.fullmatch(value.text):
            raise UnexpectedPayload(f"{where}: holds {value.text}, which no JSON has; nothing was written for it")
        return value.text
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return orjson.dumps(value).decode()


def _text(text: str) -> str:
    """Spell a text as orjson does, with each half of a surrogate pair that lacks the other as an escape."""
    return '"' + "".join(map(_piece, _SURROGATES.split(text))) + '"'


def _piece(text: str) -> str:
    return f"\\u{ord(text):04x}" if _SURROGATES.fullmatch(text) else orjson.dumps(text).decode()[1:-1]


def digest_of(*pieces: bytes) -> str:
    """Return 128 bits of hash over the pieces; enough that no two contents ever share it by chance."""
    return blake2b(b"\0".join(pieces), digest_size=16).hexdigest()
