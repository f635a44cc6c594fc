"""A source's settings, what they open, and how tables are named."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.errors import ConfigurationError, CredentialRejected, WrongAddress
from dandi_pipeline.http import LocalBudgets, RateBudget, RateLimit
from dandi_pipeline.model import Gone, Hidden, Listed, Platform
from dandi_pipeline.platforms.airtable.platform import AirtablePlatform, open_airtable
from dandi_pipeline.platforms.registry import SETTINGS, open_platform
from dandi_pipeline.settings import Settings, Source, load_sources
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.report import Outcome
from dandi_pipeline_tests.platforms.airtable.equality import differences
from dandi_pipeline_tests.platforms.airtable.rig import Rig
from dandi_pipeline_tests.simulators.airtable import SimulatedAirtable

BASE, OTHER = "appLkNDICXNqxSDhG", "appSW9R5uCNmRmfl6"


def source_of(tmp_path: Path, settings: Mapping[str, Any], alias: str = "lab") -> Source:
    """Return the source that a file with these settings lists."""
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump({"sources": [{"alias": alias, "platform": "airtable", "settings": settings}]}))
    (source,) = load_sources(path, SETTINGS)
    return source


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "no 'bases', which must be set"),
        ({"bases": []}, "at least one base"),
        ({"bases": [{"base": "Lab notebook"}]}, "expected a base's id"),
        ({"bases": [{"base": BASE}, {"base": BASE}]}, "listed twice"),
        ({"bases": [{"base": BASE, "table": "Sessions"}]}, "unknown key 'table'"),
        ({"bases": [{"base": BASE}], "page_size": 101}, "expected a whole number from 1 to 100"),
        ({"bases": [{"base": BASE}], "token_env": "patAbc.123"}, "NAME of an environment variable"),
        ({"bases": [{"base": BASE}], "overlap": "10 minutes"}, "not an interval"),
    ],
)
def test_wrong_settings_are_told_in_one_line(tmp_path: Path, settings: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as refused:
        source_of(tmp_path, settings)
    assert "\n" not in str(refused.value)


class TestOpened:
    """A source opened as the pipeline opens it."""

    @pytest.fixture
    def settings(self, airtable: SimulatedAirtable) -> Mapping[str, Any]:
        bases = [{"base": base_id} for base_id in airtable.world.bases]
        return {"api_url": airtable.api_url, "bases": bases}

    @pytest.fixture
    def platform(self, tmp_path: Path, airtable: SimulatedAirtable, settings: Mapping[str, Any]) -> Iterator[Platform]:
        with closing(opened(source_of(tmp_path, settings), {"AIRTABLE_TOKEN": airtable.token})) as platform:
            yield platform

    def test_it_mirrors_its_bases(self, platform: Platform, airtable: SimulatedAirtable, sqlite_url: str) -> None:
        with open_mirror(sqlite_url) as mirror:
            sync = Sync("lab", platform, mirror, SyncOptions())
            assert not any(report.error for report in sync.run(sync.plan(), "run"))
        assert differences(sqlite_url, "lab", airtable.world.snapshot()) == []
        assert platform.traffic.requests == airtable.requests.counts()["total"]

    def test_a_token_that_is_not_set_is_missed_when_something_is_asked(
        self, tmp_path: Path, settings: Mapping[str, Any]
    ) -> None:
        with closing(opened(source_of(tmp_path, {**settings, "token_env": "LAB_TOKEN"}), {})) as platform:
            assert platform.description.parts == ("records",)
            with pytest.raises(CredentialRejected, match="LAB_TOKEN: it is not set"):
                platform.list_partitions()


def opened(source: Source, environ: Mapping[str, str]) -> Platform:
    return open_platform(source, Settings.from_environment(environ, Path.cwd()), LocalBudgets())


class RecordedBudgets:
    """Hands out budgets that never wait, and remembers for which limits, and what pauses were called."""

    def __init__(self) -> None:
        self.limits: list[tuple[RateLimit, ...]] = []
        self.pauses: list[float] = []

    def budget(self, *limits: RateLimit) -> RateBudget:
        self.limits.append(limits)
        return self

    def take(self) -> float:
        return 0.0

    def answered(self) -> None:
        """Take no note: nothing is waited for."""

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


def limits_of(source: Source, token: str) -> list[tuple[RateLimit, ...]]:
    budgets = RecordedBudgets()
    settings = Settings.from_environment({"AIRTABLE_TOKEN": token}, Path.cwd())
    open_airtable(source, settings, budgets).close()
    return budgets.limits


def test_a_base_is_paused_for_everybody_and_an_accounts_rate_shared_by_its_bases(tmp_path: Path) -> None:
    first, second = limits_of(source_of(tmp_path, {"bases": [{"base": BASE}, {"base": OTHER}]}), "patOne.1")
    assert [(limit.requests, limit.seconds) for limit in first] == [(5, 1), (50, 1)]
    assert first[0].key != second[0].key
    assert first[1] == second[1]
    (elsewhere,) = limits_of(source_of(tmp_path, {"bases": [{"base": BASE}]}, alias="other"), "patTwo.2")
    assert elsewhere[0] == first[0]
    assert elsewhere[1] != first[1]


def test_a_429_that_names_no_time_pauses_for_as_long_as_a_lock_out(tmp_path: Path, airtable: SimulatedAirtable) -> None:
    (base,), budgets = airtable.world.bases, RecordedBudgets()
    source = source_of(tmp_path, {"api_url": airtable.api_url, "bases": [{"base": base}]})
    airtable.faults.add("status", status=429, times=1)
    settings = Settings.from_environment({"AIRTABLE_TOKEN": airtable.token}, Path.cwd())
    with closing(open_airtable(source, settings, budgets)) as platform:
        assert len(platform.list_partitions()) == 3
    assert budgets.pauses == [30.0]


def test_no_token_stands_in_a_budgets_key(tmp_path: Path) -> None:
    (limits,) = limits_of(source_of(tmp_path, {"bases": [{"base": BASE}]}), "patSecret.5a1e")
    assert not any("5a1e" in limit.key or "patSecret" in limit.key for limit in limits)


class TestKeys:
    """Tables go by the ids of base and table, which outlive renaming."""

    @pytest.fixture
    def platform(self, tmp_path: Path) -> Iterator[AirtablePlatform]:
        settings = Settings.from_environment({}, Path.cwd())
        source = source_of(tmp_path, {"bases": [{"base": BASE}]})
        with closing(open_airtable(source, settings, LocalBudgets())) as platform:
            yield platform

    @pytest.mark.parametrize(
        "text",
        [
            f"{BASE}/tbltp8DGLhqbUmjK1",
            f" {BASE}/tbltp8DGLhqbUmjK1 ",
            f"https://airtable.com/{BASE}/tbltp8DGLhqbUmjK1/viwQpsuEDqHFqegkp?blocks=hide",
            f"https://airtable.com/{BASE}/tbltp8DGLhqbUmjK1",
        ],
    )
    def test_a_table_is_named_by_ids_or_by_its_address(self, platform: AirtablePlatform, text: str) -> None:
        assert platform.partition_key(text) == f"{BASE}/tbltp8DGLhqbUmjK1"

    @pytest.mark.parametrize("text", ["Sessions", "tbltp8DGLhqbUmjK1", f"{BASE}", f"{BASE}/viwQpsuEDqHFqegkp", ""])
    def test_anything_else_is_refused(self, platform: AirtablePlatform, text: str) -> None:
        with pytest.raises(ConfigurationError, match="is not a table; write app…/tbl…"):
            platform.partition_key(text)

    def test_a_table_of_another_base_is_refused(self, platform: AirtablePlatform) -> None:
        with pytest.raises(ConfigurationError, match=f"it has {BASE}"):
            platform.partition_key(f"{OTHER}/tbltp8DGLhqbUmjK1")


class TestTables:
    """All tables of a base, or those configured."""

    def test_tables_are_chosen_by_id_or_name(self, rig: Rig) -> None:
        rig.tables = {rig.bases[0]: [rig.table("Sessions"), "Labs"]}
        assert sorted(rig.sync()) == sorted([rig.key("Sessions"), rig.key("Labs")])

    def test_a_name_that_no_table_has_fails_alone_and_says_which_there_are(self, rig: Rig) -> None:
        (base,) = rig.bases
        rig.tables = {base: ["Session", "Labs"]}
        reports = rig.sync()
        assert reports[rig.key("Labs")].outcome is Outcome.SYNCED
        failed = reports[f"{base}/Session"]
        assert isinstance(failed.error, ConfigurationError)
        assert "no table 'Session' (it has 'Labs', 'Sessions', 'Subjects')" in str(failed.error)
        assert rig.stale() == (f"{base}/Session",)
        alone = rig.sync(partitions=(f"{base}/Session",))
        assert isinstance(alone[f"{base}/Session"].error, ConfigurationError)
        with closing(rig.open_platform()) as platform:
            assert platform.partition_key(f"{base}/Session") == f"{base}/Session"
        rig.tables = {base: ["Sessions", "Labs"]}
        assert rig.sync()[f"{base}/Session"].outcome is Outcome.REMOVED
        assert rig.stale() == ()

    def test_a_table_renamed_away_from_its_configured_name_keeps_its_rows(self, rig: Rig) -> None:
        (base,) = rig.bases
        rig.tables = {base: ["Sessions", "Labs"]}
        rig.sync()
        rig.world.rename_table(rig.table("Sessions"), "Runs")
        reports = rig.sync()
        assert reports[rig.key("Runs")].outcome is Outcome.HIDDEN
        assert reports[f"{base}/Sessions"].outcome is Outcome.FAILED
        assert rig.select("SELECT count(*) FROM airtable_records")[0][0] > len(rig.records("Labs"))

    def test_checkboxes_and_what_cannot_be_read_show_in_the_view(self, rig: Rig) -> None:
        table = rig.table("Sessions")
        number = {"isValid": True, "formula": "1", "result": {"type": "number"}}
        owed = rig.world.add_field(table, "Outstanding", "formula", number)
        rig.world.add_field(table, "Paid", "checkbox", {})
        for record, value in zip(rig.records("Sessions"), [[12.5], "12", 7], strict=False):
            rig.world.recompute(table, record, owed, value)
        rig.sync()
        rows = rig.select('SELECT "Outstanding", record_errors FROM lab_sessions WHERE NOT "Paid"')
        assert len(rows) == len(rig.records("Sessions"))
        assert sorted(row[0] for row in rows if row[0] is not None)[-1] == 7
        told = [orjson.loads(row[1]) if isinstance(row[1], str) else row[1] for row in rows if row[1]]
        assert {"expected": "number", "value": [12.5]} in [row[owed] for row in told if owed in row]
        assert {"expected": "number", "value": "12"} in [row[owed] for row in told if owed in row]

    def test_a_table_that_was_deleted_goes_though_it_is_configured(self, rig: Rig) -> None:
        rig.tables = {rig.bases[0]: [rig.table("Sessions"), rig.table("Subjects")]}
        rig.sync()
        gone = rig.table("Subjects")
        rig.world.remove_table(gone)
        rig.sync()
        assert rig.select("SELECT count(*) FROM airtable_records WHERE table_id LIKE :p", p=f"%{gone}") == [(0,)]

    def test_a_table_is_looked_up_alone(self, rig: Rig) -> None:
        with closing(rig.open_platform()) as platform:
            assert isinstance(platform.look_up(rig.key("Sessions")), Listed)
            assert rig.requests() == 2
            assert isinstance(platform.look_up(f"{rig.bases[0]}/tblNobodyKnows001"), Gone)
            assert isinstance(platform.look_up(f"{OTHER}/tblNobodyKnows001"), Hidden)
            rig.world.revoke_base(rig.bases[0])
            assert isinstance(platform.look_up(rig.key("Sessions")), Hidden)

    @pytest.mark.parametrize("status", [403, 404])
    def test_a_base_that_does_not_exist_any_more_takes_its_tables_along(
        self, rig: Rig, airtable: SimulatedAirtable, status: int
    ) -> None:
        airtable.faults.add("status", status=status, kind="tables")
        with closing(rig.open_platform()) as platform:
            assert platform.look_up(rig.key("Labs")) == {403: Hidden, 404: Gone}[status](rig.key("Labs"))

    @pytest.mark.parametrize("status", [403, 404])
    def test_a_page_that_is_not_airtable_s_answer_deletes_and_hides_nothing(
        self, rig: Rig, airtable: SimulatedAirtable, status: int
    ) -> None:
        rig.sync()
        states = rig.select("SELECT partition, token, records FROM partitions ORDER BY partition")
        airtable.faults.add("html", status=status)
        for named in ((), (rig.key("Labs"),)):
            with pytest.raises(WrongAddress, match="nothing was deleted"):
                rig.sync(partitions=named)
        assert rig.select("SELECT partition, token, records FROM partitions ORDER BY partition") == states

    @pytest.mark.parametrize("status", [403, 404])
    def test_a_table_that_the_schema_shows_is_kept_though_its_records_are_refused(
        self, rig: Rig, airtable: SimulatedAirtable, caplog: pytest.LogCaptureFixture, status: int
    ) -> None:
        rig.sync()
        airtable.faults.add("status", status=status, path=f"{rig.table('Sessions')}/listRecords")
        assert rig.sync()[rig.key("Sessions")].outcome is Outcome.HIDDEN
        assert rig.table("Sessions") in caplog.text
        assert rig.differences() == []
        airtable.faults.clear()
        rig.sync()
        assert rig.stale() == ()
