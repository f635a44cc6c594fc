"""Limits, quotas, hidden bases and failing servers: what stops a sync, what it sits out, what it says."""

import pytest
import requests

from dandi_pipeline.errors import AccessRefused, CredentialRejected, QuotaExhausted, UnexpectedPayload
from dandi_pipeline.platforms.airtable.api import error_type
from dandi_pipeline.settings import Tuning
from dandi_pipeline.sync.report import Outcome
from dandi_pipeline_tests.platforms.airtable.rig import Rig, small_world
from dandi_pipeline_tests.simulators.airtable import UNLIMITED, Limits, SimulatedAirtable

HOUR = 3600.0


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"error":"NOT_FOUND"}', "NOT_FOUND"),
        (b'{"error":{"type":"NOT_FOUND"}}', "NOT_FOUND"),
        (b'{"error":{"type":"NOT_FOUND","message":"gone"}}', "NOT_FOUND"),
        (b'{"errors":[{"error":"NOT_FOUND","message":"gone"}]}', "NOT_FOUND"),
        (b"<html>Bad gateway</html>", ""),
        (b"[]", ""),
        (b'{"errors":[]}', ""),
        (b'{"error":{"type":7}}', ""),
        (b'{"errors":["NOT_FOUND"]}', ""),
    ],
)
def test_the_type_of_an_error_is_read_from_every_shape(body: bytes, named: str) -> None:
    assert error_type(body) == named


class TestRates:
    """Five requests a second a base; one too many locks it for half a minute."""

    @pytest.fixture
    def limited(self, sqlite_url: str, airtable: SimulatedAirtable) -> Rig:
        airtable.gate.limits = Limits()
        return Rig(sqlite_url, airtable, page_size=3, metered=True)

    def test_a_sync_of_many_requests_is_never_refused(self, limited: Rig, airtable: SimulatedAirtable) -> None:
        limited.sync()
        assert limited.requests() > 10
        assert airtable.gate.refused_for_rate == 0
        assert limited.differences() == []

    @pytest.mark.parametrize("restarts", [False, True])
    def test_a_lock_out_is_sat_out(self, limited: Rig, airtable: SimulatedAirtable, restarts: bool) -> None:
        airtable.gate.limits = Limits(restarts=restarts)
        address = f"{airtable.api_url}/meta/bases/{limited.bases[0]}/tables"
        locked = [
            requests.get(address, headers={"Authorization": f"Bearer {airtable.token}"}, timeout=5).status_code
            for _ in range(6)
        ]
        assert locked[-1] == 429
        started = limited.world.clock.now()
        limited.sync()
        assert airtable.gate.refused_for_rate == 2
        assert (limited.world.clock.now() - started).total_seconds() >= 30
        assert limited.differences() == []


@pytest.mark.parametrize("status", [429, 422])
def test_a_spent_quota_stops_the_sync_and_is_not_tried_again(
    rig: Rig, airtable: SimulatedAirtable, status: int
) -> None:
    rig.sync()
    airtable.gate.limits = Limits(per_base=None, per_user=None, monthly_calls=3, billing_status=status)
    rig.requests()
    with pytest.raises(QuotaExhausted, match="no API calls left this month"):
        rig.sync()
    assert airtable.gate.refused_for_billing <= 3
    assert rig.requests() <= 4
    assert rig.differences() == []


def test_a_quota_that_runs_out_while_tables_are_read_ends_the_sync(sqlite_url: str) -> None:
    with SimulatedAirtable(small_world(tables=4), limits=UNLIMITED) as airtable:
        rig = Rig(sqlite_url, airtable)
        rig.stale()
        checked = rig.requests()
        airtable.gate.reset()
        airtable.gate.limits = Limits(per_base=None, per_user=None, monthly_calls=checked + 1)
        with pytest.raises(QuotaExhausted, match=r"no API calls left this month.*; [1-9] more were not tried"):
            rig.sync(tuning=Tuning(max_concurrent=1))
        assert airtable.gate.refused_for_billing <= 2
        airtable.gate.limits = UNLIMITED
        rig.sync()
        assert rig.differences() == []


