"""Queries page as Notion's do: capped, sometimes short, by cursors that stand in a snapshot or in the living list."""

from collections.abc import Mapping, Sequence

import pytest

from dandi_pipeline_tests.simulators.notion import SimulatedNotion, World
from dandi_pipeline_tests.test_simulators.notion.asking import Asker

OLDEST_FIRST = [{"timestamp": "created_time", "direction": "ascending"}]
NEW = "be633bf1-dfa0-436d-b259-571129a590e5"
INCOMPLETE = {"type": "incomplete", "incomplete_reason": "query_result_limit_reached"}


@pytest.fixture
def tasks(world: World) -> str:
    """Ten pages, created one a minute."""
    source = world.add_data_source("Tasks", properties={"Estimate": "number"})
    for number in range(10):
        world.clock.advance(60)
        world.add_page(source.id, {"Name": f"Task {number}", "Estimate": None if number == 4 else -number})
    return source.id


@pytest.fixture
def ids(world: World, tasks: str) -> list[str]:
    """The ids of the ten, oldest first."""
    return list(world.data_sources[tasks].page_ids)


def test_a_list_comes_in_the_contracts_envelope(asker: Asker, tasks: str) -> None:
    page = asker.query(tasks, page_size=4)
    assert page.keys() == {
        *("object", "results", "next_cursor", "has_more", "type", "page_or_data_source", "request_id")
    }
    assert (page["object"], page["type"], page["page_or_data_source"]) == ("list", "page_or_data_source", {})
    assert (len(page["results"]), page["has_more"]) == (4, True)
    last = list(asker.pages(tasks, page_size=4))[-1]
    assert (last["next_cursor"], last["has_more"]) == (None, False)


def test_a_hundred_rows_are_a_page_unless_fewer_are_asked_for(world: World, asker: Asker, tasks: str) -> None:
    for number in range(95):
        world.add_page(tasks, {"Name": str(number)})
    assert [len(page["results"]) for page in asker.pages(tasks)] == [100, 5]


def test_a_cursor_given_for_another_query_or_never_is_refused(asker: Asker, tasks: str) -> None:
    cursor = asker.query(tasks, page_size=4)["next_cursor"]
    for body in ({"start_cursor": cursor, "sorts": OLDEST_FIRST}, {"start_cursor": "made-up"}):
        answer = asker.post(f"/data_sources/{tasks}/query", body)
        assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
        assert answer.json()["message"].startswith("The start_cursor provided is invalid: ")


def test_an_expired_cursor_is_refused_and_a_fresh_one_can_be_used_again(
    notion: SimulatedNotion, asker: Asker, tasks: str
) -> None:
    cursor = asker.query(tasks, page_size=4)["next_cursor"]
    again = [asker.query(tasks, page_size=4, start_cursor=cursor) for _ in range(2)]
    assert again[0]["results"] == again[1]["results"]
    notion.expire_cursors()
    answer = asker.post(f"/data_sources/{tasks}/query", {"page_size": 4, "start_cursor": cursor})
    assert answer.json()["message"].startswith("The start_cursor provided is invalid: ")


def test_a_page_may_be_short_though_there_is_more(
    notion: SimulatedNotion, asker: Asker, tasks: str, ids: list[str]
) -> None:
    notion.behaviour.short_pages = 0.5
    pages = list(asker.pages(tasks, page_size=3, sorts=OLDEST_FIRST))
    assert [row["id"] for page in pages for row in page["results"]] == ids
    assert any(len(page["results"]) < 3 for page in pages[:-1])
    assert all(page["has_more"] for page in pages[:-1])


def test_at_the_cap_the_list_ends_and_every_page_of_it_says_so(
    notion: SimulatedNotion, asker: Asker, tasks: str, ids: list[str]
) -> None:
    notion.behaviour.row_cap = 7
    pages = list(asker.pages(tasks, page_size=3, sorts=OLDEST_FIRST))
    assert [row["id"] for page in pages for row in page["results"]] == ids[:7]
    assert [page["request_status"] for page in pages] == [INCOMPLETE] * 3
    last = pages[-1]["results"][-1]["created_time"]
    rest = {"timestamp": "created_time", "created_time": {"on_or_after": last}}
    assert asker.found(tasks, sorts=OLDEST_FIRST, filter=rest) == ids[6:]


@pytest.mark.parametrize("cap", [10, 11])
def test_below_the_cap_nothing_is_said_unless_the_service_always_does(
    notion: SimulatedNotion, asker: Asker, tasks: str, cap: int
) -> None:
    notion.behaviour.row_cap = cap
    assert "request_status" not in asker.query(tasks)
    notion.behaviour.says_complete = True
    assert asker.query(tasks)["request_status"] == {"type": "complete"}


