"""One sync follows every operation that a query can see; one sweep follows every other as well."""

from collections.abc import Callable, Mapping
from datetime import timedelta

import pytest

from dandi_pipeline.instants import canonical_instant
from dandi_pipeline.sync.report import Outcome
from dandi_pipeline_tests.mirror.records import query
from dandi_pipeline_tests.platforms.airtable.rig import Rig, small_world
from dandi_pipeline_tests.simulators.airtable import UNLIMITED, SimulatedAirtable

HOUR = 3600.0


def _add_record(rig: Rig) -> None:
    lab = rig.records("Labs")[0]
    rig.world.add_record(rig.table("Sessions"), {"Name": "New", "Lab": [lab], "Cost": 3.5, "Reviewed": True})


def _edit_record(rig: Rig) -> None:
    rig.world.edit_record(rig.table("Sessions"), rig.records("Sessions")[4], {"Name": "Ω, edited", "Trials": 0})


def _clear_cells(rig: Rig) -> None:
    cells: dict[str, object] = {"Notes": None, "Status": None, "Tags": [], "Reviewed": False, "Files": []}
    for record in rig.records("Sessions"):
        rig.world.edit_record(rig.table("Sessions"), record, cells)


def _replace_attachment(rig: Rig) -> None:
    file = {"filename": "other.png", "size": 3, "type": "image/png", "width": 1, "height": 1}
    rig.world.edit_record(rig.table("Sessions"), rig.records("Sessions")[0], {"Files": [file]})


def _add_field(rig: Rig) -> None:
    rig.world.add_field(rig.table("Sessions"), "Depth", "number", {"precision": 2})


def _retype_field(rig: Rig) -> None:
    rig.world.retype_field(rig.table("Sessions"), "Trials", "singleLineText")


def _retype_to_instant(rig: Rig) -> None:
    rig.world.retype_field(rig.table("Sessions"), "Planned", "dateTime")


def _remove_field(rig: Rig) -> None:
    rig.world.remove_field(rig.table("Sessions"), "Cost")


def _rename_field(rig: Rig) -> None:
    rig.world.rename_field(rig.table("Sessions"), "Notes", 'What "we" saw; DROP TABLE x')


def _break_formula(rig: Rig) -> None:
    rig.world.change_options(rig.table("Sessions"), "Cost per trial", isValid=False)


def _rename_table(rig: Rig) -> None:
    rig.world.rename_table(rig.table("Sessions"), "Séances")


def _add_table(rig: Rig) -> None:
    table = rig.world.add_table(rig.bases[0], "Empty at first", [{"name": "When", "type": "dateTime"}])
    rig.world.add_record(table, {"Name": "One", "When": "2026-01-01T00:00:00.000Z"})


def _remove_table(rig: Rig) -> None:
    rig.world.remove_table(rig.table("Subjects"))


SEEN: Mapping[str, Callable[[Rig], None]] = {
    "a record is added": _add_record,
    "a record is edited": _edit_record,
    "cells are cleared": _clear_cells,
    "an attachment is replaced": _replace_attachment,
    "a field is added": _add_field,
    "a field becomes text": _retype_field,
    "a field becomes an instant": _retype_to_instant,
    "a field is removed": _remove_field,
    "a field is renamed": _rename_field,
    "a formula breaks": _break_formula,
    "a table is renamed": _rename_table,
    "a table is added": _add_table,
    "a table is removed": _remove_table,
}


def _delete_record(rig: Rig) -> None:
    rig.world.delete_record(rig.table("Sessions"), rig.records("Sessions")[2])


def _delete_linked(rig: Rig) -> None:
    rig.world.delete_record(rig.table("Labs"), rig.records("Labs")[0])


def _recompute(rig: Rig) -> None:
    rig.world.recompute(rig.table("Sessions"), rig.records("Sessions")[0], "Lab total", {"specialValue": "NaN"})


def _edit_what_is_looked_up(rig: Rig) -> None:
    for lab in rig.records("Labs"):
        rig.world.edit_record(rig.table("Labs"), lab, {"Rate": 7})


