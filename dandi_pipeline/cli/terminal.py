"""Text on its way to a person: nothing that comes from outside may steer the terminal it is shown on."""

import os
import sys
import unicodedata
from io import TextIOWrapper
from typing import TextIO


def plain(text: str) -> str:
    """Return `text` as one line, with every character that is not meant to be seen spelled out.

    That is control characters and escape sequences, line breaks, marks that turn the writing direction, and
    halves of surrogate pairs: `\\x1b[2J` is shown, not obeyed.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _spelled_out(char) for char in text)


def one_line(text: str) -> str:
    """Return a message that may have been wrapped as one plain line."""
    return plain(" ".join(text.split()))


def tell(line: str, *, to: TextIO | None = None) -> None:
    """Write one line at once, to standard error unless said otherwise: standard output is for results."""
    stream = to or sys.stderr
    stream.write(line + "\n")
    stream.flush()


def screen_width() -> int | None:
    """Return how many columns the terminal shows that results go to; None where it is none, or does not say."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError):
        return None  # a file, a pipe, or a stream in memory


def tolerate_any_encoding() -> None:
    """Let a stream that cannot spell a character (an ASCII locale) show its code rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def quantity(count: int, noun: str) -> str:
    """Return a count with its noun, e.g. "1 dandiset" or "1,203 assets"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _spelled_out(char: str) -> str:
    if unicodedata.category(char) == "Zs":
        return " "
    return char.encode("unicode_escape").decode("ascii")
