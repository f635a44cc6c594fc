"""The headers that tell time: Date, Last-Modified, and Retry-After in both forms (RFC 9110, 5.6.7, 10.2.3)."""

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import format_datetime, parsedate_to_datetime

_SECONDS = re.compile(r"\d{1,12}(\.\d+)?", re.ASCII)


def server_date(headers: Mapping[str, str]) -> datetime | None:
    """Return when the server says that it answered, in UTC."""
    return _http_date(headers.get("Date", ""))


def last_modified(headers: Mapping[str, str]) -> datetime | None:
    """Return when the server says that the document was written, in UTC."""
    return _http_date(headers.get("Last-Modified", ""))


def http_date(instant: datetime) -> str:
    """Spell an instant for a header, which has whole seconds: the one that it lies in."""
    return format_datetime(instant.astimezone(timezone.utc), usegmt=True)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds the answer asks to wait, or None where it does not say so legibly.

    A date counts from the answer's own Date, so that a wrong clock on either side does not matter; only an
    answer that has none is measured by the local clock.
    """
    value = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    until = _http_date(value)
    if until is None:
        return None
    answered = server_date(headers) or datetime.now(timezone.utc)
    return max(0.0, (until - answered).total_seconds())


def _http_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc)