@pytest.mark.parametrize(
    "fault",
    [
        {"effect": "status", "status": 500},
        {"effect": "status", "status": 502},
        {"effect": "status", "status": 503, "retry_after": 7},
        {"effect": "status", "status": 429, "retry_after": 3},
        {"effect": "reset"},
        {"effect": "cut_body", "at": 0.6},
        {"effect": "html", "status": 502},
    ],
    ids=lambda fault: " ".join(str(part) for part in fault.values()),
)
def test_a_passing_failure_is_sat_out(rig: Rig, airtable: SimulatedAirtable, fault: dict[str, object]) -> None:
    rig.page_size = 5
    airtable.faults.add(str(fault["effect"]), probability=0.3, **{k: v for k, v in fault.items() if k != "effect"})
    rig.sync()
    assert airtable.faults.struck() > 0
    airtable.faults.clear()
    rig.sync()
    assert rig.differences() == []


@pytest.mark.parametrize(
    "fault",
    [
        {"effect": "without_field", "name": "records"},
        {"effect": "with_value", "name": "records", "value": [{"id": "rec00000000000001"}]},
        {"effect": "with_value", "name": "records", "value": ["rec00000000000001"]},
        {"effect": "with_value", "name": "records", "value": [{"createdTime": "2026-01-01T00:00:00.000Z"}]},
        {"effect": "status", "status": 400},
        {"effect": "status", "status": 413},
        {"effect": "status", "status": 422, "type": "INVALID_REQUEST_UNKNOWN"},
    ],
    ids=str,
)
def test_an_answer_of_another_shape_changes_nothing(
    rig: Rig, airtable: SimulatedAirtable, fault: dict[str, object]
) -> None:
    """It comes after the checks, to the table that was edited."""
    rig.sync()
    rig.world.edit_record(rig.table("Sessions"), rig.records("Sessions")[0], {"Notes": "not to be read now"})
    options = {k: v for k, v in fault.items() if k != "effect"}
    airtable.faults.add(str(fault["effect"]), kind="records", nth=4, **options)
    before = rig.select("SELECT max(sequence) FROM changes")
    (report,) = rig.sync().values()
    assert report.error is not None
    assert (report.error.group, report.outcome) == ("contract", Outcome.FAILED)
    assert rig.select("SELECT max(sequence) FROM changes") == before
    airtable.faults.clear()
    rig.sync()
    assert rig.differences() == []


@pytest.mark.parametrize(
    "fault",
    [
        {"effect": "status", "status": 503, "times": 6},
        {"effect": "without_field", "name": "records", "times": 1},
        {"effect": "status", "status": 413, "times": 1},
    ],
    ids=str,
)
def test_a_table_that_could_not_be_checked_is_read(
    rig: Rig, airtable: SimulatedAirtable, caplog: pytest.LogCaptureFixture, fault: dict[str, object]
) -> None:
    rig.sync()
    for name in ("Sessions", "Subjects"):
        rig.world.edit_record(rig.table(name), rig.records(name)[0], {"Notes": "read all the same"})
    options = {k: v for k, v in fault.items() if k != "effect"}
    airtable.faults.add(str(fault["effect"]), path=f"{rig.table('Sessions')}/listRecords", **options)
    reports = rig.sync()
    assert {report.outcome for report in reports.values()} == {Outcome.SYNCED}
    assert reports[rig.key("Sessions")].tallies["record"].checked == 1
    assert "the table is taken for changed" in caplog.text
    assert rig.differences() == []
    assert rig.stale() == (rig.key("Sessions"),)
    rig.sync()
    assert rig.stale() == ()


