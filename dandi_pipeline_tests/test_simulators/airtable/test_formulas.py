"""Filters: the formulas that are understood, strictly, and what moves a last-modified time."""

import pytest

from .laboratory import Client, Laboratory

MODIFIED_SINCE = "IS_AFTER(LAST_MODIFIED_TIME(), DATETIME_PARSE('{0}'))"
CHANGED_SINCE = f"OR({MODIFIED_SINCE},IS_AFTER(CREATED_TIME(),DATETIME_PARSE('{{0}}')))"
NINE = "2026-11-20T09:00:00.000Z"
BEFORE_NINE = "2026-11-20T08:59:59.999Z"


def chosen(client: Client, path: str, formula: str) -> str:
    """Return the numbers of the records that a formula lets through, e.g. "134"."""
    rows = client.rows(path, filterByFormula=formula, fields=["Name"])
    return "".join(sorted(row["Name"][1:] for row in rows.values()))


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("{Trials} = 3", "3"),
        ("Trials = 3", "3"),
        ("{Trials} != 3", "1245"),
        ("{Trials} < 2", "1"),
        ("{Trials} <= 2", "12"),
        ("{Trials} > 4", "5"),
        ("{Trials} >= 4", "45"),
        ("3 = {Trials}", "3"),
        ("AND({Trials} > 1, {Trials} < 4)", "23"),
        ("OR({Trials} = 1, {Trials} = 5)", "15"),
        ("NOT({Trials} = 1)", "2345"),
        ("not(Or({Trials}=1,and({Trials}>2,{Trials}<5)))", "25"),
        ("({Trials} > 1) = TRUE()", "2345"),
        ("{Name} = 'S2'", "2"),
        ('{Name} = "S2"', "2"),
        ("{Name}", "12345"),
        ("{Notes}", ""),
        ("{Notes} = BLANK()", "12345"),
        ("{Notes} = ''", "12345"),
        ("{Trials} = '3'", ""),
        ("{Lab} = 'Hodgkin'", "1"),
        ("IS_SAME(CREATED_TIME(), DATETIME_PARSE('2026-11-20'), 'day')", "12345"),
        ("IS_SAME(CREATED_TIME(), DATETIME_PARSE('2026-11-20T09:00:01Z'))", ""),
        ("IS_AFTER(CREATED_TIME(), '2026-11-20T10:00:00+02:00')", "12345"),
        ("IS_BEFORE({Planned}, DATETIME_PARSE('2026-12-01'))", "1"),
        ("{Planned} > DATETIME_PARSE('2026-12-01')", "2"),
        ("", "12345"),
    ],
)
def test_formulas_mean_what_they_mean_in_airtable(
    client: Client, lab: Laboratory, path: str, formula: str, expected: str
) -> None:
    lab.edit(1, Planned="2026-11-30")
    lab.edit(2, Planned="2026-12-31")
    assert chosen(client, path, formula) == expected


def test_a_record_is_found_by_its_id(client: Client, lab: Laboratory, path: str) -> None:
    assert chosen(client, path, f"RECORD_ID() = '{lab.records[2]}'") == "3"


def test_fields_are_named_by_id_or_name_with_braces_escaped(client: Client, lab: Laboratory, path: str) -> None:
    lab.world.rename_field(lab.sessions, "Trials", "Trials {n}")
    assert chosen(client, path, f"{{{lab.field('Trials {n}')}}} = 2") == "2"
    assert chosen(client, path, r"{Trials \{n\}} = 2") == "2"


def test_texts_are_quoted_with_escapes(client: Client, lab: Laboratory, path: str) -> None:
    lab.edit(4, Notes='it\'s "so"')
    assert chosen(client, path, r"{Notes} = 'it\'s \"so\"'") == "4"


@pytest.mark.parametrize(
    "formula",
    [
        "{Nowhere} = 1",
        "NOW()",
        "AND()",
        "NOT(1, 2)",
        "IS_AFTER(CREATED_TIME())",
        "LAST_MODIFIED_TIME('Trials')",
        "{Trials} = ",
        "{Trials} = 1)",
        "(1",
        "'open",
        "{}",
        "1 + 1",
        "__import__('os')",
    ],
)
def test_what_is_no_formula_is_refused(client: Client, path: str, formula: str) -> None:
    refused = client.get(path, filterByFormula=formula)
    assert (refused.status_code, refused.json()["error"]["type"]) == (422, "INVALID_FILTER_BY_FORMULA")


def test_a_formula_that_fails_on_a_record_excludes_it(client: Client, lab: Laboratory, path: str) -> None:
    lab.edit(1, Notes="2026-11-19")
    lab.edit(2, Notes="yesterday")
    assert chosen(client, path, "IS_BEFORE({Notes}, CREATED_TIME())") == "1"
    assert chosen(client, path, "NOT(IS_BEFORE({Notes}, CREATED_TIME()))") == "345"


def test_after_and_before_are_strict(client: Client, lab: Laboratory, path: str) -> None:
    assert chosen(client, path, f"IS_AFTER(CREATED_TIME(), DATETIME_PARSE('{NINE}'))") == ""
    assert chosen(client, path, f"IS_BEFORE(CREATED_TIME(), DATETIME_PARSE('{NINE}'))") == ""
    assert chosen(client, path, f"IS_AFTER(CREATED_TIME(), DATETIME_PARSE('{BEFORE_NINE}'))") == "12345"


