"""A sweep shows every page that there is and no other, past the cap, past cursors, past what changes meanwhile."""

from collections.abc import Mapping
from hashlib import sha256

import pytest

from dandi_pipeline.errors import ContractError, TornRead
from dandi_pipeline.sync.report import Outcome
from dandi_pipeline_tests.platforms.notion.rig import Rig
from dandi_pipeline_tests.simulators.notion import SimulatedNotion, World


@pytest.fixture
def rig(rig: Rig) -> Rig:
    rig.page_size = 10
    return rig


@pytest.fixture
def plain(world: World, rig: Rig) -> str:
    """The one data source that is mirrored; empty yet."""
    source = world.add_data_source("Plain", properties={"Amount": "number"}).id
    rig.databases, rig.data_sources = [], [source]
    return source


def _fill(world: World, source: str, count: int, *, seconds: float = 0) -> list[str]:
    made = []
    for number in range(count):
        made.append(world.add_page(source, {"Name": f"page {number}"}).id)
        world.clock.advance(seconds)
    return made


def _held(rig: Rig, source: str) -> set[str]:
    return set(rig.pages().get(source, {}))


def _during(notion: SimulatedNotion, number: int, change: object) -> None:
    """Let `change()` happen before the answer to the query with this number, counted from now."""
    queries = 0

    def hook(kind: str, params: Mapping[str, str]) -> None:
        nonlocal queries
        queries += kind == "query"
        if kind == "query" and queries == number:
            change()  # type: ignore[operator]

    notion.before_response = hook


@pytest.mark.parametrize("cursors", ["snapshot", "live"])
@pytest.mark.parametrize("seconds", [0.1, 7, 61])
def test_more_pages_than_a_query_shows_are_read(
    rig: Rig, world: World, notion: SimulatedNotion, plain: str, seconds: float, cursors: str
) -> None:
    notion.behaviour.cursors, notion.behaviour.short_pages = cursors, 0.3
    pages = _fill(world, plain, 95, seconds=seconds)
    notion.behaviour.row_cap = 100 if seconds < 1 else 20
    rig.sync()
    assert _held(rig, plain) == set(pages)
    rig.sweep()
    assert _held(rig, plain) == set(pages)


def test_pages_made_one_by_one_are_read_once(rig: Rig, world: World, plain: str) -> None:
    _fill(world, plain, 91, seconds=61)
    rig.sync()
    assert rig.asked()["query"] == 1 + 10, "one look at the newest edit, then nine new pages a query, and one again"


def test_more_pages_in_one_minute_than_a_query_shows_are_an_error_and_delete_nothing(
    rig: Rig, world: World, notion: SimulatedNotion, plain: str
) -> None:
    pages = _fill(world, plain, 30)
    rig.sync()
    notion.behaviour.row_cap = 20
    report = rig.sweep()[plain]
    assert report.outcome is Outcome.FAILED
    assert isinstance(report.error, ContractError)
    assert "more than 20 pages were created in the minute 2026-11-20T10:14:00.000Z" in str(report.error)
    assert _held(rig, plain) == set(pages)


def test_an_incremental_reading_is_windowed_too(rig: Rig, world: World, notion: SimulatedNotion, plain: str) -> None:
    rig.sync()
    pages = _fill(world, plain, 60, seconds=30)
    rig.sync()
    notion.behaviour.row_cap = 15
    for page in pages:
        world.edit_page(page, {"Amount": 7})
    rig.sync()
    assert rig.differences_of(plain) == []


@pytest.mark.parametrize("cursors", ["snapshot", "live"])
def test_a_page_trashed_in_front_of_the_walk_lets_no_other_slip_through(
    rig: Rig, world: World, notion: SimulatedNotion, plain: str, cursors: str
) -> None:
    notion.behaviour.cursors = cursors
    pages = _fill(world, plain, 40, seconds=61)
    _during(notion, 4, lambda: [world.trash_page(page) for page in pages[:3]])
    rig.sync()
    notion.before_response = None
    assert _held(rig, plain) >= set(pages[3:])
    rig.sweep()
    assert _held(rig, plain) == set(pages[3:])


def _trash_first(world: World, source: str) -> str:
    """Trash the page that comes first among those of one minute, which live cursors then lose one place for."""
    first = min(world.data_sources[source].page_ids, key=lambda page: sha256(page.encode()).digest())
    world.trash_page(first)
    return first


def test_a_known_page_that_slips_through_a_cursor_is_not_deleted(
    rig: Rig, world: World, notion: SimulatedNotion, plain: str
) -> None:
    """Within one minute only cursors lead on, and these may be positions."""
    notion.behaviour.cursors = "live"
    pages = _fill(world, plain, 40)
    world.clock.advance(86_400)
    pages += _fill(world, plain, 1)
    rig.sync()
    rig.settle()
    trashed: list[str] = []
    _during(notion, 4, lambda: trashed.append(_trash_first(world, plain)))
    rig.sweep()
    notion.before_response = None
    assert _held(rig, plain) >= set(pages) - set(trashed)
    rig.sweep()
    assert _held(rig, plain) == set(pages) - set(trashed)
    assert rig.deleted() == set(trashed)


def test_a_new_page_that_slips_through_a_cursor_is_found_at_once(
    rig: Rig, world: World, notion: SimulatedNotion, plain: str
) -> None:
    notion.behaviour.cursors = "live"
    pages = _fill(world, plain, 40)
    trashed: list[str] = []
    _during(notion, 4, lambda: trashed.append(_trash_first(world, plain)))
    rig.sync()
    notion.before_response = None
    assert _held(rig, plain) >= set(pages) - set(trashed)


