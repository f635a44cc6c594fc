"""Lists: what a record shows, which records are shown in which order, and how a list goes on from page to page."""

from datetime import timedelta
from typing import Any

import pytest

from dandi_pipeline_tests.simulators.airtable import UNLIMITED, SimulatedAirtable

from .laboratory import Client, Laboratory

Params = dict[str, Any]


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["fields"]["Name"] for row in rows]


def test_a_page_holds_at_most_its_size_and_offers_an_offset_until_the_last(client: Client, path: str) -> None:
    pages = list(client.pages(path, pageSize=2))
    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted(name for page in pages for name in names(page)) == ["S1", "S2", "S3", "S4", "S5"]
    offset = client.get(path, pageSize=2).json()["offset"]
    assert offset.startswith("itr")
    assert "/rec" in offset


def test_the_order_is_not_the_order_of_creation_unless_a_view_asks_for_it(client: Client, path: str) -> None:
    arbitrary = names(client.get(path).json()["records"])
    assert arbitrary != sorted(arbitrary)
    assert names(client.get(path, view="Grid view").json()["records"]) == sorted(arbitrary)


def test_empty_cells_are_left_out(client: Client, lab: Laboratory, path: str) -> None:
    lab.edit(1, Reviewed=True, Notes="Stable", Tags=["Todo"], Trials=0)
    assert {"Reviewed", "Notes", "Tags", "Trials"} <= client.rows(path)[lab.records[0]].keys()
    lab.edit(1, Reviewed=False, Notes="", Tags=[], Trials=None)
    assert client.rows(path)[lab.records[0]].keys() == {"Name", "Lab", "Rates", "Labs", "Modified", "Modified day"}


def test_zero_is_not_empty(client: Client, lab: Laboratory, path: str) -> None:
    lab.edit(2, Trials=0)
    assert client.rows(path)[lab.records[1]]["Trials"] == 0


def test_fields_are_shown_by_name_or_by_id(client: Client, lab: Laboratory, path: str) -> None:
    by_name = client.rows(path)[lab.records[2]]
    by_id = client.rows(path, returnFieldsByFieldId="true")[lab.records[2]]
    assert by_name["Trials"] == by_id[lab.field("Trials")] == 3
    assert {lab.field(name) for name in by_name} == by_id.keys()


def test_only_the_fields_asked_for_are_shown_whether_named_or_by_id(client: Client, lab: Laboratory, path: str) -> None:
    for key in ("Trials", lab.field("Trials")):
        assert client.rows(path, fields=[key])[lab.records[3]] == {"Trials": 4}


@pytest.mark.parametrize(("direction", "first"), [("asc", "S1"), ("desc", "S5")])
def test_a_sort_settles_the_order(client: Client, path: str, direction: str, first: str) -> None:
    sort = {"sort[0][field]": "Trials", "sort[0][direction]": direction}
    assert names(client.get(path, **sort).json()["records"])[0] == first


def test_blanks_sort_before_everything(client: Client, lab: Laboratory, path: str) -> None:
    lab.edit(4, Trials=None)
    assert names(client.get(path, **{"sort[0][field]": "Trials"}).json()["records"])[:2] == ["S4", "S1"]


def test_a_view_shows_only_what_passes_its_filter(client: Client, lab: Laboratory, path: str) -> None:
    view = lab.world.add_view(lab.sessions, "Long ones", filter="{Trials} > 3", sort=["Name"])
    for key in (view, "Long ones"):
        assert names(client.get(path, view=key).json()["records"]) == ["S4", "S5"]


def test_a_view_outlives_the_fields_it_was_made_with(client: Client, lab: Laboratory, path: str) -> None:
    lab.world.add_view(lab.sessions, "Long ones", filter="{Trials} > 3", sort=["Trials"])
    lab.world.remove_field(lab.sessions, "Trials")
    assert len(client.rows(path, view="Long ones")) == 5


def test_a_field_made_again_with_the_same_id_is_empty(client: Client, lab: Laboratory, path: str) -> None:
    field = lab.field("Trials")
    lab.world.remove_field(lab.sessions, "Trials")
    lab.world.add_field(lab.sessions, "Trials", "number", field_id=field)
    assert "Trials" not in client.rows(path)[lab.records[0]]


