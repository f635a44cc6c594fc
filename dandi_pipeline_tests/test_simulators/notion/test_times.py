"""Times are rounded down to the minute, move only when they do at Notion, and are filtered as Notion filters them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from dandi_pipeline_tests.simulators.notion import World
from dandi_pipeline_tests.test_simulators.notion.asking import Asker
from dandi_pipeline_tests.test_simulators.notion.conftest import NOW

MINUTE = "2026-11-20T10:14:00.000Z"


def test_two_edits_in_one_minute_read_the_same(world: World, asker: Asker) -> None:
    source = world.add_data_source("Tasks", properties={"Estimate": "number"})
    page = world.add_page(source.id, {"Name": "Bug bash"})
    read = []
    for estimate in (1, 2):
        world.edit_page(page.id, {"Estimate": estimate})
        read.append(asker.get(f"/pages/{page.id}").json())
    assert [page["properties"]["Estimate"]["number"] for page in read] == [1, 2]
    assert {page["last_edited_time"] for page in read} == {MINUTE}


def test_every_object_rounds_down(world: World, asker: Asker) -> None:
    source = world.add_data_source("Tasks", properties={"Created": "created_time", "Edited": "last_edited_time"})
    page = world.add_page(source.id, {"Name": "Bug bash"})
    addresses = (f"/pages/{page.id}", f"/data_sources/{source.id}")
    for address in addresses:
        shown = asker.get(address).json()
        assert (shown["created_time"], shown["last_edited_time"]) == (MINUTE, MINUTE)
    properties = asker.get(addresses[0]).json()["properties"]
    assert properties["Created"]["created_time"] == properties["Edited"]["last_edited_time"] == MINUTE


def test_a_databases_times_are_exact(world: World, asker: Asker) -> None:
    source = world.add_data_source("Tasks")
    assert asker.shown(f"/databases/{source.database_id}")["created_time"] == "2026-11-20T10:14:40.000+00:00"


def _related(world: World) -> tuple[str, str, str]:
    """Two sources, tasks rolling up their projects' budgets; returns the tasks, a task and its project."""
    projects = world.add_data_source("Projects", properties={"Budget": "number"})
    tasks = world.add_data_source(
        "Tasks",
        properties={
            "Project": {"type": "relation", "to": projects.id, "twin": "Tasks"},
            "Total": {"type": "rollup", "relation": "Project", "target": "Budget", "function": "sum"},
            "Twice": {"type": "formula", "expression": 'prop("Total") * 2'},
            "Kind": {"type": "select", "options": ["Bug"]},
        },
    )
    project = world.add_page(projects.id, {"Name": "Maze", "Budget": 10})
    task = world.add_page(tasks.id, {"Name": "Bug bash", "Project": [project.id], "Kind": "Bug"})
    return tasks.id, task.id, project.id


SILENT: dict[str, Callable[[World, str, str, str], object]] = {
    "another page's number": lambda world, tasks, task, project: world.edit_page(project, {"Budget": 25}),
    "the other side of a relation": lambda world, tasks, task, project: world.edit_page(project, {"Tasks": []}),
    "a property renamed": lambda world, tasks, task, project: world.rename_property(tasks, "Kind", "Sort"),
    "a property retyped": lambda world, tasks, task, project: world.retype_property(tasks, "Kind", "rich_text"),
    "a property added": lambda world, tasks, task, project: world.add_property(tasks, "Extra", "url"),
    "a property removed": lambda world, tasks, task, project: world.remove_property(tasks, "Kind"),
    "an option renamed": lambda world, tasks, task, project: world.rename_option(tasks, "Kind", "Bug", "Flaw"),
    "the page trashed": lambda world, tasks, task, project: world.trash_page(task),
}


@pytest.mark.parametrize("change", SILENT)
def test_what_is_not_an_edit_of_the_page_changes_it_without_moving_its_time(
    world: World, asker: Asker, change: str
) -> None:
    tasks, task, project = _related(world)
    before = asker.get(f"/pages/{task}").json()
    world.clock.advance(3600)
    SILENT[change](world, tasks, task, project)
    after = asker.get(f"/pages/{task}").json()
    assert after != before
    assert after["last_edited_time"] == before["last_edited_time"]


def test_an_edit_moves_the_time_of_its_page_only(world: World, asker: Asker) -> None:
    tasks, task, project = _related(world)
    world.clock.advance(60)
    world.edit_page(project, {"Budget": 25})
    assert asker.get(f"/pages/{project}").json()["last_edited_time"] == "2026-11-20T10:15:00.000Z"
    assert asker.get(f"/pages/{task}").json()["properties"]["Twice"]["formula"] == {"type": "number", "number": 50}
    assert asker.get(f"/data_sources/{tasks}").json()["last_edited_time"] == MINUTE


