"""Text in messages: counts in words, and text from strangers made safe for a terminal, a message, a log, a database."""

import re
import unicodedata

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def plain(text: str) -> str:
    """Return `text` as one line, with every character that is not meant to be seen spelled out.

    That is control characters and escape sequences, line breaks, marks that turn the writing direction, and
    halves of surrogate pairs: `\\x1b[2J` is shown, not obeyed.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _spelled(char) for char in text)


def one_line(text: str) -> str:
    """Return a message that may have been wrapped as one line, safe like `plain`."""
    return plain(" ".join(text.split()))


def quantity(count: int, noun: str) -> str:
    """Return a count with its noun, e.g. "1 dandiset" or "1,203 assets"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def excerpt(text: str, longest: int) -> str:
    """Return the start of a text as one printable line of at most `longest` characters, the rest left out."""
    start = text[: 8 * longest]
    shown = start if start.isprintable() else "".join(char if char.isprintable() else " " for char in start)
    line = " ".join(shown.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def is_storable(text: str) -> bool:
    """Tell whether every database can hold a text: PostgreSQL no NUL, none half a surrogate pair."""
    if "\0" in text:
        return False
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def storable(text: str, instead: str | None = None) -> str:
    """Return a text as every database holds it: what none can is spelled out, or `instead` stands for it."""
    if is_storable(text):
        return text
    if instead is not None:
        return _UNSTORABLE.sub(lambda _: instead, text)
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()


def _spelled(char: str) -> str:
    if unicodedata.category(char) == "Zs":
        return " "
    return char.encode("unicode_escape").decode("ascii")