def test_an_edit_moves_last_modified(client: Client, lab: Laboratory, path: str) -> None:
    lab.world.clock.advance(60)
    lab.edit(2, Notes="Edited")
    assert chosen(client, path, CHANGED_SINCE.format(NINE)) == "2"
    assert client.rows(path)[lab.records[1]]["Modified"] == "2026-11-20T09:01:00.000Z"


def test_an_edit_that_changes_nothing_moves_nothing(client: Client, lab: Laboratory, path: str) -> None:
    lab.world.clock.advance(60)
    lab.edit(2, Trials=2, Notes="")
    assert chosen(client, path, CHANGED_SINCE.format(NINE)) == ""


def test_last_modified_can_be_that_of_certain_fields(client: Client, lab: Laboratory, path: str) -> None:
    lab.world.clock.advance(60)
    lab.edit(2, Notes="Edited")
    for field, expected in (("Notes", "2"), ("Trials", "")):
        since = f"IS_AFTER(LAST_MODIFIED_TIME({{{field}}}), DATETIME_PARSE('{NINE}'))"
        assert chosen(client, path, since) == expected


def test_records_never_edited_have_no_last_modified_time(client: Client, lab: Laboratory, path: str) -> None:
    lab.edit(3, Notes="Edited")
    assert chosen(client, path, MODIFIED_SINCE.format(BEFORE_NINE)) == "3"
    assert chosen(client, path, CHANGED_SINCE.format(BEFORE_NINE)) == "12345"
    assert "Modified" not in client.rows(path)[lab.records[0]]


def test_records_never_edited_can_have_their_creation_as_last_modified_time(
    client: Client, lab: Laboratory, path: str
) -> None:
    lab.world.set_blank_when_never_edited(False)
    assert chosen(client, path, MODIFIED_SINCE.format(BEFORE_NINE)) == "12345"
    assert client.rows(path)[lab.records[0]]["Modified"] == NINE


def test_a_field_that_displays_the_date_alone_is_midnight_in_formulas(
    client: Client, lab: Laboratory, path: str
) -> None:
    lab.edit(1, Notes="Edited")
    assert client.rows(path)[lab.records[0]]["Modified day"] == "2026-11-20"
    assert chosen(client, path, "IS_AFTER({Modified day}, DATETIME_PARSE('2026-11-20T00:00:00Z'))") == ""
    assert chosen(client, path, "IS_AFTER({Modified}, DATETIME_PARSE('2026-11-20T00:00:00Z'))") == "1"


def test_computed_values_change_without_last_modified(client: Client, lab: Laboratory, path: str) -> None:
    before = client.rows(path)[lab.records[0]]
    lab.world.clock.advance(3600)
    lab.world.recompute(lab.sessions, lab.records[0], "Score", 0.5)
    lab.world.edit_record(lab.labs, lab.lab, {"Rate": 150})
    after = client.rows(path)[lab.records[0]]
    assert (before["Rates"], after["Rates"]) == ([120], [150])
    assert (before.get("Score"), after["Score"]) == (None, 0.5)
    assert chosen(client, path, CHANGED_SINCE.format(NINE)) == ""


def test_links_to_a_deleted_record_vanish_without_last_modified(client: Client, lab: Laboratory, path: str) -> None:
    assert client.rows(path)[lab.records[0]]["Labs"] == 1
    lab.world.clock.advance(3600)
    lab.world.delete_record(lab.labs, lab.lab)
    row = client.rows(path)[lab.records[0]]
    assert ("Lab" in row, row["Labs"]) == (False, 0)
    assert chosen(client, path, CHANGED_SINCE.format(NINE)) == ""


@pytest.mark.parametrize("error", [{"error": "#ERROR!"}, {"specialValue": "NaN"}, {"specialValue": "Infinity"}])
def test_formula_errors_are_objects_and_fulfil_no_formula(
    client: Client, lab: Laboratory, path: str, error: dict[str, str]
) -> None:
    lab.world.recompute(lab.sessions, lab.records[0], "Score", error)
    assert client.rows(path)[lab.records[0]]["Score"] == error
    assert chosen(client, path, "OR({Score} = BLANK(), TRUE())") == "2345"


def test_an_invalid_formula_shows_no_values(client: Client, lab: Laboratory, path: str) -> None:
    lab.world.recompute(lab.sessions, lab.records[0], "Score", 1)
    lab.world.change_options(lab.sessions, "Score", isValid=False)
    assert "Score" not in client.rows(path)[lab.records[0]]


def test_what_is_built_on_a_removed_field_becomes_invalid(client: Client, lab: Laboratory, path: str) -> None:
    lab.world.remove_field(lab.labs, "Rate")
    tables = client.get(f"meta/bases/{lab.base}/tables").json()["tables"]
    valid = {field["name"]: field.get("options", {}).get("isValid") for field in tables[1]["fields"]}
    assert (valid["Rates"], valid["Labs"]) == (False, True)
    assert "Rates" not in client.rows(path)[lab.records[0]]


def test_a_table_can_let_everything_through_a_filter_by_last_modified(
    client: Client, lab: Laboratory, path: str
) -> None:
    future = CHANGED_SINCE.format("2027-01-01T00:00:00.000Z")
    assert chosen(client, path, future) == ""
    lab.world.misfilter(lab.sessions)
    assert chosen(client, path, future) == "12345"
    assert chosen(client, path, "{Trials} = 1") == "1"