@pytest.mark.parametrize("full", [False, True])
def test_an_edit_that_slips_through_a_cursor_is_found_at_once(
    rig: Rig, world: World, notion: SimulatedNotion, plain: str, full: bool
) -> None:
    notion.behaviour.cursors = "live"
    pages = _fill(world, plain, 40)
    rig.sync()
    rig.settle()
    for page in pages:
        world.edit_page(page, {"Amount": 7})
    trashed: list[str] = []
    _during(notion, 4, lambda: trashed.append(_trash_first(world, plain)))
    rig.sync(full=full)
    notion.before_response = None
    held = rig.pages()[plain]
    assert {held[page]["properties"]["Amount"]["number"] for page in set(pages) - set(trashed)} == {7}


@pytest.mark.parametrize("gone", [2, 35])
def test_gone_pages_cost_a_question_each_or_another_walk_whichever_is_less(
    rig: Rig, world: World, plain: str, gone: int
) -> None:
    pages = _fill(world, plain, 60, seconds=61)
    rig.sync()
    rig.settle()
    for page in pages[:gone]:
        world.trash_page(page)
    rig.asked()
    rig.sweep()
    assert _held(rig, plain) == set(pages[gone:])
    asked = rig.asked()
    walk = -(-(60 - gone) // 10)
    if gone == 2:
        assert asked["page"] == 2
        assert asked["query"] <= 1 + walk + 1
    else:
        assert "page" not in asked
        assert asked["query"] <= 1 + 2 * (walk + 1)


def test_a_page_moved_to_another_data_source_is_gone_from_this_one(rig: Rig, world: World, plain: str) -> None:
    moved, *_ = _fill(world, plain, 12, seconds=61)
    other = world.add_data_source("Other").id
    rig.sync()
    with world.lock:
        del world.data_sources[plain].page_ids[moved]
        world.data_sources[other].page_ids[moved] = None
        world.pages[moved].data_source_id = other
    rig.sweep()
    assert moved not in _held(rig, plain)


def test_a_page_edited_while_it_is_shown_twice_counts_as_it_was_last(
    rig: Rig, world: World, notion: SimulatedNotion, plain: str
) -> None:
    notion.behaviour.cursors = "live"
    trashed = _fill(world, plain, 5, seconds=61)
    pages = _fill(world, plain, 30, seconds=61)
    for page in trashed:
        world.trash_page(page)

    def disturb() -> None:
        for page in trashed:
            world.restore_page(page)
        world.edit_page(pages[9], {"Amount": 42})

    _during(notion, 3, disturb)  # the check's query, the first page of rows up to pages[9], and then
    rig.sync()
    notion.before_response = None
    assert rig.pages()[plain][pages[9]]["properties"]["Amount"]["number"] == 42


def test_a_schema_that_changes_while_it_is_read_is_read_again(
    rig: Rig, world: World, notion: SimulatedNotion, plain: str
) -> None:
    _fill(world, plain, 30, seconds=61)
    _during(notion, 3, lambda: world.rename_property(plain, "Amount", "Sum"))
    reports = rig.sync()
    notion.before_response = None
    assert reports[plain].outcome is Outcome.SYNCED
    assert rig.differences_of(plain) == []


def test_a_schema_that_never_holds_still_leaves_the_partition_stale(
    rig: Rig, world: World, notion: SimulatedNotion, plain: str
) -> None:
    _fill(world, plain, 30, seconds=61)
    names = ["Amount", *(f"Amount {number}" for number in range(100))]

    def rename(kind: str, params: Mapping[str, str]) -> None:
        if kind == "query":
            world.rename_property(plain, names[0], names[1])
            del names[0]

    notion.before_response = rename
    report = rig.sync()[plain]
    notion.before_response = None
    assert report.outcome is Outcome.INCOMPLETE
    assert report.warning.startswith("still changing")
    assert rig.stale() == (plain,)
    rig.sync()
    assert rig.differences_of(plain) == []


@pytest.mark.parametrize("seconds", [0, 20])
def test_a_refused_cursor_begins_the_query_again(
    rig: Rig, world: World, notion: SimulatedNotion, plain: str, seconds: float
) -> None:
    pages = _fill(world, plain, 60, seconds=seconds)
    _during(notion, 4, notion.expire_cursors)
    rig.sync()
    notion.before_response = None
    assert _held(rig, plain) == set(pages)
    assert rig.sweep()[plain].tallies["page"].changed == 0


def test_cursors_refused_for_ever_leave_the_partition_as_it_was(
    rig: Rig, world: World, notion: SimulatedNotion, plain: str
) -> None:
    pages = _fill(world, plain, 60)
    rig.sync()
    notion.before_response = lambda kind, params: notion.expire_cursors()
    report = rig.sweep()[plain]
    notion.before_response = None
    assert isinstance(report.error, TornRead)
    assert _held(rig, plain) == set(pages)
    assert rig.stale() == (plain,)


def test_a_limit_cuts_the_reading_short_and_leaves_the_partition_stale(rig: Rig, world: World, plain: str) -> None:
    pages = _fill(world, plain, 60, seconds=61)
    report = rig.sync(max_records=25)[plain]
    assert report.outcome is Outcome.INCOMPLETE
    assert len(_held(rig, plain)) == 25
    rig.sync()
    assert _held(rig, plain) == set(pages)
    rig.sync(max_records=25, full=True)
    assert _held(rig, plain) == set(pages), "what was not read is not gone"


def test_a_limit_that_is_not_reached_changes_nothing(rig: Rig, world: World, plain: str) -> None:
    _fill(world, plain, 25, seconds=61)
    assert rig.sync(max_records=25)[plain].outcome is Outcome.SYNCED
