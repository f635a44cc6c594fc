"""What is trashed, archived, deleted or not shared is missing where it is missing at Notion, and only there."""

import pytest

from dandi_pipeline_tests.simulators.notion import LEGACY, SimulatedNotion, World
from dandi_pipeline_tests.test_simulators.notion.asking import Asker


@pytest.fixture
def tasks(world: World) -> str:
    return world.add_data_source("Tasks", identifier="248104cd-477e-80af-bc30-000bd28de8f9").id


@pytest.fixture
def page(world: World, tasks: str) -> str:
    world.add_page(tasks, {"Name": "Another"}, identifier="0f1a2b3c-0000-4000-8000-000000000002")
    return world.add_page(tasks, {"Name": "Bug bash"}, identifier="be633bf1-dfa0-436d-b259-571129a590e5").id


def test_a_trashed_page_leaves_every_query_but_is_still_there_by_its_id(
    world: World, asker: Asker, tasks: str, page: str
) -> None:
    world.trash_page(page)
    everything = {"timestamp": "last_edited_time", "last_edited_time": {"on_or_after": "2000-01-01"}}
    assert page not in asker.found(tasks)
    assert page not in asker.found(tasks, filter=everything)
    shown = asker.get(f"/pages/{page}")
    assert (shown.status_code, shown.json()["in_trash"]) == (200, True)
    assert asker.get(f"/pages/{page}/properties/title").status_code == 200
    world.restore_page(page)
    assert page in asker.found(tasks)


def test_the_trash_can_be_searched(world: World, asker: Asker, page: str) -> None:
    world.trash_page(page)
    trashed = asker.post("/search", {"filter": {"property": "object", "value": "page", "in_trash": True}}).json()
    assert [row["id"] for row in trashed["results"]] == [page]
    assert page not in [row["id"] for row in asker.post("/search", {}).json()["results"]]


def test_an_archived_page_is_shown_only_to_a_query_for_archived_ones(
    world: World, asker: Asker, tasks: str, page: str
) -> None:
    world.archive_page(page)
    assert page not in asker.found(tasks)
    assert asker.found(tasks, is_archived=True) == [page]
    assert page not in world.snapshot()[tasks]["pages"]
    shown = asker.get(f"/pages/{page}").json()
    assert (shown["is_archived"], shown["in_trash"]) == (True, False)


def test_a_deleted_page_is_not_found(world: World, asker: Asker, tasks: str, page: str) -> None:
    world.delete_page(page)
    assert asker.get(f"/pages/{page}").json()["code"] == "object_not_found"
    assert page not in asker.found(tasks)


def test_an_unshared_page_is_silently_missing_and_not_found(world: World, asker: Asker, tasks: str, page: str) -> None:
    world.unshare(page)
    assert page not in asker.found(tasks)
    assert page not in world.snapshot()[tasks]["pages"]
    answer = asker.get(f"/pages/{page}")
    assert (answer.status_code, answer.json()["code"]) == (404, "object_not_found")
    world.share(page)
    assert page in asker.found(tasks)


def test_an_unshared_data_source_takes_its_pages_with_it(world: World, asker: Asker, tasks: str, page: str) -> None:
    world.unshare(tasks)
    assert asker.get(f"/data_sources/{tasks}").json()["code"] == "object_not_found"
    assert asker.post(f"/data_sources/{tasks}/query", {}).json()["code"] == "object_not_found"
    assert asker.get(f"/pages/{page}").status_code == 404
    assert world.snapshot() == {}


def test_an_unshared_database_takes_its_data_sources_with_it(world: World, asker: Asker, tasks: str) -> None:
    database = world.data_sources[tasks].database_id
    world.unshare(database)
    for address in (f"/databases/{database}", f"/data_sources/{tasks}"):
        assert asker.get(address).json()["code"] == "object_not_found"


def test_what_is_unshared_from_one_token_is_there_for_another(
    world: World, notion: SimulatedNotion, asker: Asker, page: str
) -> None:
    world.connect("Other", token="ntn_other")
    world.unshare(page, token="ntn_other")
    with Asker(notion, token="ntn_other") as other:
        assert other.get(f"/pages/{page}").status_code == 404
    assert asker.get(f"/pages/{page}").status_code == 200


def test_search_finds_pages_and_data_sources_by_their_titles_and_not_all_of_them(
    world: World, asker: Asker, tasks: str, page: str
) -> None:
    def found(**body: object) -> set[str]:
        return {row["id"] for row in asker.post("/search", body).json()["results"]}

    assert found(query="bug") == {page}
    assert found(filter={"property": "object", "value": "data_source"}) == {tasks}
    assert page in found()
    world.hide_from_search(page)
    assert page not in found()
    assert page in asker.found(tasks)
    world.show_in_search(page)
    assert page in found()


def test_search_is_capped_and_says_so(notion: SimulatedNotion, asker: Asker, page: str) -> None:
    notion.behaviour.row_cap = 2
    capped = asker.post("/search", {}).json()
    assert (len(capped["results"]), capped["has_more"]) == (2, False)
    assert capped["request_status"]["incomplete_reason"] == "query_result_limit_reached"


def test_a_wiki_answers_data_sources_among_its_rows(world: World, asker: Asker, tasks: str, page: str) -> None:
    wiki = world.add_data_source("Wiki")
    article = world.add_page(wiki.id, {"Name": "Read me"}).id
    world.put_in_wiki(wiki.id, tasks)
    rows = {row["id"]: row["object"] for row in asker.query(wiki.id)["results"]}
    assert rows == {article: "page", tasks: "data_source"}
    assert asker.found(wiki.id, result_type="page") == [article]
    assert asker.found(wiki.id, result_type="data_source") == [tasks]
    assert world.snapshot()[wiki.id]["child_data_sources"] == [tasks]
    world.unshare(tasks)
    assert asker.found(wiki.id) == [article]


def test_a_database_names_its_data_sources(world: World, asker: Asker, tasks: str) -> None:
    database = world.data_sources[tasks].database_id
    second = world.add_data_source("Done tasks", database_id=database).id
    shown = asker.get(f"/databases/{database}").json()
    assert shown["data_sources"] == [{"id": tasks, "name": "Tasks"}, {"id": second, "name": "Done tasks"}]
    assert "properties" not in shown


def test_the_version_before_data_sources_queries_a_database_with_one(
    world: World, notion: SimulatedNotion, tasks: str, page: str
) -> None:
    database = world.data_sources[tasks].database_id
    with Asker(notion, version=LEGACY) as legacy:
        assert legacy.get(f"/databases/{database}").json()["properties"].keys() == {"Name"}
        rows = legacy.post(f"/databases/{database}/query", {}).json()["results"]
    assert {row["id"] for row in rows} >= {page}
    assert rows[0]["parent"] == {"type": "database_id", "database_id": database}


def test_the_version_before_data_sources_refuses_a_database_with_two(
    world: World, notion: SimulatedNotion, tasks: str
) -> None:
    database = world.data_sources[tasks].database_id
    second = world.add_data_source("Done tasks", database_id=database).id
    with Asker(notion, version=LEGACY) as legacy:
        for answer in (legacy.get(f"/databases/{database}"), legacy.post(f"/databases/{database}/query", {})):
            assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
            assert answer.json()["additional_data"] == {
                "error_type": "multiple_data_sources_for_database",
                "child_data_source_ids": [tasks, second],
                "minimum_api_version": "2025-09-03",
            }
