"""Values come as Notion says them: cut at 25 references, paged whole by property, signed anew on every read."""

from collections.abc import Iterator
from typing import Any

import pytest

from dandi_pipeline_tests.simulators.notion import Refused, SimulatedNotion, World, normalised
from dandi_pipeline_tests.test_simulators.notion.asking import Asker


@pytest.fixture
def sources(world: World) -> tuple[str, str]:
    """Projects and tasks; projects sum up and list their tasks' estimates."""
    projects = world.add_data_source("Projects", properties={"Notes": "rich_text", "Team": "people"})
    tasks = world.add_data_source(
        "Tasks",
        properties={"Estimate": "number", "Project": {"type": "relation", "to": projects.id, "twin": "Tasks"}},
    )
    for name, function in (("Work", "sum"), ("Estimates", "show_original"), ("Odd", "percent_per_group")):
        details = {"relation": "Tasks", "target": "Estimate", "function": function}
        world.add_property(projects.id, name, "rollup", **details)
    return projects.id, tasks.id


def _project_of_sixty(world: World, sources: tuple[str, str]) -> str:
    projects, tasks = sources
    project = world.add_page(projects, {"Name": "Maze"}).id
    for number in range(60):
        world.add_page(tasks, {"Name": str(number), "Estimate": number, "Project": [project]})
    return project


def _item_pages(asker: Asker, page: str, property_id: str, **params: Any) -> Iterator[Any]:
    answer = asker.get(f"/pages/{page}/properties/{property_id}", **params).json()
    yield answer
    while answer["has_more"]:
        answer = asker.get(
            f"/pages/{page}/properties/{property_id}", **params, start_cursor=answer["next_cursor"]
        ).json()
        yield answer


def test_a_relation_stops_at_25_and_its_property_has_all(world: World, asker: Asker, sources: tuple[str, str]) -> None:
    project = _project_of_sixty(world, sources)
    ids = list(world.data_sources[sources[1]].page_ids)
    relation = asker.get(f"/pages/{project}").json()["properties"]["Tasks"]
    assert [each["id"] for each in relation["relation"]] == ids[:25]
    assert relation["has_more"] is True
    pages = list(_item_pages(asker, project, relation["id"], page_size=40))
    assert [each["relation"]["id"] for page in pages for each in page["results"]] == ids
    assert [len(page["results"]) for page in pages] == [40, 20]
    first = pages[0]
    assert first["results"][0] == {
        "object": "property_item",
        "id": relation["id"],
        "type": "relation",
        "relation": {"id": ids[0]},
    }
    assert first["property_item"]["next_url"].endswith(f"?start_cursor={first['next_cursor']}")
    assert pages[1]["property_item"] == {"id": relation["id"], "next_url": None, "type": "relation", "relation": {}}


def test_a_relation_of_25_is_whole(world: World, asker: Asker, sources: tuple[str, str]) -> None:
    projects, tasks = sources
    related = [world.add_page(tasks, {"Name": str(number)}).id for number in range(25)]
    project = world.add_page(projects, {"Name": "Maze", "Tasks": related}).id
    relation = asker.get(f"/pages/{project}").json()["properties"]["Tasks"]
    assert (len(relation["relation"]), relation["has_more"]) == (25, False)


def test_people_and_mentions_stop_at_25_too(world: World, asker: Asker, sources: tuple[str, str]) -> None:
    people = [world.add_user(f"Person {number}", email="x@example.org").id for number in range(30)]
    mentions = [piece for person in people for piece in ("ask ", {"user": person})]
    values = {"Name": mentions, "Notes": mentions, "Team": people}
    page = world.add_page(sources[0], values).id
    shown = asker.get(f"/pages/{page}").json()["properties"]
    assert len(shown["Team"]["people"]) == 25
    for name, kind in (("Name", "title"), ("Notes", "rich_text")):
        assert sum(segment["type"] == "mention" for segment in shown[name][kind]) == 25
        items = [item for part in _item_pages(asker, page, shown[name]["id"]) for item in part["results"]]
        assert len(items) == 60
        assert items[1][kind]["mention"]["user"]["id"] == people[0]
    whole = [item["people"]["id"] for item in next(_item_pages(asker, page, shown["Team"]["id"]))["results"]]
    assert whole == people


def test_a_rollup_of_more_than_25_is_right_only_by_property_and_incomplete_until_the_last_page(
    world: World, asker: Asker, sources: tuple[str, str]
) -> None:
    project = _project_of_sixty(world, sources)
    work = asker.get(f"/pages/{project}").json()["properties"]["Work"]
    assert work["rollup"] == {"type": "number", "number": sum(range(25)), "function": "sum"}
    pages = list(_item_pages(asker, project, work["id"], page_size=40))
    assert [page["property_item"]["rollup"]["type"] for page in pages] == ["incomplete", "number"]
    assert pages[-1]["property_item"]["rollup"]["number"] == sum(range(60))
    assert pages[0]["results"][3]["number"] == 3


def test_rollups_list_or_give_up_as_their_function_says(world: World, asker: Asker, sources: tuple[str, str]) -> None:
    projects, tasks = sources
    task = world.add_page(tasks, {"Name": "One", "Estimate": 3}).id
    project = world.add_page(projects, {"Name": "Maze", "Tasks": [task]}).id
    shown = asker.get(f"/pages/{project}").json()["properties"]
    original = {"type": "array", "array": [{"type": "number", "number": 3}], "function": "show_original"}
    assert shown["Estimates"]["rollup"] == original
    assert shown["Odd"]["rollup"]["type"] == "unsupported"
    world.remove_property(tasks, "Estimate")
    assert asker.get(f"/pages/{project}").json()["properties"]["Estimates"]["rollup"]["array"] == []


