"""Values are whole, whatever their type and length, and read as cells of a table."""

from collections.abc import Mapping
from typing import Any

import pytest

from dandi_pipeline.platforms.notion.cells import cell_of
from dandi_pipeline.platforms.notion.records import shape_of
from dandi_pipeline_tests.platforms.notion.rig import Rig
from dandi_pipeline_tests.simulators.notion import UNKNOWN_TYPE, SimulatedNotion, World


@pytest.fixture
def sources(world: World, rig: Rig) -> tuple[str, str]:
    """The two that are mirrored: projects, with their teams and notes, and the tasks related to them."""
    projects = world.add_data_source("Mazes", properties={"Notes": "rich_text", "Team": "people"}).id
    details = {"type": "relation", "to": projects, "twin": "Tasks"}
    tasks = world.add_data_source("Runs", properties={"Maze": details}).id
    rig.databases, rig.data_sources = [], [projects, tasks]
    return projects, tasks


def _long(world: World, sources: tuple[str, str]) -> str:
    """Add a page of sixty related pages, thirty people, and texts with thirty mentions."""
    people = [world.add_user(f"Person {number}", email="x@example.org").id for number in range(30)]
    mentions: list[Any] = [piece for person in people for piece in ("ask ", {"user": person})]
    page = world.add_page(sources[0], {"Name": mentions, "Notes": mentions, "Team": people}).id
    for number in range(60):
        world.add_page(sources[1], {"Name": str(number), "Maze": [page]})
    return page


def test_values_cut_at_25_references_are_completed(rig: Rig, world: World, sources: tuple[str, str]) -> None:
    page = _long(world, sources)
    rig.sync()
    assert [difference for difference in rig.differences() if difference.partition in sources] == []
    properties = rig.pages()[sources[0]][page]["properties"]
    assert len(properties["Tasks"]["relation"]) == 60
    assert properties["Tasks"]["has_more"] is False
    assert len(properties["Team"]["people"]) == 30
    assert sum(segment["type"] == "mention" for segment in properties["Name"]["title"]) == 30


def test_what_is_completed_is_no_change_the_next_time(rig: Rig, world: World, sources: tuple[str, str]) -> None:
    _long(world, sources)
    rig.sync()
    before = rig.changes()
    rig.sweep()
    assert rig.changes() == before


def test_a_change_behind_the_25th_reference_is_found(rig: Rig, world: World, sources: tuple[str, str]) -> None:
    page = _long(world, sources)
    rig.sync()
    world.add_page(sources[1], {"Name": "61st", "Maze": [page]})
    rig.sweep()
    assert [difference for difference in rig.differences() if difference.partition in sources] == []


def test_values_that_are_whole_cost_no_request(rig: Rig, world: World, sources: tuple[str, str]) -> None:
    people = [world.add_user(f"Person {number}").id for number in range(24)]
    related = [world.add_page(sources[1], {"Name": str(number)}).id for number in range(25)]
    world.add_page(sources[0], {"Name": "Maze", "Team": people, "Tasks": related})
    rig.sync()
    assert "property_item" not in rig.asked()


def test_a_page_that_vanishes_while_it_is_completed_is_gone(
    rig: Rig, world: World, notion: SimulatedNotion, sources: tuple[str, str]
) -> None:
    page = _long(world, sources)
    rig.sync()

    def delete(kind: str, params: Mapping[str, str]) -> None:
        if kind == "property_item" and page in world.pages:
            world.delete_page(page)

    notion.before_response = delete
    rig.asked()
    rig.sweep()
    notion.before_response = None
    assert rig.asked()["query"] == 4, "a check and one reading of each, not two"
    rig.sweep()
    assert [difference for difference in rig.differences() if difference.partition in sources] == []


