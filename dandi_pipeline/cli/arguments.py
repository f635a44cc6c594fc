"""How options' values are spelled: each is read by one callback, which refuses nonsense in one line."""

import re
from collections.abc import Callable
from datetime import datetime, timezone

import click

_INSTANT = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?P<time>\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?) ?(?P<zone>Z|[+-]\d{2}:?\d{2})?)?",
    re.IGNORECASE | re.ASCII,
)
_POSITIVE_NUMBER = re.compile(r"\+?0*[1-9][0-9]{0,17}")
_RATE = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,3})?", re.ASCII)
_EXAMPLES = "2024-01-01 or 2024-01-01T12:00:00Z"


def instant(context: click.Context, parameter: click.Parameter, text: str | None) -> datetime | None:
    """Return a date's midnight, or a date and time, in UTC unless it names another zone."""
    if text is None:
        return None
    match = _INSTANT.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(f"{text!r} is not a date; write {_EXAMPLES}", context, parameter)
    try:
        return _instant(match)
    except (ValueError, OverflowError) as error:
        message = f"{text!r} does not exist ({error}); write {_EXAMPLES}"
        raise click.BadParameter(message, context, parameter) from error


def positive_number(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """Return a whole number from one up."""
    if text is None:
        return None
    if not _POSITIVE_NUMBER.fullmatch(text.strip()):
        raise click.BadParameter(f"{text!r} is not a positive whole number", context, parameter)
    return int(text)


def number_up_to(most: int) -> Callable[[click.Context, click.Parameter, str | None], int | None]:
    """Return the reader of whole numbers from one to `most`."""

    def read(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
        number = positive_number(context, parameter, text)
        if number is not None and number > most:
            raise click.BadParameter(f"{text!r} is too much; at most {most}", context, parameter)
        return number

    return read


hours = number_up_to(87_600)
"""Reads how many hours to look back: up to ten years."""


def positive_rate(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """Return how many a second, e.g. 3 or 0.5."""
    if text is None:
        return None
    match = _RATE.fullmatch(text.strip())
    if match is None or float(match[0]) == 0:
        raise click.BadParameter(f"{text!r} is not a number of requests a second, such as 3 or 0.5", context, parameter)
    return float(match[0])


def _instant(match: re.Match[str]) -> datetime:
    # Spelled out in full, because Python 3.10 reads neither a 'Z' nor a fraction of any other length.
    time, _, fraction = (match["time"] or "00:00").partition(".")
    time += ":00" if time.count(":") == 1 else ""
    zone = (match["zone"] or "Z").upper().replace(":", "")
    zone = "+00:00" if zone == "Z" else f"{zone[:3]}:{zone[3:]}"
    return datetime.fromisoformat(f"{match['date']}T{time}.{fraction:0<6}{zone}").astimezone(timezone.utc)
