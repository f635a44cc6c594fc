"""A check costs one request a table, tells a quiet table from an edited one, and loses nothing at any boundary."""

from datetime import datetime, timedelta, timezone

import pytest

from dandi_pipeline.platforms.airtable.reading import GRIDS, Mark
from dandi_pipeline_tests.platforms.airtable.rig import ALIAS, NOON, Rig, small_world
from dandi_pipeline_tests.simulators.airtable import UNLIMITED, SimulatedAirtable

HOUR = 3600.0

LAST_BOUND = (
    datetime(1970, 1, 1, tzinfo=timezone.utc)
    + (NOON - datetime(1970, 1, 1, tzinfo=timezone.utc)) // (GRIDS[0]) * GRIDS[0]
)
"""Since when tables are asked that have few changes; the next such moment is thirty days later."""


def since(rig: Rig, name: str) -> datetime | None:
    """Return the moment from which on the mirror would ask a table for changes."""
    (row,) = rig.select("SELECT token FROM partitions WHERE partition = :key", key=rig.key(name))
    mark = Mark.of_token(row[0])
    assert mark is not None
    return mark.since


def edit(rig: Rig, number: int, text: str) -> None:
    rig.world.edit_record(rig.table("Sessions"), rig.records("Sessions")[number], {"Notes": text})


def test_a_check_of_quiet_tables_costs_one_request_a_base_and_one_a_table(rig: Rig) -> None:
    rig.sync()
    rig.world.clock.advance(3 * HOUR)
    rig.requests()
    assert rig.stale() == ()
    assert rig.requests() == 1 + 3


def test_an_edit_makes_its_table_stale_and_costs_one_request_more(rig: Rig) -> None:
    rig.sync()
    rig.world.clock.advance(HOUR)
    edit(rig, 3, "seen")
    rig.requests()
    assert rig.stale() == (rig.key("Sessions"),)
    checked = rig.requests()
    (report,) = rig.sync().values()
    assert rig.requests() == checked + 1
    assert (report.tallies["record"].checked, report.tallies["record"].updated) == (1, 1)


def test_a_record_edited_twice_is_told_from_one_edited_once(rig: Rig) -> None:
    rig.sync()
    edit(rig, 3, "once")
    rig.sync()
    edit(rig, 3, "twice")
    assert rig.stale() == (rig.key("Sessions"),)
    rig.sync()
    assert rig.differences() == []


def test_what_changes_between_a_check_and_its_reading_stays_stale(rig: Rig, airtable: SimulatedAirtable) -> None:
    rig.sync()
    edit(rig, 0, "before the check")
    asked = iter(range(100))

    def edit_after_the_check(kind: str, query: object) -> None:
        if kind == "records" and next(asked) == 3:
            edit(rig, 1, "after the check")

    airtable.before_response = edit_after_the_check
    rig.sync()
    airtable.before_response = None
    assert rig.stale() == (rig.key("Sessions"),)
    rig.sync()
    assert rig.differences() == []
    assert rig.stale() == ()


@pytest.mark.parametrize("pause", [1, 599, 601, 4000])
@pytest.mark.parametrize("offset", [-601.0, -1.0, 0.0, 0.4, 1.0, 599.0, 601.0])
def test_no_edit_is_lost_around_a_bound(rig: Rig, offset: float, pause: float) -> None:
    """Stamps are cut to whole seconds, and comparisons are strict: an edit on the bound itself is not after it."""
    bound = LAST_BOUND + GRIDS[0]
    rig.world.clock.set(bound - timedelta(hours=2))
    rig.sync()
    rig.world.clock.set(bound + timedelta(seconds=offset))
    edit(rig, 3, "on the bound")
    rig.world.clock.advance(0.3)
    rig.sync()
    assert rig.differences() == []
    edit(rig, 3, "and again")
    rig.world.clock.advance(pause)
    rig.sync()
    assert rig.differences() == []
    edit(rig, 4, "and another")
    rig.world.clock.advance(pause)
    rig.sync()
    assert rig.differences() == []


@pytest.mark.parametrize("lag", [1, 300, 590])
def test_an_edit_that_shows_late_is_not_lost(rig: Rig, lag: float) -> None:
    """It bears a stamp from before the last sync, which could not see it."""
    bound = LAST_BOUND + GRIDS[0]
    for synced in (bound + rig.overlap + timedelta(seconds=second) for second in (-1, 0, 1, 5)):
        rig.world.clock.set(synced)
        rig.sync()
        rig.world.clock.set(synced - timedelta(seconds=lag))
        edit(rig, 3, f"shown only after {synced}")
        rig.world.clock.set(synced + timedelta(seconds=1))
        rig.sync()
        assert rig.differences() == []


@pytest.mark.parametrize("year", [2025, 2040])
def test_no_clock_but_the_servers_counts(rig: Rig, year: int) -> None:
    rig.world.clock.set(NOON.replace(year=year, month=12))
    rig.sync()
    for minutes in (1, 30, 300):
        edit(rig, 3, f"after {minutes} minutes")
        assert rig.stale() == (rig.key("Sessions"),)
        rig.sync()
        assert rig.differences() == []
        rig.world.clock.advance(60 * minutes)
        assert rig.stale() == ()


def test_the_bound_moves_on_with_a_table_that_stays_fresh(rig: Rig) -> None:
    rig.sync()
    assert since(rig, "Sessions") == LAST_BOUND
    rig.world.clock.set(LAST_BOUND + GRIDS[0] + timedelta(hours=1))
    reports = rig.sync()
    assert {report.tallies["record"].checked for report in reports.values()} == {0}
    assert since(rig, "Sessions") == LAST_BOUND + GRIDS[0]
    assert rig.stale() == ()


