"""Retry-After is read in both of its forms, and measured by the clock of whoever sent it."""

from datetime import datetime, timezone

import pytest

from dandi_pipeline.http.headers import retry_after, server_date

TEN = "Sun, 22 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("17", 17),
        (" 1.5 ", 1.5),
        ("Sun, 22 Nov 2026 10:00:30 GMT", 30),
        ("Sun, 22 Nov 2026 09:59:00 GMT", 0),
        ("Sun, 22 Nov 2026 11:01:00 +0100", 60),
        ("1e3", None),
        ("Infinity", None),
        ("tomorrow", None),
        ("", None),
    ],
)
def test_seconds_and_dates_are_both_waits(value: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": value, "Date": TEN}) == seconds


def test_a_date_in_an_answer_without_one_counts_from_now() -> None:
    assert retry_after({"Retry-After": "Fri, 01 Jan 2010 00:00:00 GMT"}) == 0
    assert (retry_after({"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}) or 0) > 1e9


@pytest.mark.parametrize("value", [TEN, "Sun, 22 Nov 2026 10:00:00 -0000", "Sun, 22 Nov 2026 12:00:00 +0200"])
def test_a_servers_date_is_utc(value: str) -> None:
    date = server_date({"Date": value})
    assert date == datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
    assert date.tzinfo is timezone.utc


@pytest.mark.parametrize("headers", [{}, {"Date": "now"}, {"Date": "Sun, 99 Nov 2026 10:00:00 GMT"}])
def test_no_legible_date_is_none(headers: dict[str, str]) -> None:
    assert server_date(headers) is None