def test_a_snapshot_cursor_goes_through_what_was_there_and_leaves_out_what_is_gone(
    notion: SimulatedNotion, world: World, asker: Asker, tasks: str, ids: list[str]
) -> None:
    _change_before_second_page(notion, world, tasks, trashed=(ids[0], ids[5]), edited=ids[3])
    pages = list(asker.pages(tasks, page_size=3, sorts=OLDEST_FIRST))
    assert [row["id"] for page in pages for row in page["results"]] == [*ids[:5], *ids[6:]]
    assert [len(page["results"]) for page in pages] == [3, 2, 3, 1]
    assert pages[1]["results"][0]["properties"]["Estimate"]["number"] == 99


def test_a_live_cursor_skips_a_row_for_each_that_went_before_it(
    notion: SimulatedNotion, world: World, asker: Asker, tasks: str, ids: list[str]
) -> None:
    notion.behaviour.cursors = "live"
    _change_before_second_page(notion, world, tasks, trashed=(ids[0], ids[5]), edited=ids[4])
    assert asker.found(tasks, page_size=3, sorts=OLDEST_FIRST) == [*ids[:3], ids[4], *ids[6:], NEW]


def test_a_live_cursor_repeats_a_row_for_each_that_came_before_it(
    notion: SimulatedNotion, world: World, asker: Asker, tasks: str, ids: list[str]
) -> None:
    notion.behaviour.cursors = "live"
    _change_before_second_page(notion, world, tasks, trashed=(), edited=ids[4])
    newest_first = ids[::-1]
    found = asker.found(tasks, page_size=3, sorts=[{"timestamp": "created_time", "direction": "descending"}])
    assert found == [*newest_first[:3], *newest_first[2:]]


def _change_before_second_page(
    notion: SimulatedNotion, world: World, tasks: str, *, trashed: Sequence[str], edited: str
) -> None:
    """Before the second page is answered, trash some pages, edit one, and add `NEW`."""
    asked: list[str] = []

    def change(kind: str, params: Mapping[str, str]) -> None:
        asked.append(kind)
        if len(asked) == 2:
            world.clock.advance(60)
            world.edit_page(edited, {"Estimate": 99})
            world.add_page(tasks, {"Name": "New"}, identifier=NEW)
            for page_id in trashed:
                world.trash_page(page_id)

    notion.before_response = change


def test_rows_are_sorted_by_times_and_by_values_those_without_one_last(
    world: World, asker: Asker, tasks: str, ids: list[str]
) -> None:
    valued = [each for each in ids if each != ids[4]]
    for direction, expected in (("descending", [*valued, ids[4]]), ("ascending", [*valued[::-1], ids[4]])):
        assert asker.found(tasks, sorts=[{"property": "Estimate", "direction": direction}]) == expected
    world.edit_page(ids[2], {"Estimate": 1})
    edited = [{"timestamp": "last_edited_time", "direction": "descending"}]
    assert set(asker.found(tasks, sorts=edited)[:2]) == {ids[2], ids[9]}


def test_without_a_sort_there_is_no_order(asker: Asker, tasks: str, ids: list[str]) -> None:
    assert sorted(asker.found(tasks)) == sorted(ids)
    assert asker.found(tasks) != ids


@pytest.mark.parametrize("sorts", [{}, [{"timestamp": "created_time"}], [{"property": "No", "direction": "ascending"}]])
def test_what_is_no_sort_is_refused(asker: Asker, tasks: str, sorts: object) -> None:
    answer = asker.post(f"/data_sources/{tasks}/query", {"sorts": sorts})
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")


@pytest.mark.parametrize("parameter", ["filter_properties", "filter_properties[]"])
def test_only_the_properties_asked_for_are_shown(world: World, asker: Asker, tasks: str, parameter: str) -> None:
    world.add_property(tasks, "Due", "date")
    shown_id = asker.get(f"/data_sources/{tasks}").json()["properties"]["Due"]["id"]
    for spelled, names in (([shown_id, "title"], {"Due", "Name"}), (["Estimate"], {"Estimate"})):
        query = "&".join(f"{parameter}={name}" for name in spelled)
        rows = asker.post(f"/data_sources/{tasks}/query?{query}", {}).json()["results"]
        assert {frozenset(row["properties"]) for row in rows} == {frozenset(names)}
    refused = asker.post(f"/data_sources/{tasks}/query?{parameter}=Nothing", {})
    assert (refused.status_code, refused.json()["code"]) == (400, "validation_error")
