"""What becomes of every type of cell, and which changes of a schema change what cells hold."""

from typing import Any

import orjson
import pytest

from dandi_pipeline.errors import UnexpectedPayload
from dandi_pipeline.model import ColumnType
from dandi_pipeline.platforms.airtable.records import (
    cell_type,
    edited_fields,
    layout_of,
    schema_record,
    shape_of,
    table_record,
)
from dandi_pipeline_tests.simulators.airtable.field_types import FIELD_TYPES

ATTACHMENT = {
    "id": "att00000000000001",
    "url": "https://v5.airtableusercontent.com/1",
    "filename": "trace.png",
    "thumbnails": {"small": {"url": "https://v5.airtableusercontent.com/2", "width": 36}},
}


def record(fields: dict[str, Any], *, created: str = "2026-09-12T21:03:48.000Z", **types: ColumnType) -> Any:
    """Make a record of fields; `types` say as what each is read."""
    row = {"id": "rec560UJdUtocSouk", "createdTime": created, "fields": fields}
    return table_record(row, types, where="table app1/tbl1")


def cells(fields: dict[str, Any], **types: ColumnType) -> Any:
    return orjson.loads(record(fields, **types).columns["cells"])


def errors(fields: dict[str, Any], **types: ColumnType) -> Any:
    return orjson.loads(record(fields, **types).columns["errors"] or "{}")


def test_a_checkbox_that_is_not_ticked_is_false() -> None:
    assert cells({}, done="boolean", count="number") == {"done": False}
    assert cells({"done": True}, done="boolean") == {"done": True}
    wrong = {"done": {"error": "#ERROR!"}}
    assert (cells(wrong, done="boolean"), errors(wrong, done="boolean")) == ({}, wrong)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("number", [12.5]),
        ("number", "12"),
        ("number", True),
        ("integer", 1.5),
        ("integer", 2**63),
        ("text", 7),
        ("text", ["a"]),
        ("boolean", 1),
        ("instant", "2026-02-29"),
        ("instant", 7),
    ],
)
def test_what_a_column_cannot_show_is_told_among_the_errors(kind: ColumnType, value: Any) -> None:
    assert errors({"fld1": value, "fld2": 1}, fld1=kind) == {"fld1": {"expected": kind, "value": value}}
    assert cells({"fld1": value}, fld1=kind) == {"fld1": value}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("number", 7),
        ("number", 12.5),
        ("integer", 3.0),
        ("text", "7"),
        ("boolean", True),
        ("instant", "2026-02-28T12:00:00.000Z"),
        ("json", [12.5]),
    ],
)
def test_what_a_column_shows_is_no_error(kind: ColumnType, value: Any) -> None:
    assert errors({"fld1": value}, fld1=kind) == {}


@pytest.mark.parametrize(
    "value",
    [
        "Union Square",
        0,
        21.5,
        True,
        ["Todo"],
        ["recAAAAAAAAAAAAAA"],
        {"id": "usr00000000000000", "email": "foo@bar.com"},
        {"label": "Open", "url": "https://example.org"},
        {"state": "generated", "isStale": False, "value": "A summary"},
        [1, {"error": "#ERROR!"}],
        {"a new": ["type"]},
    ],
    ids=str,
)
def test_a_value_is_kept_as_it_is(value: Any) -> None:
    assert cells({"fld1": value}) == {"fld1": value}
    assert record({"fld1": value}).columns["errors"] is None


@pytest.mark.parametrize("value", ["", None, [], False], ids=str)
def test_an_empty_cell_is_the_same_as_none(value: Any) -> None:
    assert cells({"fld1": value}) == {}
    assert record({"fld1": value}).content_hash == record({}).content_hash


@pytest.mark.parametrize(
    "error",
    [
        {"error": "#ERROR!"},
        {"specialValue": "NaN"},
        {"specialValue": "Infinity"},
        {"state": "error", "errorType": "quota"},
    ],
    ids=str,
)
def test_an_error_is_no_value(error: Any) -> None:
    wrong = record({"fld1": error, "fld2": 1})
    assert orjson.loads(wrong.columns["cells"]) == {"fld2": 1}
    assert orjson.loads(wrong.columns["errors"]) == {"fld1": error}
    assert wrong.content_hash != record({"fld2": 1}).content_hash


def test_attachments_are_the_same_under_another_address() -> None:
    moved = {**ATTACHMENT, "url": "https://other", "thumbnails": {"small": {"url": "https://other", "width": 36}}}
    assert record({"fld1": [ATTACHMENT]}).content_hash == record({"fld1": [moved]}).content_hash
    assert cells({"fld1": [ATTACHMENT]}) == {
        "fld1": [{"id": ATTACHMENT["id"], "filename": "trace.png", "thumbnails": {"small": {"width": 36}}}]
    }


@pytest.mark.parametrize("other", [{"id": "att00000000000002"}, {"filename": "b.png"}, {"thumbnails": None}], ids=str)
def test_another_attachment_differs(other: dict[str, Any]) -> None:
    assert record({"fld1": [ATTACHMENT]}).content_hash != record({"fld1": [{**ATTACHMENT, **other}]}).content_hash


def test_a_button_under_another_address_differs() -> None:
    one, other = {"label": "Open", "url": "https://1"}, {"label": "Open", "url": "https://2"}
    assert record({"fld1": one}).content_hash != record({"fld1": other}).content_hash


def test_the_metadata_is_the_row_to_the_letter() -> None:
    row = {"id": "rec1", "createdTime": "2026-09-12T21:03:48.000Z", "fields": {"fld1": [ATTACHMENT]}, "new": 1}
    metadata = table_record(row, {}, where="here").metadata
    assert metadata is not None
    assert orjson.loads(metadata) == row