def test_every_type_reads_as_a_cell(rig: Rig, world: World, ids: dict[str, str]) -> None:
    page = next(iter(world.data_sources[ids["Tasks"]].page_ids))
    project = world.add_page(ids["Projects"], {"Name": "Maze", "Budget": 70}).id
    values = {
        "Name": ["Find ", {"user": world.author.id}],
        "Notes": "As discussed.",
        "Estimate": 3.5,
        "Kind": "Bug",
        "Tags": ["api", "urgent"],
        "Stage": "Done",
        "Due": {"start": "2026-11-23", "end": "2026-11-25"},
        "Owner": [world.author.id],
        "Done": True,
        "Link": "https://example.org/",
        "Phone": None,
        "Project": [project],
    }
    world.edit_page(page, values)
    rig.sync()
    names = {prop.name: prop for prop in world.data_sources[ids["Tasks"]].properties.values()}
    metadata = rig.pages()[ids["Tasks"]][page]["properties"]
    held = rig.cells(page)
    cells = {name: held.get(metadata[name]["id"]) for name in names}
    number = cells.pop("ID")
    assert number == f"TASK-{world.pages[page].number}"
    assert cells == {
        "Name": "Find user",
        "Notes": "As discussed.",
        "Estimate": 3.5,
        "Kind": "Bug",
        "Tags": ["api", "urgent"],
        "Stage": "Done",
        "Due": "2026-11-23/2026-11-25",
        "Owner": ["Ada"],
        "Files": ["a.pdf", "b"],
        "Done": True,
        "Link": "https://example.org/",
        "Mail": "x@example.org",
        "Phone": None,
        "Score": 7.0,
        "Project": [project],
        "Total": 70,
        "Created": metadata["Created"]["created_time"].replace(".000Z", ".000000Z"),
        "Author": world.author.id,
        "Edited": "2026-11-20T10:14:00.000000Z",
        "Editor": world.author.id,
        "Checked": "unverified",
        "Where": metadata["Where"]["place"],
        "Go": None,
        "Signal": metadata["Signal"][UNKNOWN_TYPE],
    }


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ({"type": "formula", "formula": {"type": "string", "string": "yes"}}, "yes"),
        ({"type": "formula", "formula": {"type": "boolean", "boolean": False}}, False),
        ({"type": "formula", "formula": {"type": "date", "date": {"start": "2026-01-02", "end": None}}}, "2026-01-02"),
        ({"type": "formula", "formula": {"type": "unsupported", "unsupported": {}}}, None),
        ({"type": "rollup", "rollup": {"type": "array", "array": [{"type": "number", "number": 1}]}}, [1]),
        ({"type": "rollup", "rollup": {"type": "incomplete", "incomplete": {}}}, None),
        ({"type": "checkbox", "checkbox": False}, False),
        ({"type": "number", "number": 0}, 0),
        ({"type": "people", "people": [{"object": "group", "id": "g"}]}, ["g"]),
        ({"type": "unique_id", "unique_id": {"prefix": None, "number": 42}}, "42"),
        ({"type": "select", "select": {"odd": 1}}, None),
        ({"type": "created_time", "created_time": "yesterday"}, None),
        ({"type": "hologram", "hologram": {"x": [1]}}, {"x": [1]}),
        ({"type": "hologram"}, None),
        ({}, None),
    ],
)
def test_a_cell_is_what_people_would_write_in_a_table(value: Mapping[str, Any], cell: Any) -> None:
    assert cell_of(value) == cell


def test_rows_read_as_a_table_under_the_users_own_names(rig: Rig, world: World, ids: dict[str, str]) -> None:
    page = next(iter(world.data_sources[ids["Projects"]].page_ids))
    rig.sync()
    world.rename_property(ids["Projects"], "Budget", 'Money "€"')
    world.edit_page(page, {'Money "€"': 12})
    rig.sync()
    rows = rig.select('SELECT "Name", "Money ""€""", "Status" FROM notion_projects WHERE page_id = :page', page=page)
    properties = rig.pages()[ids["Projects"]][page]["properties"]
    assert rows == [(properties["Name"]["title"][0]["plain_text"], 12, properties["Status"]["status"]["name"])]


def test_the_title_is_the_first_column_wherever_it_stands() -> None:
    schema = {
        "title": [{"plain_text": "Tasks"}],
        "properties": {
            "Amount": {"id": "a", "name": "Amount", "type": "number"},
            "What": {"id": "title", "name": "What", "type": "title"},
            "Odd": {"id": "o%3A", "name": "Odd", "type": "hologram"},
        },
    }
    shape = shape_of(schema, where="a data source")
    assert (shape.name, [(column.name, column.cell, column.type) for column in shape.columns]) == (
        "Tasks",
        [("What", "title", "text"), ("Amount", "a", "number"), ("Odd", "o%3A", "json")],
    )
