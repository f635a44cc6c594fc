"""Values are whole, whatever their type and length, and read as cells of a table."""

from collections.abc import Mapping
from typing import Any

import pytest

from dandi_pipeline.errors import UnexpectedPayload
from dandi_pipeline.platforms.notion.records import cell_of, shape_of
from dandi_pipeline_tests.platforms.notion.rig import Rig, parsed
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
        ({"type": "unique_id", "unique_id": {"prefix": "TASK", "number": None}}, None),
        ({"type": "unique_id", "unique_id": {"prefix": None, "number": None}}, None),
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


def _scores(world: World, rig: Rig) -> tuple[str, str]:
    """Mirror projects and tasks alone, of three estimates, 9, 10 and 100, with formulas and rollups of every type."""
    projects = world.add_data_source("Mazes", properties={"Name2": "rich_text"}).id
    tasks = world.add_data_source("Runs", properties={"Estimate": "number", "Due": "date"}).id
    world.add_property(tasks, "Maze", "relation", to=projects, twin="Runs")
    for name, expression in {
        "Score": 'prop("Estimate")',
        "Word": 'prop("Name")',
        "Large": 'prop("Estimate") > 50',
        "When": 'prop("Due")',
        "Broken": 'prop("Nothing")',
    }.items():
        world.add_property(tasks, name, "formula", expression=expression)
    maze = world.add_page(projects, {"Name": "Maze"}).id
    for estimate in (9, 100, 10):
        day = {"start": f"2026-11-{estimate % 28 + 1:02}"}
        world.add_page(tasks, {"Name": str(estimate), "Estimate": estimate, "Due": day, "Maze": [maze]})
    for name, target, function in (
        ("Sum", "Estimate", "sum"),
        ("All", "Estimate", "show_original"),
        ("First", "Due", "earliest_date"),
    ):
        world.add_property(projects, name, "rollup", relation="Runs", target=target, function=function)
    rig.databases, rig.data_sources = [], [projects, tasks]
    return projects, tasks


def test_what_is_computed_reads_as_the_scalar_that_it_is(rig: Rig, world: World) -> None:
    _scores(world, rig)
    rig.sync()
    numbers = rig.select('SELECT "Score" FROM notion_runs WHERE "Score" > 9.5 ORDER BY "Score"')
    assert [float(score) for (score,) in numbers] == [10, 100]
    assert rig.select("""SELECT "Name" FROM notion_runs WHERE "Word" = '9'""") == [("9",)]
    assert rig.select('SELECT "Name" FROM notion_runs WHERE "Large"') == [("100",)]
    assert rig.select('SELECT "When" FROM notion_runs ORDER BY "When" LIMIT 1') == [("2026-11-10",)]
    assert rig.select('SELECT count("Broken") FROM notion_runs') == [(0,)]
    ((total, first, every),) = rig.select('SELECT "Sum", "First", "All" FROM notion_mazes WHERE "Sum" > 50')
    assert (float(total), first, parsed(every)) == (119, "2026-11-10", [9, 100, 10])


def test_a_formula_of_several_types_reads_as_json_and_as_a_scalar_again(rig: Rig, world: World) -> None:
    _, tasks = _scores(world, rig)
    rig.sync()
    with world.lock:
        score = world.property_of(world.data_sources[tasks], "Score")
        score.config["expression"] = 'prop("Due")'
        page = next(iter(world.data_sources[tasks].page_ids))
    rig.sync()
    assert rig.select('SELECT count("Score") FROM notion_runs') == [(3,)]
    assert rig.select("""SELECT "Name" FROM notion_runs WHERE "Score" = '2026-11-10'""") == [("9",)]
    with world.lock:
        score.config["expression"] = 'prop("Estimate")'
    world.edit_page(page, {"Estimate": 7})
    rig.sync()
    rows = rig.select('SELECT "Name" FROM notion_runs WHERE "Score" < 11 ORDER BY "Score"')
    assert rows == [("9",), ("10",)]


def test_a_rollup_without_any_value_reads_as_its_function_says(rig: Rig, world: World) -> None:
    projects, tasks = _scores(world, rig)
    for page in [*world.data_sources[projects].page_ids, *world.data_sources[tasks].page_ids]:
        world.delete_page(page)
    rig.sync()
    assert rig.select("""SELECT * FROM notion_mazes WHERE "Sum" > 50 AND "First" > '2026'""") == []


@pytest.mark.parametrize("identifier", ["'i6/", "F])?", "a(b!", "x*y~", "._-~", "%25%", '"\\ &', "a#b+", "é🐁"])
def test_a_property_of_any_id_is_completed_and_read_in_sql(
    rig: Rig, world: World, sources: tuple[str, str], identifier: str
) -> None:
    """The first two are of real properties: airbytehq/airbyte, source-notion's expected records."""
    source = world.data_sources[sources[0]]
    with world.lock:
        prop = world.property_of(source, "Team")
        del source.properties[prop.id]
        prop.id = identifier
        source.properties[identifier] = prop
    people = [world.add_user(f"Person {number}", email="x@example.org").id for number in range(30)]
    page = world.add_page(sources[0], {"Name": "Maze", "Team": people}).id
    rig.sync()
    assert rig.differences_of(sources[0]) == []
    ((team,),) = rig.select('SELECT "Team" FROM notion_mazes WHERE page_id = :page', page=page)
    assert parsed(team) == [f"Person {number}" for number in range(30)]


@pytest.mark.parametrize("identifier", [".", ".."])
def test_an_id_that_would_lead_elsewhere_in_a_path_is_never_asked_for(rig: Rig, identifier: str) -> None:
    with rig.platform() as platform, pytest.raises(UnexpectedPayload, match="its id is no such id"):
        platform._api.property_items("page", identifier)


def test_the_title_of_a_mentioned_page_is_left_to_the_sweep(rig: Rig, world: World, sources: tuple[str, str]) -> None:
    spec = world.add_page(None, {"title": "Spec"}).id
    page = world.add_page(sources[0], {"Name": ["See ", {"page": spec}]}).id
    rig.settle()
    world.edit_page(spec, {"title": "Specification"})
    rig.settle()
    assert {difference.untimed for difference in rig.differences_of(sources[0])} == {"mention"}
    rig.sweep()
    assert rig.differences_of(sources[0]) == []
    assert rig.select("SELECT title FROM notion_pages WHERE page_id = :page", page=page) == [("See Specification",)]


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