# The pages: created at 10:14:40 of the day before, at 10:14:40 and 10:15:40 of the day, and of the day after.
OFFSETS = {
    "eve": timedelta(days=-1),
    "first": timedelta(),
    "next": timedelta(minutes=1),
    "day after": timedelta(days=1),
}
CONDITIONS: list[tuple[dict[str, Any], set[str]]] = [
    ({"on_or_after": MINUTE}, {"first", "next", "day after"}),
    ({"after": MINUTE}, {"next", "day after"}),
    ({"before": MINUTE}, {"eve"}),
    ({"on_or_before": MINUTE}, {"eve", "first"}),
    ({"equals": MINUTE}, {"first"}),
    ({"on_or_after": "2026-11-20T10:14:00.001Z"}, {"next", "day after"}),
    ({"after": "2026-11-20T10:13:59.999Z"}, {"first", "next", "day after"}),
    ({"on_or_after": "2026-11-20T12:14:00.000+02:00"}, {"first", "next", "day after"}),
    ({"equals": "2026-11-20T10:14:00"}, {"first"}),
    ({"equals": "2026-11-20"}, {"first", "next"}),
    ({"after": "2026-11-20"}, {"day after"}),
    ({"on_or_after": "2026-11-20"}, {"first", "next", "day after"}),
    ({"before": "2026-11-20"}, {"eve"}),
    ({"on_or_before": "2026-11-20"}, {"eve", "first", "next"}),
    ({"equals": "yesterday"}, {"eve"}),
    ({"equals": "today"}, {"first", "next"}),
    ({"past_week": {}}, {"eve", "first"}),
    ({"next_month": {}}, {"next", "day after"}),
    ({"this_week": {}}, {"eve", "first", "next", "day after"}),
    ({"is_empty": True}, set()),
    ({"is_not_empty": True}, set(OFFSETS)),
]


@pytest.fixture
def tasks(world: World) -> str:
    source = world.add_data_source("Tasks", properties={"Due": "date"})
    for name, offset in OFFSETS.items():
        world.clock.set(NOW + offset)
        world.add_page(source.id, {"Name": name, "Due": f"{NOW + offset:%Y-%m-%d}" if name != "eve" else None})
    world.clock.set(NOW)
    return source.id


def _names(asker: Asker, source: str, **body: Any) -> set[str]:
    rows = [row for page in asker.pages(source, **body) for row in page["results"]]
    return {row["properties"]["Name"]["title"][0]["plain_text"] for row in rows}


@pytest.mark.parametrize(("condition", "expected"), CONDITIONS)
@pytest.mark.parametrize("timestamp", ["created_time", "last_edited_time"])
def test_a_time_filter_compares_days_by_day_and_times_by_millisecond(
    asker: Asker, tasks: str, timestamp: str, condition: dict[str, Any], expected: set[str]
) -> None:
    assert _names(asker, tasks, filter={"timestamp": timestamp, timestamp: condition}) == expected


def test_a_date_property_is_filtered_by_its_own_value(asker: Asker, tasks: str) -> None:
    assert _names(asker, tasks, filter={"property": "Due", "date": {"after": "2026-11-20"}}) == {"day after"}
    assert _names(asker, tasks, filter={"property": "Due", "date": {"is_empty": True}}) == {"eve"}


def _created(condition: str, at: str) -> dict[str, Any]:
    return {"timestamp": "created_time", "created_time": {condition: at}}


def test_filters_combine_two_levels_deep_and_no_deeper(asker: Asker, tasks: str) -> None:
    on_the_day = {"and": [_created("on_or_after", "2026-11-20"), _created("before", "2026-11-21")]}
    either = {"or": [on_the_day, _created("before", "2026-11-20")]}
    assert _names(asker, tasks, filter=either) == {"eve", "first", "next"}
    answer = asker.post(f"/data_sources/{tasks}/query", {"filter": {"and": [either]}})
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")


@pytest.mark.parametrize(
    "refused",
    [
        _created("on_or_after", "last Tuesday"),
        _created("since", MINUTE),
        {"timestamp": "created_time", "last_edited_time": {"after": MINUTE}},
        {"property": "Nothing", "date": {"after": MINUTE}},
        {"timestamp": "created_time", "created_time": {"after": MINUTE, "before": MINUTE}},
        [],
    ],
)
def test_what_is_no_filter_is_refused(asker: Asker, tasks: str, refused: Any) -> None:
    answer = asker.post(f"/data_sources/{tasks}/query", {"filter": refused})
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")


def test_a_restart_after_the_last_row_loses_its_minute_unless_the_bound_is_inclusive(
    world: World, asker: Asker
) -> None:
    source = world.add_data_source("Tasks")
    ids = {world.add_page(source.id, {"Name": str(number)}).id for number in range(3)}
    edited = "last_edited_time"
    assert asker.found(source.id, filter={"timestamp": edited, edited: {"after": MINUTE}}) == []
    assert set(asker.found(source.id, filter={"timestamp": edited, edited: {"on_or_after": MINUTE}})) == ids
