"""Option values mean one thing on every Python, and nonsense is refused in one line."""

from datetime import datetime, timezone

import click
import pytest

from dandi_pipeline.cli.options import instant, positive_number

CONTEXT = click.Context(click.Command("sync"))
OPTION = click.Option(["--value"])


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2024-01-01", utc(2024, 1, 1)),
        ("2024-01-01T12:00:00Z", utc(2024, 1, 1, 12)),
        ("2024-01-01 12:00", utc(2024, 1, 1, 12)),
        ("2024-01-01t12:00:00z", utc(2024, 1, 1, 12)),
        ("2024-01-01T12:00:00.5", utc(2024, 1, 1, 12, 0, 0, 500_000)),
        ("2024-01-01T12:00:00.123456+02:00", utc(2024, 1, 1, 10, 0, 0, 123_456)),
        ("2024-01-01T00:00:00-0530", utc(2024, 1, 1, 5, 30)),
        ("2024-06-14 15:30:45+00:00", utc(2024, 6, 14, 15, 30, 45)),
        (" 2024-02-29 ", utc(2024, 2, 29)),
    ],
)
def test_a_date_is_its_midnight_and_without_a_zone_it_is_utc(text: str, meant: datetime) -> None:
    read = instant(CONTEXT, OPTION, text)
    assert read == meant
    assert read.tzinfo is timezone.utc


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "01/02/2024",
        "2024-1-1",
        "20240101",
        "2024-02-30",
        "2024-13-01",
        "2024-01-01T25:00",
        "0000-01-01",
        "2024-01-01T12",
        "2024-01-01T12:00:00Z Z",
        "2024-01-01T12:00+25:00",
        "٢٠٢٤-01-01",
        "0001-01-01T00:00:00+05:00",
    ],
)
def test_what_is_no_date_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"2024-01-01T12:00:00Z") as refused:
        instant(CONTEXT, OPTION, text)
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("1000", 1000), ("007", 7), ("+5", 5)])
def test_a_positive_number_is_taken(text: str, number: int) -> None:
    assert positive_number(CONTEXT, OPTION, text) == number


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "1e3", "many", "", "1_000", "٣", "9" * 30])
def test_any_other_number_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="positive whole number"):
        positive_number(CONTEXT, OPTION, text)
