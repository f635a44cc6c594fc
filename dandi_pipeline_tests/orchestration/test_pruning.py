"""What is old goes, and what is known of the present stays: each partition's last word, each source's last check."""

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.storage.event_log import SqliteEventLogStorage

from dandi_pipeline.cli.main import main
from dandi_pipeline.orchestration.dagster_internals import database_url
from dandi_pipeline.orchestration.history import freshness_of, past_syncs
from dandi_pipeline.orchestration.instance import open_instance
from dandi_pipeline.orchestration.pruning import Pruned, build_pruning, prune
from dandi_pipeline_tests.orchestration.site import ASSETS, DANDISETS, Site, materialized, statuses
from dandi_pipeline_tests.orchestration.test_dagster_internals import finding_all_but

NOW = datetime.now(timezone.utc)
MONTH_AGO = NOW - timedelta(days=30)


def age_all_runs(home: Path) -> None:
    """Have every run of a home created a year ago."""
    engine = sa.create_engine(database_url(home / "history", "runs"))
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE runs SET create_timestamp = '2025-01-01 00:00:00'"))
    engine.dispose()


def known(site: Site) -> object:
    """Return all that is shown of the present: each partition's latest event and mark, and when all was looked at."""
    home = site.settings.dagster_home
    with open_instance(home) as instance, site.mirror() as mirror:
        return (
            [materialized(instance, asset) for asset in (ASSETS, DANDISETS)],
            [statuses(instance, site.shown, asset) for asset in (ASSETS, DANDISETS)],
            freshness_of(home, [site.source], mirror, NOW + timedelta(days=1)),
        )


def test_old_syncs_go_but_for_the_last_word_on_a_partition(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = site.settings.dagster_home
    first = site.sync().run_id
    site.sync()
    site.sync()
    for name in ("twice", "again"):
        site.world.rename_dandiset("000001", name)
        site.world.add_asset("000003", f"sub-{name}/sub-{name}.nwb", size=5)
        edited = site.sync(partitions=("000001", "000003")).run_id
    newest_whole = site.sync().run_id
    site.sync(partitions=("000003",))
    age_all_runs(home)
    young = site.sync(partitions=("000004",)).run_id
    before, files = known(site), len(list((home / "history" / "runs").glob("*.db")))

    with site.mirror() as mirror:
        planned = prune(home, mirror, runs_before=MONTH_AGO, changes_before=None, dry_run=True)
        assert len(past_syncs(home)) == 8
        with monkeypatch.context() as without:
            lost = finding_all_but("get_latest_storage_id_by_partition")
            without.setattr(SqliteEventLogStorage, "__getattribute__", lost)
            assert prune(home, mirror, runs_before=MONTH_AGO, changes_before=None, dry_run=True) == planned
    for name, value in site.environ.items():
        monkeypatch.setenv(name, value)
    assert main(["prune", "--older-than", "30", "--json"]) == 0
    pruned = Pruned(**json.loads(capsys.readouterr().out))
    assert main(["prune", "--older-than", "999999999", "--changes-older-than", "30"]) == 0
    assert capsys.readouterr().out == "Deleted 0 runs and 0 changes.\n"
    again = prune(home, None, runs_before=MONTH_AGO, changes_before=None, dry_run=False)

    kept = {past.run_id for past in past_syncs(home)}
    assert {first, edited, newest_whole, young} <= kept
    assert pruned == planned == Pruned(runs=8 - len(kept), kept=len(kept) - 1, changes=0)
    assert pruned.runs == 3
    assert again == Pruned(runs=0, kept=pruned.kept, changes=0)
    assert known(site) == before
    assert len(list((home / "history" / "runs").glob("*.db"))) == files - pruned.runs


def test_the_job_prunes_what_it_is_told_to_and_its_schedule_is_stopped_at_first(
    site: Site, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in site.environ.items():
        monkeypatch.setenv(name, value)
    site.sync()
    site.sync()
    site.world.rename_dandiset("000001", "again")
    site.sync()
    age_all_runs(site.settings.dagster_home)
    repository = build_pruning().get_repository_def()
    schedule = repository.get_schedule_def("prune_history")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED

    job = repository.get_job(schedule.job_name)
    told = {"ops": {"prune_old": {"config": {"older_than_days": 30, "changes_older_than_days": 30}}}}
    assert job.execute_in_process(run_config=told, instance=instance).success

    assert len(past_syncs(site.settings.dagster_home)) == 2
    with site.mirror() as mirror:
        assert mirror.changes() != []  # all of them are young