def test_max_records_bounds_the_whole_list(client: Client, path: str) -> None:
    assert [len(page) for page in client.pages(path, pageSize=2, maxRecords=3)] == [2, 1]


def test_comment_counts_are_shown_when_asked_for(client: Client, lab: Laboratory, path: str) -> None:
    lab.world.comment(lab.sessions, lab.records[0])
    rows = client.get(path, recordMetadata=["commentCount"]).json()["records"]
    assert {row["commentCount"] for row in rows if row["id"] == lab.records[0]} == {1}
    assert "commentCount" not in client.get(path).json()["records"][0]


def test_posting_the_parameters_is_the_same_as_a_query(client: Client, lab: Laboratory, path: str) -> None:
    body = {
        "pageSize": 2,
        "fields": [lab.field("Name")],
        "sort": [{"field": lab.field("Trials"), "direction": "desc"}],
        "filterByFormula": "{Trials} < 5",
        "returnFieldsByFieldId": True,
    }
    first = client.post(f"{path}/listRecords", body, timeZone="utc", userLocale="en").json()
    second = client.post(f"{path}/listRecords", {**body, "offset": first["offset"]}, timeZone="utc", userLocale="en")
    shown = [row["fields"] for row in first["records"] + second.json()["records"]]
    assert shown == [{lab.field("Name"): name} for name in ("S4", "S3", "S2", "S1")]
    assert "offset" not in second.json()


def test_posted_lists_take_their_parameters_from_the_body_alone(client: Client, path: str) -> None:
    assert client.post(f"{path}/listRecords", {}, pageSize=2).status_code == 422


def test_tables_are_found_by_name_and_by_id(client: Client, lab: Laboratory, path: str) -> None:
    lab.world.rename_table(lab.sessions, "Night / day")
    assert client.rows(f"{lab.base}/Night%20%2F%20day") == client.rows(path)


def test_who_is_in_a_list_and_where_is_settled_at_its_first_page(client: Client, lab: Laboratory, path: str) -> None:
    asked = {"pageSize": 2, "sort[0][field]": "Trials", "filterByFormula": "{Trials} < 10"}
    pages = client.pages(path, **asked)
    next(pages)
    lab.edit(5, Trials=99)
    lab.edit(3, Trials=0)
    lab.world.add_record(lab.sessions, {"Name": "S6", "Trials": 6})
    assert [names(page) for page in pages] == [["S3", "S4"], ["S5"]]


def test_values_are_live_in_a_list_already_begun(client: Client, lab: Laboratory, path: str) -> None:
    pages = client.pages(path, pageSize=2, view="Grid view")
    next(pages)
    lab.world.clock.advance(60)
    lab.edit(3, Notes="Edited meanwhile")
    row = next(pages)[0]["fields"]
    assert row["Notes"] == "Edited meanwhile"
    assert row["Modified"] == "2026-11-20T09:01:00.000Z"


def test_a_record_deleted_meanwhile_makes_a_page_short_that_is_not_the_last(
    client: Client, lab: Laboratory, path: str
) -> None:
    pages = client.pages(path, pageSize=2, view="Grid view")
    next(pages)
    lab.world.delete_record(lab.sessions, lab.records[2])
    assert [names(page) for page in pages] == [["S4"], ["S5"]]


def test_an_iterator_dies_of_inactivity(client: Client, lab: Laboratory, path: str) -> None:
    offset = client.get(path, pageSize=1).json()["offset"]
    for _ in range(2):
        lab.world.clock.advance(299)
        offset = client.get(path, pageSize=1, offset=offset).json()["offset"]
    lab.world.clock.advance(301)
    gone = client.get(path, pageSize=1, offset=offset)
    assert gone.status_code == 422
    assert gone.json() == {"error": {"type": "LIST_RECORDS_ITERATOR_NOT_AVAILABLE"}}


def test_a_restart_of_the_server_loses_every_iterator(airtable: SimulatedAirtable, client: Client, path: str) -> None:
    offset = client.get(path, pageSize=1).json()["offset"]
    airtable.iterators.forget_all()
    assert client.get(path, pageSize=1, offset=offset).json()["error"]["type"] == "LIST_RECORDS_ITERATOR_NOT_AVAILABLE"


