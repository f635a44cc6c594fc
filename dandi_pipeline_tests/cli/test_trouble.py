"""What went wrong is found by looking: the reason, since when, and what to do, with no secret in it."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from dandi_pipeline.orchestration.history import Freshness
from dandi_pipeline_tests.cli.estate import Estate, estate
from dandi_pipeline_tests.cli.test_monitoring import run

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """An estate of the source `stock` alone, synced once, whose plan has five calls a month."""
    folder = tmp_path_factory.mktemp("stock")
    with estate(folder) as opened, pytest.MonkeyPatch.context() as patch:
        only = re.sub(r"  - .*?(?=  - alias: stock)", "", opened.sources.read_text(), flags=re.DOTALL)
        opened.sources.write_text(only.replace("settings: {", "settings: {calls_per_month: 5, "))
        opened.enter(patch)
        assert run("sync").code == 0
        yield opened


def test_a_quota_that_is_nearly_used_is_a_problem(stock: Estate) -> None:
    told = run("health")
    assert told.code == 1
    assert re.search(r"^Used this month by stock \(airtable\): \d+ requests of 5, ", told.out, re.MULTILINE)
    assert re.search(r"^  stock: \d+ of this month's 5 requests are used; look less often", told.out, re.MULTILINE)
    (quota,) = run("health", "--json").json["quota_this_month"]
    assert (quota["platform"], quota["sources"], quota["quota"]) == ("airtable", ["stock"], 5)


def test_a_quota_that_suffices_is_none(stock: Estate, tmp_path: Path) -> None:
    roomy = tmp_path / "sources.yaml"
    roomy.write_text(stock.sources.read_text().replace("calls_per_month: 5", "calls_per_month: 1000"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DANDI_PIPELINE_SOURCES", str(roomy))
        told = run("health")
    assert (told.code, told.out.splitlines()[-1]) == (0, "Healthy"), told.out


def test_what_ended_a_sync_early_is_told_wherever_one_looks_for_it(stock: Estate) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRTABLE_TOKEN", "pat-mistyped")
        assert run("sync").code == 2
    (found,) = run("inspect", "--json").json
    assert (found["state"], found["last_status"]) == ("failing", "failed")
    assert (found["last_error"]["partition"], found["last_error"]["group"]) == (None, "configuration")
    assert "AIRTABLE_TOKEN" in found["last_error"]["message"]
    (newest, _) = run("history", "--json").json
    assert newest["stopped_by"] == found["last_error"]["message"]
    for told in (run("inspect"), run("health")):
        assert re.search(r"\(1? ?configuration\): .*AIRTABLE_TOKEN", told.out), told.out
        assert "pat-mistyped" not in told.out
    assert re.search(r"^  stock: the newest sync failed \d+ s ago", run("health").out, re.MULTILINE)


def test_of_a_single_source_everything_known_is_shown(stock: Estate) -> None:
    lines = run("inspect", "stock").out.splitlines()
    assert lines[0] == "stock"
    assert [re.split(r"  +", line.strip())[0] for line in lines[1:8]] == [
        "Platform",
        "State",
        "Partitions",
        "Records",
        "Last sync (UTC)",
        "Looked at (UTC)",
        "Next due (UTC)",
    ]
    assert "3 (0 stale, 0 hidden, 0 failing); 3 in Dagster" in lines[3]


@pytest.mark.parametrize(
    ("hours_ago", "due", "overdue"), [(0.5, False, False), (1, True, False), (1.9, True, False), (2, True, True)]
)
def test_a_source_is_overdue_when_two_of_its_intervals_have_passed(hours_ago: float, due: bool, overdue: bool) -> None:
    standing = Freshness(checked=NOW - timedelta(hours=hours_ago), every=timedelta(hours=1))
    assert (standing.is_due(NOW), standing.is_overdue(NOW)) == (due, overdue)