def test_moments_are_spelled_as_everywhere() -> None:
    shown = cells({"fld1": "2026-09-05T07:00:00.000Z", "fld2": "2026-09-05T07:00:00.000Z"}, fld1="instant")
    assert shown == {"fld1": "2026-09-05T07:00:00.000000Z", "fld2": "2026-09-05T07:00:00.000Z"}
    assert record({}).columns["created"] == "2026-09-12T21:03:48.000000Z"


@pytest.mark.parametrize("value", ["2026-09-05", "soon", 7, ["2026-09-05T07:00:00.000Z"]], ids=str)
def test_what_is_no_moment_is_kept_as_it_is(value: Any) -> None:
    assert cells({"fld1": value}, fld1="instant") == {"fld1": value}


@pytest.mark.parametrize("created", ["2026-09-12", ""])
def test_a_record_without_a_moment_of_creation_is_refused(created: str) -> None:
    with pytest.raises(UnexpectedPayload, match="rec560UJdUtocSouk"):
        record({}, created=created)


def field(type: str, **options: Any) -> dict[str, Any]:
    return {"id": "fld1", "name": "Yield", "type": type, **({"options": options} if options else {})}


def table(*fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "tbl1", "name": "Sessions", "primaryFieldId": "fld0", "fields": list(fields), "views": [], **more}


@pytest.mark.parametrize(
    ("described", "read_as"),
    [
        (field("singleLineText"), "text"),
        (field("singleSelect", choices=[]), "text"),
        (field("date"), "text"),
        (field("percent"), "number"),
        (field("duration"), "number"),
        (field("autoNumber"), "integer"),
        (field("checkbox"), "boolean"),
        (field("dateTime"), "instant"),
        (field("createdTime"), "instant"),
        (field("lastModifiedTime", result={"type": "date"}), "text"),
        (field("lastModifiedTime", result={"type": "dateTime"}), "instant"),
        (field("formula", result={"type": "number", "options": {"precision": 2}}), "number"),
        (field("formula", result={"type": "singleLineText"}), "text"),
        (field("rollup", result={"type": "dateTime"}), "instant"),
        (field("formula", isValid=False, result=None), "json"),
        (field("formula"), "json"),
        (field("multipleLookupValues", result={"type": "number"}), "json"),
        (field("multipleAttachments"), "json"),
        (field("holographicSketch"), "json"),
        (field("manualSort"), "json"),
        ({**field("manualSort"), "options": None}, "json"),
        ({**field("singleLineText"), "options": None}, "text"),
        (field("rollup", isValid=False, result=None), "json"),
        (field("lastModifiedTime", isValid=False, result=None), "instant"),
        (field("formula", result={"type": "checkbox"}), "boolean"),
    ],
    ids=str,
)
def test_a_field_reads_as_what_it_holds(described: dict[str, Any], read_as: str) -> None:
    assert cell_type(described, where="here") == read_as


def test_fields_without_options_and_broken_ones_are_quiet(caplog: pytest.LogCaptureFixture) -> None:
    """As gtalarico/pyairtable's sample data have them: a manual order, `options: null`, a formula that is broken."""
    odd = table(
        {"id": "fld1", "name": "Record Sort", "type": "manualSort", "options": None},
        {"id": "fld2", "name": "Broken", "type": "formula", "options": {"isValid": False, "result": None}},
    )
    shape = shape_of(odd, where="here")
    assert [column.type for column in shape.columns] == ["json", "json"]
    types = {column.cell: column.type for column in shape.columns}
    assert (cells({"fld1": "a0"}, **types), errors({"fld1": "a0"}, **types)) == ({"fld1": "a0"}, {})
    assert layout_of(odd, where="here")
    assert edited_fields(odd, where="here") == ["fld1"]
    assert schema_record(odd, where="here").columns["name"] == "Sessions"
    assert caplog.text == ""


@pytest.mark.parametrize("type", FIELD_TYPES)
def test_every_type_of_field_makes_a_column(type: str) -> None:
    (column,) = shape_of(table(field(type)), where="here").columns
    assert (column.name, column.cell) == ("Yield", "fld1")


@pytest.mark.parametrize(
    "changed",
    [
        table(field("number")),
        table(field("formula", formula="{fld2}+1")),
        table(field("formula", formula="{fld2}", isValid=False)),
        table(field("formula", formula="{fld2}"), {**field("number"), "id": "fld2"}),
        table(),
    ],
    ids=str,
)
def test_a_change_of_fields_changes_the_layout(changed: dict[str, Any]) -> None:
    before = table(field("formula", formula="{fld2}"))
    assert layout_of(changed, where="here") != layout_of(before, where="here")


def test_names_descriptions_views_and_order_leave_the_layout_as_it_is() -> None:
    first, second = field("number", precision=1), {**field("date"), "id": "fld2"}
    renamed = table({**second, "name": "Day"}, {**first, "description": "in %"}, views=[{"id": "viw1"}], name="S")
    assert layout_of(renamed, where="here") == layout_of(table(first, second), where="here")
    ours, theirs = schema_record(renamed, where="here"), schema_record(table(first, second), where="here")
    assert ours.content_hash != theirs.content_hash


def test_what_is_computed_from_elsewhere_tells_no_edit() -> None:
    edited = [{**field(type), "id": type} for type in FIELD_TYPES]
    kept = edited_fields(table(*edited), where="here")
    assert set(FIELD_TYPES) - set(kept) == {"formula", "rollup", "multipleLookupValues", "count"}


def test_a_table_of_computed_fields_alone_is_told_by_its_primary_field() -> None:
    assert edited_fields(table(field("formula")), where="here") == ["fld0"]
