"""Readings that are interrupted, cut short or overtaken; and what a reading makes of cells."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import orjson
import pytest

from dandi_pipeline.errors import UnexpectedPayload
from dandi_pipeline.sync.report import Outcome
from dandi_pipeline_tests.platforms.airtable.rig import Rig, small_world
from dandi_pipeline_tests.simulators.airtable import UNLIMITED, SimulatedAirtable


class TestIterators:
    """The server may forget a list in the making at any time."""

    @pytest.fixture
    def rig(self, sqlite_url: str, airtable: SimulatedAirtable) -> Rig:
        return Rig(sqlite_url, airtable, page_size=4)

    def test_a_list_that_expires_is_begun_anew(self, rig: Rig, airtable: SimulatedAirtable) -> None:
        pages = iter(range(100))

        def expire_once(kind: str, query: Mapping[str, str]) -> None:
            if kind == "records" and next(pages) == 5:
                airtable.iterators.forget_all()

        airtable.before_response = expire_once
        reports = rig.sync()
        assert 422 in airtable.requests.by_status
        assert {report.outcome for report in reports.values()} == {Outcome.SYNCED}
        assert rig.differences() == []

    def test_a_list_that_expires_for_want_of_requests_is_begun_anew(
        self, rig: Rig, airtable: SimulatedAirtable
    ) -> None:
        pages = iter(range(100))

        def dawdle_once(kind: str, query: Mapping[str, str]) -> None:
            if kind == "records" and next(pages) == 6:
                rig.world.clock.advance(timedelta(minutes=20).total_seconds())

        airtable.before_response = dawdle_once
        rig.sync()
        assert 422 in airtable.requests.by_status
        assert rig.differences() == []

    def test_a_list_that_always_expires_is_given_up(self, rig: Rig, airtable: SimulatedAirtable) -> None:
        airtable.before_response = lambda kind, query: airtable.iterators.forget_all()
        reports = rig.sync()
        failed = reports[rig.key("Sessions")]
        assert failed.error is not None
        assert (failed.error.group, failed.outcome) == ("transient", Outcome.INCOMPLETE)
        assert "expired" in str(failed.error)
        assert rig.requests() < 60
        airtable.before_response = None
        assert rig.key("Sessions") in rig.stale()
        rig.sync()
        assert rig.differences() == []

    @pytest.mark.parametrize("shape", ["word", "typed", "worded", "listed"])
    @pytest.mark.parametrize("type", ["LIST_RECORDS_ITERATOR_NOT_AVAILABLE", "INVALID_OFFSET_VALUE"])
    def test_expiry_is_known_by_each_shape_of_error(
        self, rig: Rig, airtable: SimulatedAirtable, type: str, shape: str
    ) -> None:
        airtable.faults.add("status", status=422, type=type, shape=shape, kind="records", nth=6)
        reports = rig.sync()
        assert not any(report.error for report in reports.values())
        assert rig.differences() == []


def test_a_record_deleted_while_pages_turn_goes_with_the_next_sweep(rig: Rig, airtable: SimulatedAirtable) -> None:
    rig.sync()
    rig.page_size = 4
    pages = iter(range(100))

    def delete_one(kind: str, query: Mapping[str, str]) -> None:
        if kind == "records" and next(pages) == 8:
            rig.world.delete_record(rig.table("Sessions"), rig.records("Sessions")[0])

    airtable.before_response = delete_one
    rig.sweep()
    airtable.before_response = None
    assert all(difference.silent for difference in rig.differences())
    rig.sweep()
    assert rig.differences() == []


def test_a_field_removed_between_schema_and_check_is_followed(rig: Rig, airtable: SimulatedAirtable) -> None:
    rig.sync()
    asked = iter(range(100))

    def remove_a_field(kind: str, query: Mapping[str, str]) -> None:
        if kind == "records" and next(asked) == 0:
            for table in ("Sessions", "Subjects"):
                rig.world.remove_field(rig.table(table), "Notes")

    airtable.before_response = remove_a_field
    reports = rig.sync()
    airtable.before_response = None
    assert not any(report.error for report in reports.values())
    rig.sync()
    assert rig.differences() == []


def test_a_table_removed_between_schema_and_check_goes(rig: Rig, airtable: SimulatedAirtable) -> None:
    rig.sync()
    asked = iter(range(100))
    gone = rig.key("Subjects")

    def remove_the_table(kind: str, query: Mapping[str, str]) -> None:
        if kind == "records" and next(asked) == 0:
            rig.world.remove_table(gone.partition("/")[2])

    airtable.before_response = remove_the_table
    assert rig.sync()[gone].outcome is Outcome.REMOVED
    airtable.before_response = None
    assert rig.differences() == []


def test_a_reading_cut_short_stays_stale_and_deletes_nothing(rig: Rig) -> None:
    rig.sync()
    reports = rig.sync(full=True, max_records=5)
    cut = reports[rig.key("Sessions")]
    assert (cut.outcome, cut.tallies["record"].checked, cut.tallies["record"].deleted) == (Outcome.INCOMPLETE, 5, 0)
    assert reports[rig.key("Labs")].outcome is Outcome.SYNCED
    assert rig.differences() == []
    assert rig.stale() == tuple(sorted((rig.key("Sessions"), rig.key("Subjects"))))


def test_a_table_with_hundreds_of_fields_is_checked(sqlite_url: str) -> None:
    """Their ids alone would make an address longer than Airtable accepts."""
    world = small_world(tables=1)
    table = next(table.id for base in world.bases.values() for table in base.tables.values() if table.name != "Labs")
    for number in range(800):
        world.add_field(table, f"Channel {number}", "number")
    with SimulatedAirtable(world, limits=UNLIMITED) as airtable:
        rig = Rig(sqlite_url, airtable)
        rig.sync()
        assert rig.differences() == []
        assert rig.stale() == ()


def test_a_preview_writes_nothing_and_foresees_a_deletion(rig: Rig) -> None:
    rig.sync()
    rig.world.delete_record(rig.table("Sessions"), rig.records("Sessions")[0])
    preview = rig.preview(full=True)[rig.key("Sessions")]
    assert preview.tallies["record"].deleted == 1
    assert len(rig.differences()) == 1


def test_a_preview_of_an_edit_costs_what_its_sync_does(rig: Rig) -> None:
    rig.page_size = 4
    rig.sync()
    rig.world.edit_record(rig.table("Sessions"), rig.records("Sessions")[0], {"Notes": "edited"})
    rig.requests()
    preview = rig.preview()[rig.key("Sessions")]
    previewed = rig.requests()
    report = rig.sync()[rig.key("Sessions")]
    assert (preview.tallies["record"], preview.plan) == (report.tallies["record"], report.plan)
    assert report.tallies["record"].updated == 1
    assert previewed == rig.requests()


class TestInSql:
    """What a user of the mirror finds."""

    def test_an_empty_cell_is_null_and_an_unticked_checkbox_false(self, rig: Rig) -> None:
        rig.world.edit_record(rig.table("Sessions"), rig.records("Sessions")[0], {"Notes": None, "Reviewed": False})
        rig.sync()
        (record,) = rig.records("Sessions")[:1]
        assert rig.select('SELECT "Notes", "Reviewed" FROM lab_sessions WHERE record_id = :id', id=record) == [
            (None, False)
        ]

    @pytest.mark.parametrize("error", [{"error": "#ERROR!"}, {"specialValue": "NaN"}, {"specialValue": "Infinity"}])
    def test_a_formulas_error_is_null_and_kept_as_an_error(self, rig: Rig, error: Mapping[str, str]) -> None:
        table, (record,) = rig.table("Sessions"), rig.records("Sessions")[:1]
        rig.world.recompute(table, record, "Cost per trial", error)
        rig.sync()
        assert rig.select('SELECT "Cost per trial" FROM lab_sessions WHERE record_id = :id', id=record) == [(None,)]
        ((errors,),) = rig.select("SELECT errors FROM airtable_records WHERE record_id = :id", id=record)
        assert orjson.loads(errors)[rig.world.table(table).field("Cost per trial").id] == error

    def test_a_renamed_field_renames_its_column_and_rewrites_no_record(self, rig: Rig) -> None:
        rig.sync()
        rig.world.rename_field(rig.table("Sessions"), "Notes", "Observations")
        rig.requests()
        (report,) = rig.sync().values()
        assert rig.requests() == 1 + 3 + 1
        assert (report.tallies["schema"].updated, report.tallies["record"].checked) == (1, 0)
        rig.select('SELECT "Observations" FROM lab_sessions')

    @pytest.mark.parametrize("change", ["removed", "date"])
    def test_the_cells_of_a_field_removed_or_retyped_stay_readable_in_the_change_feed(
        self, rig: Rig, change: str
    ) -> None:
        table, (record,) = rig.table("Sessions"), rig.records("Sessions")[:1]
        rig.world.edit_record(table, record, {"Notes": "still to be read"})
        rig.sync()
        field = rig.world.table(table).field("Notes").id
        if change == "removed":
            rig.world.remove_field(table, "Notes")
        else:
            rig.world.retype_field(table, "Notes", change)
        rig.sync()
        (before,) = rig.select("SELECT before FROM changes WHERE kind = 'update' AND key = :id", id=record)[0]
        assert "still to be read" in str(before)
        assert field in str(before)

    def test_moments_sort_as_time_does(self, rig: Rig) -> None:
        rig.sync()
        shown = [row[0] for row in rig.select('SELECT "Recorded" FROM lab_sessions WHERE "Recorded" IS NOT NULL')]
        assert all(datetime.fromisoformat(text.replace("Z", "+00:00")) for text in shown)
        assert {len(text) for text in shown} == {len("2026-11-22T12:34:56.000000Z")}


class TestOddAnswers:
    """One odd table is its own failure, and what is not known to be gone is not deleted."""

    @pytest.fixture
    def rig(self, sqlite_url: str, airtable: SimulatedAirtable) -> Rig:
        rig = Rig(sqlite_url, airtable)
        rig.sync()
        return rig

    @pytest.mark.parametrize(("name", "value"), [("name", None), ("fields", None), ("fields", [{"id": "fld1"}])])
    def test_an_odd_table_of_the_schema_fails_alone(
        self, rig: Rig, airtable: SimulatedAirtable, name: str, value: object
    ) -> None:
        key = rig.key("Sessions")
        airtable.faults.add("odd_row", kind="tables", identifier=key.partition("/")[2], name=name, value=value)
        reports = rig.sync()
        assert {report.partition: report.error.group for report in reports.values() if report.error} == {
            key: "contract"
        }
        airtable.faults.clear()
        assert rig.sync() == {}
        assert rig.differences() == []

    def test_a_table_without_an_id_deletes_nothing_and_is_an_error(self, rig: Rig, airtable: SimulatedAirtable) -> None:
        table = rig.key("Sessions").partition("/")[2]
        airtable.faults.add("odd_row", kind="tables", identifier=table, name="id")
        with pytest.raises(UnexpectedPayload, match="schema of base"):
            rig.sync()
        airtable.faults.clear()
        assert rig.sync() == {}
        assert rig.differences() == []

    def test_a_date_that_ends_the_calendar_fails_the_tables_that_it_dates(
        self, rig: Rig, airtable: SimulatedAirtable
    ) -> None:
        late = "Fri, 31 Dec 9999 23:59:59 GMT"
        airtable.faults.add("with_header", kind="tables", path=rig.bases[0], name="Date", value=late)
        reports = rig.sync()
        assert {report.error.group for report in reports.values() if report.error} <= {"contract"}
        assert {key.partition("/")[0] for key in reports} <= {rig.bases[0]}
        airtable.faults.clear()
        rig.sync()
        assert rig.differences() == []
