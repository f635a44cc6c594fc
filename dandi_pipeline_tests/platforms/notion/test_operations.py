"""Whatever is done in a workspace, the mirror follows: at the next sync, or where no time moves at the next sweep."""

from collections.abc import Callable

import pytest

from dandi_pipeline_tests.platforms.notion.rig import Rig
from dandi_pipeline_tests.simulators.notion import World

Ids = dict[str, str]
Operation = Callable[[World, Ids], object]


def _first(world: World, source_id: str) -> str:
    return next(iter(world.data_sources[source_id].page_ids))


def _task(world: World, ids: Ids) -> str:
    return _first(world, ids["Tasks"])


def _edit(**properties: object) -> Operation:
    return lambda world, ids: world.edit_page(_task(world, ids), properties)


SEEN: dict[str, Operation] = {
    "a new page": lambda world, ids: world.add_page(ids["Tasks"], {"Name": "New", "Estimate": 2}),
    "another title": _edit(Name="Renamed"),
    "another number": _edit(Estimate=13),
    "an emptied value": _edit(Estimate=None, Due=None, Tags=[]),
    "a new option": _edit(Kind="Idea"),
    "another icon": lambda world, ids: world.edit_page(_task(world, ids), emoji="🐞"),
    "a restored and edited page": lambda world, ids: (
        world.trash_page(_task(world, ids)),
        world.restore_page(_task(world, ids)),
        world.edit_page(_task(world, ids), {"Estimate": 99}),
    ),
    "a renamed data source": lambda world, ids: world.rename_data_source(ids["Tasks"], "Chores"),
    "a new property": lambda world, ids: world.add_property(ids["Tasks"], "Weight", "number"),
    "a renamed property": lambda world, ids: world.rename_property(ids["Tasks"], "Estimate", "Guess"),
    "a retyped property": lambda world, ids: world.retype_property(ids["Tasks"], "Estimate", "rich_text"),
    "a removed property": lambda world, ids: world.remove_property(ids["Tasks"], "Estimate"),
    "a renamed option": lambda world, ids: world.rename_option(ids["Tasks"], "Stage", "Done", "Finished"),
    "a new data source": lambda world, ids: world.add_page(world.add_data_source("Ideas").id, {"Name": "First"}),
}

SWEPT: dict[str, Operation] = {
    "a page in the trash": lambda world, ids: world.trash_page(_task(world, ids)),
    "an archived page": lambda world, ids: world.archive_page(_task(world, ids)),
    "a deleted page": lambda world, ids: world.delete_page(_task(world, ids)),
    "an unshared page": lambda world, ids: world.unshare(_task(world, ids)),
    "a related page, whose other side and rollups change": lambda world, ids: world.edit_page(
        _task(world, ids), {"Project": [_first(world, ids["Projects"])], "Estimate": 21}
    ),
    "a summand of a rollup": lambda world, ids: world.edit_page(
        world.pages[_task(world, ids)].values[world.property_of(world.data_sources[ids["Tasks"]], "Project").id][0],
        {"Budget": 1_000_000},
    ),
}


@pytest.fixture
def settled(rig: Rig, world: World, ids: Ids) -> Rig:
    """A mirror that has everything, with nothing stale."""
    world.edit_page(_task(world, ids), {"Project": [_first(world, ids["Projects"])]})
    rig.sync()
    rig.settle()
    assert rig.sweep() is not None
    assert rig.differences() == []
    return rig


@pytest.mark.parametrize("operation", SEEN.values(), ids=SEEN.keys())
def test_the_next_sync_follows(settled: Rig, world: World, ids: Ids, operation: Operation) -> None:
    operation(world, ids)
    settled.sync()
    assert [difference for difference in settled.differences() if not difference.untimed] == []
    settled.sweep()
    assert settled.differences() == []