def test_a_simple_property_is_one_item(world: World, asker: Asker, sources: tuple[str, str]) -> None:
    page = world.add_page(sources[1], {"Name": "One", "Estimate": 2}).id
    identifier = asker.get(f"/pages/{page}").json()["properties"]["Estimate"]["id"]
    item = asker.shown(f"/pages/{page}/properties/{identifier}")
    assert item == {"object": "property_item", "id": identifier, "type": "number", "number": 2}


def test_property_ids_are_percent_encoded_and_taken_back_as_they_were_given(world: World, asker: Asker) -> None:
    types = {f"Property {number}": "number" for number in range(40)}
    page = world.add_page(world.add_data_source("Wide", properties=types).id, {"Name": "One"}).id
    properties = asker.get(f"/pages/{page}").json()["properties"]
    assert any("%" in value["id"] for value in properties.values())
    for value in properties.values():
        assert asker.get(f"/pages/{page}/properties/{value['id']}").status_code == 200
    assert asker.get(f"/pages/{page}/properties/never").json()["code"] == "object_not_found"


def test_a_kept_files_address_is_new_on_every_read_and_normalised_the_same(world: World, asker: Asker) -> None:
    source = world.add_data_source("Tasks", properties={"Files": "files"})
    files = [{"name": "a.pdf"}, {"name": "b", "url": "https://example.org/b.png?size=1"}]
    page = world.add_page(source.id, {"Name": "One", "Files": files}, cover_file="cover.png").id
    first, second = (asker.shown(f"/pages/{page}") for _ in range(2))
    kept, external = first["properties"]["Files"]["files"]
    assert kept["file"]["expiry_time"].startswith("2026-11-20T11:14:40.")
    assert kept["file"]["url"] != second["properties"]["Files"]["files"][0]["file"]["url"]
    assert first["cover"]["file"]["url"] != second["cover"]["file"]["url"]
    assert external["external"]["url"] == "https://example.org/b.png?size=1"
    assert normalised(first) == normalised(second) == world.snapshot()[source.id]["pages"][page]
    assert normalised(first)["properties"]["Files"]["files"] == [
        {
            "name": "a.pdf",
            "type": "file",
            "file": {"url": "https://prod-files-secure.example/a.pdf", "expiry_time": None},
        },
        external,
    ]


def test_a_type_that_nobody_knows_is_passed_through(world: World, asker: Asker) -> None:
    source = world.add_data_source("Tasks", properties={"Signal": {"type": "telemetry", "unit": "mV"}})
    page = world.add_page(source.id, {"Signal": {"level": 3}}).id
    assert asker.get(f"/data_sources/{source.id}").json()["properties"]["Signal"]["telemetry"] == {"unit": "mV"}
    shown = asker.get(f"/pages/{page}").json()["properties"]["Signal"]
    assert (shown["type"], shown["telemetry"]) == ("telemetry", {"level": 3})


EMPTY: dict[str, Any] = {
    **dict.fromkeys(("number", "select", "status", "date", "url", "email", "phone_number")),
    **{name: [] for name in ("rich_text", "multi_select", "people", "files")},
    "checkbox": False,
    "button": {},
}


def test_empty_values_are_null_or_empty_lists(world: World, asker: Asker) -> None:
    source = world.add_data_source("Tasks", properties={name: name for name in EMPTY})
    page = world.add_page(source.id, {}).id
    shown = asker.get(f"/pages/{page}").json()["properties"]
    assert {name: shown[name][name] for name in EMPTY} == EMPTY
    assert shown["Name"]["title"] == []


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ('prop("Estimate") * 2 + 0.5', {"type": "number", "number": 6.5}),
        ('prop("Name") + "!"', {"type": "string", "string": "Maze!"}),
        ('prop("Estimate") >= 3', {"type": "boolean", "boolean": True}),
        ('prop("Due")', {"type": "date", "date": {"start": "2026-11-23", "end": None, "time_zone": None}}),
        ('prop("Empty") * 2', {"type": "number", "number": None}),
        ('prop("Estimate") / 0', {"type": "unsupported", "unsupported": {}}),
        ("launch()", {"type": "unsupported", "unsupported": {}}),
        ('prop("Itself")', {"type": "unsupported", "unsupported": {}}),
    ],
)
def test_a_formula_is_of_the_type_of_its_value(
    world: World, asker: Asker, expression: str, value: dict[str, Any]
) -> None:
    properties = {"Estimate": "number", "Empty": "number", "Due": "date"}
    source = world.add_data_source("Tasks", properties=properties)
    name = "Itself" if "Itself" in expression else "Score"
    world.add_property(source.id, name, "formula", expression=expression)
    page = world.add_page(source.id, {"Name": "Maze", "Estimate": 3, "Due": "2026-11-23"}).id
    assert asker.get(f"/pages/{page}").json()["properties"][name]["formula"] == value


def test_an_operation_that_is_refused_changes_nothing(
    world: World, notion: SimulatedNotion, asker: Asker, sources: tuple[str, str]
) -> None:
    page = world.add_page(sources[1], {"Name": "One", "Estimate": 1}).id
    before = world.snapshot()
    for values in ({"Estimate": 2, "Nothing": 1}, {"Estimate": 2, "Project": ["gone"]}):
        with pytest.raises(Refused):
            world.edit_page(page, values)
    world.add_property(sources[1], "Edited", "last_edited_time")
    with pytest.raises(Refused, match="computed"):
        world.edit_page(page, {"Edited": "2026-01-01"})
    world.remove_property(sources[1], "Edited")
    assert world.snapshot() == before
