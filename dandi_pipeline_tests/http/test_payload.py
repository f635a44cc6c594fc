"""What enters has the type it is said to have, and instants have one spelling."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dandi_pipeline.errors import UnexpectedPayload
from dandi_pipeline.http import payload
from dandi_pipeline.instants import canonical_instant

ROW: dict[str, Any] = {
    "name": "000003",
    "size": 2**40,
    "public": False,
    "modified": "2026-01-02T03:04:05Z",
    "draft": {"a": 1},
    "results": [{}, {}],
    "nothing": None,
}


def test_members_come_back_as_they_are() -> None:
    assert payload.text(ROW, "name", where="row") == "000003"
    assert payload.integer(ROW, "size", where="row") == 2**40
    assert payload.boolean(ROW, "public", where="row") is False
    assert payload.instant(ROW, "modified", where="row") == "2026-01-02T03:04:05.000000Z"
    assert payload.mapping(ROW, "draft", where="row") == {"a": 1}
    assert payload.mappings(ROW, "results", where="row") == [{}, {}]


@pytest.mark.parametrize("name", ["nothing", "absent"])
def test_what_is_optional_may_be_null_or_absent(name: str) -> None:
    assert payload.optional_text(ROW, name, where="row") is None
    assert payload.optional_integer(ROW, name, where="row") is None
    assert payload.optional_instant(ROW, name, where="row") is None
    assert payload.optional_mapping(ROW, name, where="row") is None


def test_what_is_optional_is_checked_where_it_is_there() -> None:
    assert payload.optional_instant(ROW, "modified", where="row") == "2026-01-02T03:04:05.000000Z"
    with pytest.raises(UnexpectedPayload, match="'name' is text, expected an integer"):
        payload.optional_integer(ROW, "name", where="row")


@pytest.mark.parametrize(
    ("read", "name", "told"),
    [
        (payload.text, "absent", "has no 'absent', expected text"),
        (payload.text, "nothing", "'nothing' is null, expected text"),
        (payload.text, "size", "'size' is an integer, expected text"),
        (payload.integer, "public", "'public' is a boolean, expected an integer"),
        (payload.integer, "name", "'name' is text, expected an integer"),
        (payload.boolean, "size", "'size' is an integer, expected a boolean"),
        (payload.instant, "name", "'name': '000003' is no instant"),
        (payload.mapping, "results", "'results' is an array, expected an object"),
        (payload.mappings, "draft", "'draft' is an object, expected an array"),
    ],
)
def test_a_wrong_member_is_named_with_its_place(read: Callable[..., Any], name: str, told: str) -> None:
    with pytest.raises(UnexpectedPayload, match=f"^https://a.org/x: {told}"):
        read(ROW, name, where="https://a.org/x")


def test_a_number_with_a_fraction_is_no_integer() -> None:
    with pytest.raises(UnexpectedPayload, match="a number with a fraction"):
        payload.integer({"size": 1.0}, "size", where="row")


def test_items_of_another_kind_are_named_by_position() -> None:
    with pytest.raises(UnexpectedPayload, match="'results' has null at 1, expected only objects"):
        payload.mappings({"results": [{}, None]}, "results", where="page")


@pytest.mark.parametrize("whole", [None, [], "text", 3])
def test_a_payload_that_is_no_object_is_told(whole: Any) -> None:
    with pytest.raises(UnexpectedPayload, match="expected an object with 'name'"):
        payload.text(whole, "name", where="page")


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000Z"),
        ("2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.678000Z"),
        ("2026-01-02T03:04:05.678901Z", "2026-01-02T03:04:05.678901Z"),
        ("2026-01-02T03:04:05.678901+00:00", "2026-01-02T03:04:05.678901Z"),
        ("2026-01-02T03:04:05+05:30", "2026-01-01T21:34:05.000000Z"),
        ("2026-01-02T03:04:05.5-0800", "2026-01-02T11:04:05.500000Z"),
    ],
)
def test_an_instant_has_one_spelling(spelling: str, canonical: str) -> None:
    assert canonical_instant(spelling) == canonical


@pytest.mark.parametrize(
    "spelling",
    [
        "",
        "2026-01-02",
        "2026-01-02T03:04:05",
        "2026-01-02T03:04:05.678901",
        "2026-02-30T03:04:05.678901Z",
        "2026-13-01T03:04:05Z",
        "2026-01-02T24:00:00.000000Z",
        "2026-01-02T03:04:05.6789012Z",
        "2026-01-02T03:04:05+99:99",
        "0001-01-01T00:00:00+10:00",
        " 2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05.678901Z\n",
        "٢026-01-02T03:04:05Z",
    ],
)
def test_what_is_no_instant_is_refused(spelling: str) -> None:
    with pytest.raises(UnexpectedPayload, match=r"row: .* is no instant"):
        canonical_instant(spelling, where="row")


@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)),
    st.integers(min_value=-23 * 60, max_value=23 * 60),
)
def test_an_instant_survives_its_spelling(moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    spelled = canonical_instant(aware.isoformat())
    assert len(spelled) == 27
    assert datetime.strptime(spelled, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc) == aware


@given(st.text(max_size=40))
def test_no_text_breaks_the_check(text: str) -> None:
    try:
        spelled = canonical_instant(text)
    except UnexpectedPayload:
        return
    assert len(spelled) == 27