def test_the_bound_comes_nearer_as_changes_fill_a_page(rig: Rig) -> None:
    rig.page_size = 5
    for number in range(6):
        edit(rig, number, "a day ago")
    rig.world.clock.advance(24 * HOUR)
    rig.sync()
    assert since(rig, "Sessions") == datetime(2026, 11, 23, tzinfo=timezone.utc)
    rig.requests()
    assert rig.stale() == ()
    assert rig.requests() == 1 + 3 + 1


def test_a_table_with_more_changes_than_fit_a_page_is_fresh_once_read(rig: Rig) -> None:
    rig.page_size = 5
    for number in range(12):
        edit(rig, number, "just now")
    rig.sync()
    assert since(rig, "Sessions") == datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
    assert rig.stale() == ()
    for number in range(12):
        edit(rig, number, "even later")
        assert rig.stale() == (rig.key("Sessions"),)
        rig.sync()
    assert rig.differences() == []


def test_a_sync_of_what_changed_since_a_moment_leaves_quiet_tables_out(rig: Rig) -> None:
    edit(rig, 3, "recent")
    assert set(rig.sync(since=NOON - timedelta(days=1))) == {rig.key("Sessions")}
    assert set(rig.sync(since=LAST_BOUND)) == {rig.key("Labs"), rig.key("Subjects")}


@pytest.mark.parametrize("blank", [True, False])
def test_records_that_nobody_edited_are_followed_too(rig: Rig, blank: bool) -> None:
    rig.world.set_blank_when_never_edited(blank)
    rig.sync()
    rig.world.clock.advance(HOUR)
    rig.world.add_record(rig.table("Sessions"), {"Name": "Never edited"})
    rig.sync()
    assert rig.differences() == []


def test_what_only_looks_different_makes_no_table_stale(rig: Rig) -> None:
    """Attachments have another address at each reading, and formulas other values at any time."""
    for record in rig.records("Sessions"):
        rig.world.edit_record(rig.table("Sessions"), record, {"Notes": "recent"})
    rig.sync()
    for record in rig.records("Sessions"):
        rig.world.recompute(rig.table("Sessions"), record, "Cost per trial", 3.25)
    assert rig.stale() == ()


class TestFiltersThatDoNotWork:
    """A filter that lets every record through costs requests; it never costs a change."""

    def test_a_small_table_is_followed_all_the_same(self, rig: Rig) -> None:
        rig.world.misfilter(rig.table("Sessions"))
        rig.sync()
        rig.requests()
        assert rig.stale() == ()
        assert rig.requests() == 1 + 3
        edit(rig, 3, "seen")
        rig.sync()
        assert rig.differences() == []

    def test_a_large_table_is_left_to_the_sweep(self, rig: Rig) -> None:
        rig.page_size = 5
        rig.world.misfilter(rig.table("Sessions"))
        reports = rig.sync()
        assert since(rig, "Sessions") is None
        assert "all records" in reports[rig.key("Sessions")].plan
        edit(rig, 3, "found by the sweep")
        rig.requests()
        assert rig.stale() == ()
        assert rig.requests() == 1 + 3 + 3
        rig.sweep()
        assert rig.differences() == []

    def test_a_table_is_read_whole_when_its_filter_stops_working(self, rig: Rig) -> None:
        rig.page_size = 5
        rig.sync()
        rig.world.clock.advance(HOUR)
        edit(rig, 3, "edited")
        rig.world.delete_record(rig.table("Sessions"), rig.records("Sessions")[0])
        rig.world.misfilter(rig.table("Sessions"))
        rig.sync()
        assert rig.differences() == []

    def test_a_table_is_followed_again_once_its_filter_works(self, rig: Rig) -> None:
        rig.page_size = 5
        rig.world.misfilter(rig.table("Sessions"))
        rig.sync()
        edit(rig, 3, "edited while no filter worked")
        rig.world.misfilter(rig.table("Sessions"), on=False)
        rig.sync()
        assert rig.differences() == []
        edit(rig, 4, "edited afterwards")
        assert rig.stale() == (rig.key("Sessions"),)

    def test_a_table_that_refuses_the_filter_is_read_whole(self, rig: Rig, airtable: SimulatedAirtable) -> None:
        refused = {"status": 422, "type": "INVALID_FILTER_BY_FORMULA", "kind": "records", "nth": 1}
        airtable.faults.add("status", path=rig.table("Sessions"), **refused)
        reports = rig.sync()
        assert "cannot be filtered" in reports[rig.key("Sessions")].plan
        assert rig.differences() == []


def test_a_busy_table_is_told_from_one_whose_filter_does_not_work(sqlite_url: str) -> None:
    with SimulatedAirtable(small_world(records=30), limits=UNLIMITED) as airtable:
        rig = Rig(sqlite_url, airtable, page_size=5)
        for number in range(25):
            edit(rig, number, "a large import")
        rig.sync()
        assert since(rig, "Sessions") is not None
        assert since(rig, "Subjects") == LAST_BOUND


def test_tokens_are_read_as_they_are_written(rig: Rig) -> None:
    rig.sync()
    for (token,) in rig.select("SELECT token FROM partitions WHERE source = :alias", alias=ALIAS):
        assert str(Mark.of_token(token)) == token


@pytest.mark.parametrize("token", [None, "", "hidden"])
def test_other_tokens_are_no_marks(token: str | None) -> None:
    assert Mark.of_token(token) is None
