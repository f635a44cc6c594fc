"""Understands a query's filter by time, and finds the rows that pass it.

Times of pages and data sources are compared as they are shown, rounded down to the minute. A condition's value
without a time of day means the whole day, one with a time means that millisecond; without an offset both are UTC.
Filters by a property are understood for dates and for a page's own times; a mirror needs no other.
"""

import calendar
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone
from typing import Any

from .errors import invalid
from .records import Page, Property, Row
from .workspace import find_property, minute

Predicate = Callable[[Row], bool]
Moment = Callable[[Row], datetime | None]

TIMESTAMPS: Mapping[str, Callable[[Row], datetime]] = {
    "created_time": lambda row: minute(row.created),
    "last_edited_time": lambda row: minute(row.edited),
}
_DEEPEST = 2
_COMPOUNDS: Mapping[str, Callable[[list[bool]], bool]] = {"and": all, "or": any}


@dataclass(frozen=True)
class Span:
    """A stretch of time from `start` up to but without `end`."""

    start: datetime
    end: datetime


def predicate(given: Any, schema: Mapping[str, Property] | None, now: datetime, groups: int = 0) -> Predicate:
    """Return what a row must pass; raise the API's refusal of a filter that is not one.

    Without a `schema` (in a search) there is nothing to filter by but timestamps.
    """
    if not isinstance(given, dict):
        raise invalid("body failed validation: body.filter should be an object.")
    for name, combine in _COMPOUNDS.items():
        if name in given:
            return _compound(name, combine, given[name], schema, now, groups)
    moment, condition = _subject(given, schema or {})
    return _condition(moment, condition, now)


def _compound(
    name: str,
    combine: Callable[[list[bool]], bool],
    members: Any,
    schema: Mapping[str, Property] | None,
    now: datetime,
    groups: int,
) -> Predicate:
    if groups == _DEEPEST or not isinstance(members, list):
        raise invalid(f"body failed validation: body.filter.{name} should be a list, nested at most two levels deep.")
    passes = [predicate(member, schema, now, groups + 1) for member in members]
    return lambda row: combine([each(row) for each in passes])


def _subject(given: Mapping[str, Any], schema: Mapping[str, Property]) -> tuple[Moment, Any]:
    """Return what a condition looks at, and the condition."""
    if "timestamp" in given:
        name = given["timestamp"]
        if name not in TIMESTAMPS or given.keys() != {"timestamp", name}:
            raise invalid(f"body failed validation: body.filter.{name} should be defined.")
        return TIMESTAMPS[name], given[name]
    prop = find_property(dict(schema), str(given.get("property")))
    if prop is None:
        raise invalid(f"Could not find property with name or id: {given.get('property')}")
    if prop.type not in given:
        raise invalid(f"database property {prop.type} does not match filter")
    if prop.type in TIMESTAMPS:
        return TIMESTAMPS[prop.type], given[prop.type]
    if prop.type == "date":
        return _date_of(prop), given["date"]
    raise invalid(f"The simulated workspace filters by time only, not by {prop.type}.")


def _date_of(prop: Property) -> Moment:
    def moment(row: Row) -> datetime | None:
        date = row.values.get(prop.id) if isinstance(row, Page) else None
        return span(date["start"], datetime.min).start if date else None

    return moment


def _condition(moment: Moment, condition: Any, now: datetime) -> Predicate:
    if not isinstance(condition, dict) or len(condition) != 1:
        raise invalid("body failed validation: a date filter should have exactly one condition.")
    ((name, value),) = condition.items()
    if name in ("is_empty", "is_not_empty"):
        return lambda row: (moment(row) is None) == (name == "is_empty")
    if name in _COMPARISONS:
        within = _COMPARISONS[name]
        bounds = span(value, now)
    elif name in _WINDOWS and value == {}:
        within = _within
        bounds = _WINDOWS[name](now)
    else:
        raise invalid(f"body failed validation: {name!r} is not a condition of a date filter.")

    def passes(row: Row) -> bool:
        seen = moment(row)
        return seen is not None and within(seen, bounds)

    return passes


def span(value: Any, now: datetime) -> Span:
    """Return the day or the millisecond that a value means; `now` counts only for words like "today"."""
    if value in _DAYS:
        return _day(_DAYS[value](now))
    try:
        instant = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except (ValueError, AttributeError):
        raise invalid(f"body failed validation: {value!r} should be a valid ISO 8601 date string.") from None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=timezone.utc)
    if "T" not in value:
        return _day(instant)
    start = instant.replace(microsecond=instant.microsecond // 1000 * 1000)
    return Span(start, start + timedelta(milliseconds=1))


def _day(instant: datetime) -> Span:
    start = datetime.combine(instant.date(), time(), timezone.utc)
    return Span(start, start + timedelta(days=1))


def _months(instant: datetime, count: int) -> datetime:
    """Return the same day some months later (or earlier), or that month's last day if it is shorter."""
    years, month = divmod(instant.month - 1 + count, 12)
    year = instant.year + years
    return instant.replace(year=year, month=month + 1, day=min(instant.day, calendar.monthrange(year, month + 1)[1]))


def _this_week(now: datetime) -> Span:
    monday = _day(now - timedelta(days=now.weekday())).start
    return Span(monday, monday + timedelta(weeks=1))


def _within(seen: datetime, span: Span) -> bool:
    return span.start <= seen < span.end


_COMPARISONS: Mapping[str, Callable[[datetime, Span], bool]] = {
    "equals": _within,
    "before": lambda seen, span: seen < span.start,
    "after": lambda seen, span: seen >= span.end,
    "on_or_before": lambda seen, span: seen < span.end,
    "on_or_after": lambda seen, span: seen >= span.start,
}
_WINDOWS: Mapping[str, Callable[[datetime], Span]] = {
    "past_week": lambda now: Span(now - timedelta(weeks=1), now),
    "past_month": lambda now: Span(_months(now, -1), now),
    "past_year": lambda now: Span(_months(now, -12), now),
    "this_week": _this_week,
    "next_week": lambda now: Span(now, now + timedelta(weeks=1)),
    "next_month": lambda now: Span(now, _months(now, 1)),
    "next_year": lambda now: Span(now, _months(now, 12)),
}
_DAYS: Mapping[str, Callable[[datetime], datetime]] = {
    "today": lambda now: now,
    "tomorrow": lambda now: now + timedelta(days=1),
    "yesterday": lambda now: now - timedelta(days=1),
    "one_week_ago": lambda now: now - timedelta(weeks=1),
    "one_week_from_now": lambda now: now + timedelta(weeks=1),
    "one_month_ago": lambda now: _months(now, -1),
    "one_month_from_now": lambda now: _months(now, 1),
}
