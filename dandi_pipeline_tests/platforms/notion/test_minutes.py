"""Nothing is lost to Notion's whole minutes, by the server's clock alone."""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

import pytest

from dandi_pipeline.platforms.notion.reading import parse_token, token_of
from dandi_pipeline_tests.platforms.notion.conftest import NOW
from dandi_pipeline_tests.platforms.notion.rig import OVERLAP, Rig
from dandi_pipeline_tests.simulators.notion import SimulatedNotion, World


@pytest.fixture
def page(world: World, ids: dict[str, str]) -> str:
    return next(iter(world.data_sources[ids["Tasks"]].page_ids))


def _at(world: World, minute: int, second: int) -> None:
    world.clock.set(NOW.replace(minute=minute, second=second))


def test_an_edit_in_the_minute_of_the_last_sync_is_found(rig: Rig, world: World, page: str) -> None:
    _at(world, 20, 10)
    world.edit_page(page, {"Estimate": 1})
    _at(world, 20, 20)
    rig.sync()
    _at(world, 20, 30)
    world.edit_page(page, {"Estimate": 2})
    rig.sync()
    assert [difference for difference in rig.differences() if not difference.untimed] == []


def test_an_edit_in_the_second_of_the_last_sync_is_found(rig: Rig, world: World, page: str) -> None:
    _at(world, 20, 20)
    for estimate in (1, 2, 3):
        world.edit_page(page, {"Estimate": estimate})
        rig.sync()
        assert [difference for difference in rig.differences() if not difference.untimed] == []
    assert world.clock.now().second == 20


def test_an_edit_in_the_minute_of_the_last_sync_is_found_after_that_minute(rig: Rig, world: World, page: str) -> None:
    _at(world, 20, 20)
    world.edit_page(page, {"Estimate": 1})
    rig.sync()
    _at(world, 20, 59)
    world.edit_page(page, {"Estimate": 2})
    _at(world, 50, 0)
    rig.sync()
    assert [difference for difference in rig.differences() if not difference.untimed] == []


def test_edits_count_as_moving_until_the_overlap_has_passed(rig: Rig, world: World, ids: dict[str, str]) -> None:
    rig.sync()
    assert rig.stale() == (), "what was edited months ago is settled at once"
    _at(world, 20, 50)
    world.add_page(ids["Done tasks"], {"Name": "New"})
    rig.sync()
    assert rig.stale() == (ids["Done tasks"],)
    world.clock.set(NOW.replace(minute=20, second=0) + OVERLAP - timedelta(seconds=1))
    rig.sync()
    assert rig.stale() == (ids["Done tasks"],)
    world.clock.set(NOW.replace(minute=20, second=0) + OVERLAP)
    assert rig.stale() == (ids["Done tasks"],), "what was stored while it moved is read once more"
    rig.sync()
    assert rig.stale() == ()


def test_an_edit_that_queries_show_late_is_found(rig: Rig, world: World, page: str, ids: dict[str, str]) -> None:
    """It is dated before the newest edit of the last check, as if the index had lagged behind."""
    rig.sync()
    _at(world, 30, 20)
    world.add_page(ids["Tasks"], {"Name": "Newest"})
    rig.sync()
    _at(world, 28, 30)
    world.edit_page(page, {"Estimate": 77})
    _at(world, 31, 0)
    rig.sync()
    assert [difference for difference in rig.differences() if not difference.untimed] == []


def test_nothing_is_lost_to_a_reading_that_takes_longer_than_the_overlap(
    rig: Rig, world: World, notion: SimulatedNotion, ids: dict[str, str]
) -> None:
    rig.page_size = 5
    rig.sync()
    early, *_, late = world.data_sources[ids["Tasks"]].page_ids
    world.rename_property(ids["Tasks"], "Estimate", "Guess")
    queries = 0

    def edit(kind: str, params: Mapping[str, str]) -> None:
        nonlocal queries
        if kind == "query" and params["id"] == ids["Tasks"]:
            queries += 1
            world.clock.advance(600)
            if queries == 3:  # the check's own, the first page of rows, and now the second
                world.edit_page(early, {"Guess": 1234})
            if queries == 4:
                world.edit_page(late, {"Guess": 5678})

    notion.before_response = edit
    rig.sync()
    notion.before_response = None
    assert queries >= 4, "the reading was to have several pages"
    rig.sync()
    assert [difference for difference in rig.differences() if not difference.untimed] == []


def test_only_the_servers_clock_counts(rig: Rig, world: World, page: str) -> None:
    """The simulated server is decades ahead of this machine."""
    world.clock.set(datetime(2063, 4, 5, 23, 59, 50, tzinfo=timezone.utc))
    world.edit_page(page, {"Estimate": 1})
    rig.sync()
    world.edit_page(page, {"Estimate": 2})
    rig.sync()
    assert [difference for difference in rig.differences() if not difference.untimed] == []
    world.clock.advance(OVERLAP.total_seconds())
    rig.sync()
    assert rig.stale() == ()


def _token(newest: str | None, date: datetime | None) -> str:
    return str(token_of({"properties": {}}, newest, server_date=date, overlap=OVERLAP))


def test_without_a_date_nothing_is_settled() -> None:
    assert _token("2026-01-01T00:00:00.000000Z", None).endswith("moving")
    assert _token("2026-01-01T00:00:00.000000Z", NOW).endswith("settled")


def test_what_is_stored_while_a_data_source_moves_equals_no_check() -> None:
    token = token_of({"properties": {}}, "2026-11-20T10:14:00.000000Z", server_date=NOW, overlap=OVERLAP)
    assert token.stored != str(token)
    assert parse_token(token.stored) == token
    assert parse_token(str(token)) is None


@pytest.mark.parametrize("stored", [None, "", "hidden", "a b c d", "one two three"])
def test_what_is_no_token_is_no_watermark(stored: str | None) -> None:
    assert parse_token(stored) is None


def test_the_token_tells_what_shapes_rows_from_what_does_not() -> None:
    name = {"title": [], "properties": {"A": {"id": "a", "type": "number"}}}
    before = token_of(name, None, server_date=NOW, overlap=OVERLAP)
    titled = token_of({**name, "title": ["x"]}, None, server_date=NOW, overlap=OVERLAP)
    retyped = token_of(
        {**name, "properties": {"A": {"id": "a", "type": "date"}}}, None, server_date=NOW, overlap=OVERLAP
    )
    assert (titled.rows == before.rows, titled.rest == before.rest) == (True, False)
    assert (retyped.rows == before.rows, retyped.rest == before.rest) == (False, True)