def test_how_long_an_iterator_lives_can_be_chosen(lab: Laboratory, path: str) -> None:
    with SimulatedAirtable(lab.world, limits=UNLIMITED, iterator_life=timedelta(seconds=10)) as airtable:
        client = Client(airtable)
        offset = client.get(path, pageSize=1).json()["offset"]
        lab.world.clock.advance(11)
        assert client.get(path, pageSize=1, offset=offset).status_code == 422
        client.close()


@pytest.mark.parametrize("change", [{"offset": "nonsense"}, {"fields": ["Name"]}, {"filterByFormula": "TRUE()"}])
def test_an_offset_continues_only_its_own_list(client: Client, path: str, change: Params) -> None:
    offset = client.get(path, pageSize=1).json()["offset"]
    refused = client.get(path, **{"pageSize": 1, "offset": offset, **change})
    assert (refused.status_code, refused.json()["error"]["type"]) == (422, "INVALID_OFFSET_VALUE")


def test_a_rename_between_pages_shows_in_names_and_not_in_ids(client: Client, lab: Laboratory, path: str) -> None:
    by_name = client.pages(path, pageSize=3)
    by_id = client.pages(path, pageSize=3, returnFieldsByFieldId="1")
    before, expected = next(by_name)[0]["fields"], next(by_id)[0]["fields"].keys()
    assert "Trials" in before
    lab.world.rename_field(lab.sessions, "Trials", "Rounds")
    assert "Rounds" in next(by_name)[0]["fields"]
    assert lab.field("Rounds") in expected & next(by_id)[0]["fields"].keys()


def test_a_change_of_type_between_pages_converts_the_cells(client: Client, lab: Laboratory, path: str) -> None:
    pages = client.pages(path, pageSize=3)
    assert all(isinstance(row["fields"]["Trials"], int) for row in next(pages))
    lab.world.retype_field(lab.sessions, "Trials", "singleLineText")
    assert all(isinstance(row["fields"]["Trials"], str) for row in next(pages))
    tables = client.get(f"meta/bases/{lab.base}/tables").json()["tables"]
    assert {field["name"]: field["type"] for field in tables[1]["fields"]}["Trials"] == "singleLineText"


def test_what_does_not_fit_the_new_type_is_emptied(client: Client, lab: Laboratory, path: str) -> None:
    lab.edit(1, Notes="12")
    lab.edit(2, Notes="a dozen")
    lab.world.retype_field(lab.sessions, "Notes", "number")
    rows = client.rows(path)
    assert rows[lab.records[0]]["Notes"] == 12
    assert "Notes" not in rows[lab.records[1]]


def test_a_field_deleted_between_pages_is_gone_from_the_next(client: Client, lab: Laboratory, path: str) -> None:
    pages = client.pages(path, pageSize=3)
    next(pages)
    lab.world.remove_field(lab.sessions, "Trials")
    assert all("Trials" not in row["fields"] for row in next(pages))


def test_asking_for_a_field_deleted_between_pages_is_refused(client: Client, lab: Laboratory, path: str) -> None:
    asked: Params = {"pageSize": 3, "fields": ["Name", "Trials"]}
    offset = client.get(path, **asked).json()["offset"]
    lab.world.remove_field(lab.sessions, "Trials")
    refused = client.get(path, **asked, offset=offset)
    assert (refused.status_code, refused.json()["error"]["type"]) == (422, "UNKNOWN_FIELD_NAME")


def test_the_world_can_be_changed_before_any_page(
    airtable: SimulatedAirtable, client: Client, lab: Laboratory, path: str
) -> None:
    def delete_last(kind: str, query: Any) -> None:
        if "offset" in query and lab.records[4] in lab.world.table(lab.sessions).records:
            lab.world.delete_record(lab.sessions, lab.records[4])

    airtable.before_response = delete_last
    assert [name for page in client.pages(path, pageSize=2, view="Grid view") for name in names(page)] == [
        "S1",
        "S2",
        "S3",
        "S4",
    ]