@pytest.mark.parametrize("operation", SWEPT.values(), ids=SWEPT.keys())
def test_the_next_sweep_follows_what_moves_no_time(settled: Rig, world: World, ids: Ids, operation: Operation) -> None:
    operation(world, ids)
    settled.sync()
    found = settled.differences()
    assert found, "this operation belongs to those that any sync sees"
    assert [difference for difference in found if not difference.untimed] == []
    settled.sweep()
    assert settled.differences() == []


def test_a_page_that_comes_back_is_found_by_the_sweep(settled: Rig, world: World, ids: Ids) -> None:
    page = next(iter(world.data_sources[ids["Notes 1"]].page_ids))
    world.trash_page(page)
    settled.sweep()
    world.restore_page(page)
    settled.sync()
    assert [(difference.page, difference.what) for difference in settled.differences()] == [(page, "missing")]
    settled.sweep()
    assert settled.differences() == []


def test_a_sync_that_finds_nothing_new_writes_nothing(settled: Rig, world: World, ids: Ids) -> None:
    before = settled.changes()
    settled.sweep()
    world.clock.advance(7200)
    settled.sweep()
    assert settled.changes() == before, "neither signed addresses nor a second reading are changes"


def test_the_change_feed_tells_what_was_edited_and_what_is_gone(settled: Rig, world: World, ids: Ids) -> None:
    before = len(settled.changes())
    edited, trashed = list(world.data_sources[ids["Notes 1"]].page_ids)[:2]
    world.edit_page(edited, {"Text": "Changed."})
    world.trash_page(trashed)
    settled.sweep()
    assert settled.changes()[before:] == [("delete", "page", trashed), ("update", "page", edited)] or settled.changes()[
        before:
    ] == [("update", "page", edited), ("delete", "page", trashed)]


CHANGES_OF_A_PROPERTY: dict[str, Operation] = {
    "removed": lambda world, ids: world.remove_property(ids["Tasks"], "Estimate"),
    "made a date": lambda world, ids: world.retype_property(ids["Tasks"], "Estimate", "date"),
    "made a text": lambda world, ids: world.retype_property(ids["Tasks"], "Estimate", "rich_text"),
    "renamed": lambda world, ids: world.rename_property(ids["Tasks"], "Estimate", "Guess"),
}


@pytest.mark.parametrize("change", CHANGES_OF_A_PROPERTY.values(), ids=CHANGES_OF_A_PROPERTY.keys())
def test_what_a_property_held_stays_readable_in_the_change_feed(
    settled: Rig, world: World, ids: Ids, change: Operation
) -> None:
    page = _task(world, ids)
    world.edit_page(page, {"Estimate": 4711})
    settled.settle()
    change(world, ids)
    settled.sync()
    assert settled.differences_of(ids["Tasks"]) == []
    *_, (before,) = settled.select(
        "SELECT before FROM changes WHERE record = 'page' AND key LIKE :page ORDER BY sequence", page=f"%{page}%"
    )
    assert "4711" in str(before)


def test_an_edit_costs_what_it_costs_and_not_the_whole_data_source(settled: Rig, world: World, ids: Ids) -> None:
    for number in range(300):
        world.add_page(ids["Done tasks"], {"Name": str(number)})
        world.clock.advance(61)
    settled.sync()
    settled.settle()
    world.edit_page(_first(world, ids["Done tasks"]), {"Closed": "2026-11-20"})
    settled.asked()
    reports = settled.sync()
    assert list(reports) == [ids["Done tasks"]]
    assert reports[ids["Done tasks"]].tallies["page"].updated == 1
    databases, sources = len(world.databases), len(world.data_sources)
    assert settled.asked() == {"database": databases, "data_source": sources + 1, "query": sources + 1}


def test_a_new_property_of_a_wiki_reads_its_pages_and_not_the_data_sources_among_them(
    settled: Rig, world: World, ids: Ids
) -> None:
    assert ids["Projects"] in world.data_sources[ids["Notes 1"]].child_ids
    world.add_property(ids["Notes 1"], "Mood", "rich_text")
    settled.sync()
    assert settled.pages()[ids["Notes 1"]].keys() == set(world.data_sources[ids["Notes 1"]].page_ids)