UNSEEN: Mapping[str, Callable[[Rig], None]] = {
    "a record is deleted": _delete_record,
    "a linked record is deleted": _delete_linked,
    "a formula comes to another value": _recompute,
    "a looked-up cell is edited": _edit_what_is_looked_up,
}


@pytest.fixture
def synced(mirror_url: str, airtable: SimulatedAirtable) -> Rig:
    """Return a mirror that has everything, an hour ago."""
    rig = Rig(mirror_url, airtable)
    rig.sync()
    rig.world.clock.advance(HOUR)
    return rig


def test_a_first_sync_copies_every_table(mirror_url: str, airtable: SimulatedAirtable) -> None:
    rig = Rig(mirror_url, airtable)
    reports = rig.sync()
    assert {report.outcome for report in reports.values()} == {Outcome.SYNCED}
    assert rig.differences() == []
    assert rig.stale() == ()


@pytest.mark.parametrize("operation", SEEN.values(), ids=SEEN)
def test_one_sync_follows(synced: Rig, operation: Callable[[Rig], None]) -> None:
    operation(synced)
    assert synced.differences() != []
    synced.sync()
    assert synced.differences() == []
    assert synced.stale() == ()


def test_a_sweep_follows_a_field_that_was_retyped_to_and_fro(synced: Rig) -> None:
    """Its cells are empty then, with no new time on their records, and the schema is as it was."""
    table = synced.table("Sessions")
    name = synced.world.table(table).primary_field_id
    synced.world.retype_field(table, name, "number")
    synced.world.retype_field(table, name, "singleLineText")
    synced.sync()
    assert {difference.field for difference in synced.differences()} == {name}
    synced.sweep()
    assert synced.differences() == []


@pytest.mark.parametrize("operation", UNSEEN.values(), ids=UNSEEN)
def test_one_sweep_follows_what_no_query_shows(synced: Rig, operation: Callable[[Rig], None]) -> None:
    operation(synced)
    synced.sync()
    left = synced.differences()
    assert left != []
    assert all(difference.silent for difference in left)
    synced.sweep()
    assert synced.differences() == []
    assert synced.stale() == ()


def test_a_sweep_of_what_did_not_change_writes_nothing(synced: Rig) -> None:
    """Attachments have other addresses at every reading."""
    before = synced.select("SELECT max(sequence) FROM changes")
    synced.world.clock.advance(3 * HOUR)
    reports = synced.sweep()
    assert not any(report.changed for report in reports.values())
    assert synced.select("SELECT max(sequence) FROM changes") == before


def test_a_table_of_many_pages_is_read_whole(sqlite_url: str) -> None:
    with SimulatedAirtable(small_world(records=57), limits=UNLIMITED) as airtable:
        rig = Rig(sqlite_url, airtable, page_size=10)
        rig.sync()
        assert rig.differences() == []


def test_what_is_edited_while_pages_turn_follows_in_the_next_sync(rig: Rig, airtable: SimulatedAirtable) -> None:
    rig.page_size = 4
    table, records = rig.table("Sessions"), rig.records("Sessions")

    def edit(kind: str, query: Mapping[str, str]) -> None:
        if kind == "records":
            number = airtable.requests.by_kind["records"]
            rig.world.edit_record(table, records[number % len(records)], {"Notes": f"edited at request {number}"})
            rig.world.add_record(table, {"Name": f"added at request {number}"})

    airtable.before_response = edit
    rig.sync()
    airtable.before_response = None
    rig.sync()
    assert rig.differences() == []
    assert rig.stale() == ()


def test_a_mark_of_a_server_whose_clock_was_ahead_passes_over_no_edit(rig: Rig) -> None:
    rig.sync()
    day_ahead = canonical_instant((rig.world.clock.now() + timedelta(days=1)).isoformat())
    for partition, token in rig.select("SELECT partition, token FROM partitions WHERE part = 'records'"):
        words = token.split(" ")
        ahead = " ".join([words[0], day_ahead, *words[2:]])
        query(rig.url, "UPDATE partitions SET token = :ahead WHERE partition = :key", ahead=ahead, key=partition)
    _edit_record(rig)
    rig.sync()
    assert rig.differences() == []
