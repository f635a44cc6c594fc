"""Schemas change under their readers as they do at Notion: names go, ids stay, values are converted."""

from typing import Any

import pytest

from dandi_pipeline_tests.simulators.notion import Refused, World
from dandi_pipeline_tests.test_simulators.notion.asking import Asker


@pytest.fixture
def tasks(world: World) -> str:
    return world.add_data_source(
        "Tasks",
        properties={
            "Estimate": "number",
            "Kind": {"type": "select", "options": ["Bug"]},
            "Score": {"type": "formula", "expression": 'prop("Estimate") * 2'},
        },
    ).id


@pytest.fixture
def page(world: World, tasks: str) -> str:
    return world.add_page(tasks, {"Name": "Bug bash", "Estimate": 3, "Kind": "Bug"}).id


def _shown(asker: Asker, page: str) -> dict[str, Any]:
    properties: dict[str, Any] = asker.get(f"/pages/{page}").json()["properties"]
    return properties


def test_a_renamed_property_keeps_its_id_and_its_values(world: World, asker: Asker, tasks: str, page: str) -> None:
    before = _shown(asker, page)
    world.rename_property(tasks, "Estimate", "Hours")
    after = _shown(asker, page)
    assert after["Hours"] == before["Estimate"]
    assert after["Score"] == before["Score"]
    assert "Estimate" not in after
    schema = asker.get(f"/data_sources/{tasks}").json()["properties"]
    assert (schema["Hours"]["id"], schema["Hours"]["name"]) == (before["Estimate"]["id"], "Hours")
    assert schema["Score"]["formula"]["expression"] == 'prop("Hours") * 2'


@pytest.mark.parametrize(
    ("name", "type_name", "value"),
    [
        ("Estimate", "rich_text", "3"),
        ("Kind", "rich_text", "Bug"),
        ("Kind", "number", None),
        ("Kind", "url", "Bug"),
        ("Estimate", "select", "3"),
        ("Kind", "multi_select", ["Bug"]),
        ("Estimate", "people", []),
    ],
)
def test_a_retyped_property_keeps_its_id_and_converts_what_it_can(
    world: World, asker: Asker, tasks: str, page: str, name: str, type_name: str, value: object
) -> None:
    identifier = _shown(asker, page)[name]["id"]
    world.retype_property(tasks, name, type_name)
    shown = _shown(asker, page)[name]
    assert (shown["id"], shown["type"]) == (identifier, type_name)
    assert _said(shown) == value
    assert asker.get(f"/data_sources/{tasks}").json()["properties"][name]["type"] == type_name


def _said(shown: dict[str, Any]) -> object:
    value = shown[shown["type"]]
    if shown["type"] == "rich_text":
        return "".join(segment["plain_text"] for segment in value)
    if shown["type"] == "multi_select":
        return [option["name"] for option in value]
    return value["name"] if shown["type"] == "select" else value


def test_properties_come_and_go(world: World, asker: Asker, tasks: str, page: str) -> None:
    world.add_property(tasks, "Due", "date")
    world.remove_property(tasks, "Kind")
    assert _shown(asker, page).keys() == {"Name", "Estimate", "Score", "Due"}
    assert _shown(asker, page)["Due"]["date"] is None
    world.add_property(tasks, "Kind", "url")
    assert _shown(asker, page)["Kind"]["url"] is None


def test_an_option_is_renamed_on_every_page_at_once(world: World, asker: Asker, tasks: str, page: str) -> None:
    before = _shown(asker, page)["Kind"]["select"]
    world.rename_option(tasks, "Kind", "Bug", "Flaw")
    assert _shown(asker, page)["Kind"]["select"] == {**before, "name": "Flaw"}


def test_both_sides_of_a_two_way_relation_name_each_other(world: World, asker: Asker, tasks: str) -> None:
    projects = world.add_data_source("Projects")
    world.add_property(tasks, "Project", "relation", to=projects.id, twin="Tasks")
    one = asker.get(f"/data_sources/{tasks}").json()["properties"]["Project"]
    other = asker.get(f"/data_sources/{projects.id}").json()["properties"]["Tasks"]
    assert one["relation"] == {
        "database_id": projects.database_id,
        "data_source_id": projects.id,
        "type": "dual_property",
        "dual_property": {"synced_property_id": other["id"], "synced_property_name": "Tasks"},
    }
    assert other["relation"]["dual_property"]["synced_property_id"] == one["id"]
    world.remove_property(projects.id, "Tasks")
    alone = asker.get(f"/data_sources/{tasks}").json()["properties"]["Project"]["relation"]
    assert (alone["type"], alone["single_property"]) == ("single_property", {})


def test_a_rollup_names_what_it_is_over_whatever_that_is_called_now(world: World, asker: Asker, tasks: str) -> None:
    projects = world.add_data_source("Projects", properties={"Budget": "number"})
    world.add_property(tasks, "Project", "relation", to=projects.id)
    world.add_property(tasks, "Total", "rollup", relation="Project", target="Budget", function="sum")
    world.rename_property(projects.id, "Budget", "Grant")
    shown = asker.get(f"/data_sources/{tasks}").json()["properties"]
    rollup = shown["Total"]["rollup"]
    assert (rollup["relation_property_name"], rollup["rollup_property_name"]) == ("Project", "Grant")
    assert rollup["relation_property_id"] == shown["Project"]["id"]


def test_names_are_unique_and_the_title_stays(world: World, tasks: str) -> None:
    for refused in (
        lambda: world.add_property(tasks, "Kind", "url"),
        lambda: world.rename_property(tasks, "Kind", "Score"),
        lambda: world.remove_property(tasks, "Name"),
        lambda: world.retype_property(tasks, "Name", "number"),
    ):
        with pytest.raises(Refused):
            refused()
