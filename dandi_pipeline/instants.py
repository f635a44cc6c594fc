"""Spells instants in one way, so that text compares as time does, in both databases and in every report."""

import re
from datetime import datetime, timezone

from dandi_pipeline.errors import UnexpectedPayload

_CANONICAL = re.compile(r"\d{4}-\d\d-\d\dT[0-2]\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_ISO_8601 = re.compile(r"(\d{4}-\d\d-\d\dT[0-2]\d:\d\d:\d\d)(?:\.(\d{1,6}))?(?:Z|([+-]\d\d):?(\d\d))", re.ASCII)

_WRITTEN = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d+))?)?\s?(Z|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII | re.IGNORECASE,
)


def canonical_instant(text: str, *, where: str = "a timestamp") -> str:
    """Return an ISO 8601 instant as 'YYYY-MM-DDTHH:MM:SS.ffffffZ': UTC, always six digits.

    Takes 'Z' or any offset, and up to six digits of fraction (the platforms drop a fraction of zero). Raises
    `UnexpectedPayload` for everything else: a time without an offset could mean any of 24 hours, and digits
    beyond the microsecond could not be kept.
    """
    try:
        if _CANONICAL.fullmatch(text):
            datetime.fromisoformat(text[:-1])
            return text
        return _respelled(text)
    except (ValueError, OverflowError):
        raise UnexpectedPayload(
            f"{where}: {text[:60]!r} is no instant (expected ISO 8601 with an offset, at most microseconds)"
        ) from None


def moment_of(text: str, *, where: str = "a timestamp") -> datetime:
    """Return an ISO 8601 instant as a moment in UTC; raises `UnexpectedPayload` like `canonical_instant`."""
    return datetime.fromisoformat(f"{canonical_instant(text, where=where)[:-1]}+00:00")


def written_moment(text: str) -> datetime | None:
    """Return, in UTC, what people write: a date (its midnight), or a date and time, in UTC unless it names a zone.

    Digits beyond the microsecond are dropped. None for what is written in another way; raises ValueError or
    OverflowError for a moment that does not exist, such as 30 February.
    """
    match = _WRITTEN.fullmatch(text.strip())
    if match is None:
        return None
    day, minutes, seconds, fraction, zone = match.groups()
    digits = "" if zone is None or zone in "Zz" else zone[1:].replace(":", "").ljust(4, "0")
    offset = f"{zone[0]}{digits[:2]}:{digits[2:]}" if zone and digits else "+00:00"
    return datetime.fromisoformat(
        f"{day}T{minutes or '00:00'}:{seconds or '00'}.{fraction or '':0<6.6}{offset}"
    ).astimezone(timezone.utc)


def spelled(moment: datetime) -> str:
    """Return an aware moment in canonical spelling."""
    return moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _respelled(text: str) -> str:
    match = _ISO_8601.fullmatch(text)
    if match is None:
        raise ValueError(text)
    seconds, fraction, hours, minutes = match.groups()
    offset = "+00:00" if hours is None else f"{hours}:{minutes}"
    moment = datetime.fromisoformat(f"{seconds}.{fraction or '':0<6}{offset}")
    return spelled(moment)