@pytest.mark.parametrize(
    "tables", [[{"id": "tbl1"}], [{"fields": []}], ["tbl1"], "tbl1", [{"id": "tbl1", "fields": [{"id": "fld1"}]}]]
)
def test_a_schema_of_another_shape_is_refused(rig: Rig, airtable: SimulatedAirtable, tables: object) -> None:
    rig.sync()
    airtable.faults.add("with_value", kind="tables", name="tables", value=tables)
    with pytest.raises(UnexpectedPayload, match="nothing was written"):
        rig.sync()
    assert rig.differences() == []


class TestHidden:
    """What the token may not see is kept, and marked."""

    @pytest.fixture
    def rig(self, sqlite_url: str) -> Rig:  # type: ignore[misc]
        with SimulatedAirtable(small_world(tables=4), limits=UNLIMITED) as airtable:
            yield Rig(sqlite_url, airtable)

    def test_a_revoked_bases_rows_are_kept_and_the_others_synced(
        self, rig: Rig, caplog: pytest.LogCaptureFixture
    ) -> None:
        rig.sync()
        held = rig.select("SELECT count(*) FROM airtable_records")
        revoked = rig.bases[1]
        rig.world.revoke_base(revoked)
        rig.world.edit_record(rig.table("Sessions"), rig.records("Sessions")[0], {"Notes": "in the other base"})
        reports = rig.sync()
        hidden = {key for key, report in reports.items() if report.outcome is Outcome.HIDDEN}
        assert {key.partition("/")[0] for key in hidden} == {revoked}
        assert revoked in caplog.text
        assert rig.differences() == []
        assert rig.select("SELECT count(*) FROM airtable_records") == held
        assert set(rig.select("SELECT visible FROM partitions WHERE partition LIKE :p", p=f"{revoked}%")) == {(0,)}

    def test_a_base_granted_again_is_read_whole(self, rig: Rig) -> None:
        rig.sync()
        rig.world.revoke_base(rig.bases[1])
        rig.sync()
        rig.world.clock.advance(HOUR)
        rig.world.delete_record(rig.table("Protocols"), rig.records("Protocols")[0])
        rig.world.edit_record(rig.table("Protocols"), rig.records("Protocols")[0], {"Notes": "while it was hidden"})
        rig.world.grant_base(rig.bases[1])
        rig.sync()
        assert rig.differences() == []

    def test_a_token_that_sees_nothing_is_an_error_that_deletes_nothing(self, rig: Rig) -> None:
        rig.sync()
        held = rig.select("SELECT count(*) FROM airtable_records")
        for base in rig.bases:
            rig.world.revoke_base(base)
        with pytest.raises(AccessRefused, match=r"data\.records:read and schema\.bases:read"):
            rig.sync()
        assert rig.select("SELECT count(*) FROM airtable_records") == held

    def test_a_token_without_the_scope_for_records_is_told_so(self, rig: Rig) -> None:
        rig.world.add_token(rig.airtable.token, scopes=["schema.bases:read"])
        with pytest.raises(AccessRefused, match=r"data\.records:read"):
            rig.sync()

    def test_a_table_no_longer_configured_is_kept(self, rig: Rig) -> None:
        rig.sync()
        held = rig.select("SELECT count(*) FROM airtable_records")
        key = rig.key("Sessions")
        rig.tables = {rig.bases[0]: [table for table in rig.world.bases[rig.bases[0]].tables if table not in key]}
        assert rig.sync()[key].outcome is Outcome.HIDDEN
        rig.bases = rig.bases[:1]
        assert {report.outcome for report in rig.sync().values()} == {Outcome.HIDDEN, Outcome.FRESH}
        assert rig.select("SELECT count(*) FROM airtable_records") == held


def test_a_refused_token_stops_the_sync_and_is_never_shown(rig: Rig, airtable: SimulatedAirtable) -> None:
    del rig.world.tokens[airtable.token]
    with pytest.raises(CredentialRejected, match="AIRTABLE_TOKEN: check the token") as refused:
        rig.sync()
    assert airtable.token not in str(refused.value)
