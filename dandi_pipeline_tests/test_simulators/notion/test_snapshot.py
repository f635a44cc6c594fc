"""A snapshot is what a reader who misses nothing ends up with."""

from typing import Any

import pytest

from dandi_pipeline_tests.simulators.notion import (
    DATA_SOURCES,
    LATEST,
    UNLIMITED,
    SimulatedNotion,
    generated_world,
    normalised,
)
from dandi_pipeline_tests.test_simulators.notion.asking import Asker

COMPLETED = ("title", "rich_text", "people", "relation")


def _whole(asker: Asker, page: dict[str, Any]) -> dict[str, Any]:
    """Read every property to its end that a page object may cut."""
    properties = {}
    for name, value in page["properties"].items():
        kind = value["type"]
        if kind in COMPLETED:
            items = asker.get(f"/pages/{page['id']}/properties/{value['id']}").json()
            assert not items["has_more"]
            value = {**value, kind: [item[kind] for item in items["results"]]}
            value |= {"has_more": False} if kind == "relation" else {}
        properties[name] = value
    return {**page, "properties": properties}


@pytest.mark.parametrize("version", [DATA_SOURCES, LATEST])
def test_reading_everything_over_the_socket_gives_the_snapshot(version: str) -> None:
    world = generated_world(pages=12)
    projects, tasks, *_ = world.data_sources.values()
    big = next(iter(projects.page_ids))
    world.edit_page(big, {"Tasks": [world.add_page(tasks.id, {"Name": str(number)}).id for number in range(30)]})
    world.trash_page(next(iter(tasks.page_ids)))
    read: dict[str, Any] = {}
    with SimulatedNotion(world, limits=UNLIMITED) as notion, Asker(notion, version=version) as asker:
        for source in world.data_sources:
            rows = [row for page in asker.pages(source, page_size=7) for row in page["results"]]
            read[source] = {
                "data_source": asker.shown(f"/data_sources/{source}"),
                "pages": {row["id"]: _whole(asker, row) for row in rows if row["object"] == "page"},
                "child_data_sources": [row["id"] for row in rows if row["object"] == "data_source"],
            }
    assert normalised(read) == world.snapshot(version=version)


def test_a_snapshot_can_leave_values_as_page_objects_cut_them() -> None:
    world = generated_world(sources=2, pages=2)
    projects, tasks = world.data_sources.values()
    project = next(iter(projects.page_ids))
    world.edit_page(project, {"Tasks": [world.add_page(tasks.id, {"Name": str(number)}).id for number in range(30)]})
    cut = world.snapshot(complete=frozenset())[projects.id]["pages"][project]["properties"]["Tasks"]
    whole = world.snapshot(complete=frozenset({"relation"}))[projects.id]["pages"][project]["properties"]["Tasks"]
    assert (len(cut["relation"]), cut["has_more"]) == (25, True)
    assert (len(whole["relation"]), whole["has_more"]) == (30, False)


def test_a_snapshot_does_not_change_with_the_world() -> None:
    world = generated_world(sources=1, pages=2)
    (source,) = world.data_sources
    before = world.snapshot()
    world.edit_page(next(iter(before[source]["pages"])), {"Budget": 1})
    assert world.snapshot() != before
