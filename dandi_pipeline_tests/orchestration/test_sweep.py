"""Whatever a platform says of its partitions, each is read completely in its turn."""

from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dandi_pipeline.orchestration.assembly import assemble
from dandi_pipeline.orchestration.automation import in_turn
from dandi_pipeline.platforms.registry import SETTINGS
from dandi_pipeline.settings import load_sources
from dandi_pipeline_tests.orchestration.site import Site, materialized

MONDAY = datetime(2026, 11, 23, 3, tzinfo=timezone.utc)


def evaluate(site: Site, instance: dg.DagsterInstance, at: datetime, *, days: int = 7) -> list[dg.RunRequest]:
    """Return what the schedule of a source that is swept once in so many days asks for at an hour."""
    definitions = assemble([replace(site.shown, sweep_days=days)], site.connections)
    schedule = definitions.resolve_schedule_def("dandi_sweep")
    assert isinstance(schedule, dg.ScheduleDefinition)
    with dg.build_schedule_context(instance=instance, scheduled_execution_time=at) as context:
        return list(schedule.evaluate_tick(context).run_requests or [])


def partitions(request: dg.RunRequest) -> list[str]:
    config = request.run_config["ops"]["dandi_mirror"]["config"]
    assert (config["full"], config["ignore_unknown"]) == (True, True)
    return list(config["partitions"])


@settings(deadline=None)
@given(st.lists(st.text(min_size=1), unique=True, max_size=30), st.dates(date(2000, 1, 1), date(2100, 1, 1)))
def test_in_any_seven_days_each_has_one_turn(keys: list[str], first: date) -> None:
    week = [first + timedelta(days=day) for day in range(7)]
    assert Counter(key for day in week for key in in_turn(keys, day, days=7)) == Counter(keys)


def test_a_new_partition_moves_no_others_turn() -> None:
    day, keys = MONDAY.date(), [f"{number:06d}" for number in range(100)]
    assert set(in_turn(keys, day, days=7)) <= set(in_turn([*keys, "new"], day, days=7))


def test_a_week_of_sweeps_reads_every_dandiset_once(site: Site, instance: dg.DagsterInstance) -> None:
    site.sync()
    week = [evaluate(site, instance, MONDAY + timedelta(days=day)) for day in range(7)]
    swept = [key for requests in week for request in requests for key in partitions(request)]
    assert sorted(swept) == sorted(materialized(instance))
    assert all(request.tags[".dagster/sync_background"] == "dandi" for requests in week for request in requests)
    keys = [request.run_key for requests in week for request in requests]
    assert len(set(keys)) == len(keys)


def test_each_turn_of_a_partition_is_in_the_next_round(site: Site, instance: dg.DagsterInstance) -> None:
    site.sync()
    rounds: dict[str, list[int]] = {}
    for day in range(28):
        for request in evaluate(site, instance, MONDAY + timedelta(days=day)):
            for key in partitions(request):
                rounds.setdefault(key, []).append(request.run_config["ops"]["dandi_mirror"]["config"]["round"])
    assert {tuple(number - turns[0] for number in turns) for turns in rounds.values()} == {(0, 1, 2, 3)}


def test_what_moved_no_timestamp_is_repaired(site: Site, instance: dg.DagsterInstance) -> None:
    site.sync()
    request = next(request for day in range(7) for request in evaluate(site, instance, MONDAY + timedelta(days=day)))
    (*_, key) = partitions(request)
    job = site.definitions.resolve_job_def("sync_dandi")
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with site.mirror() as mirror:
        before = mirror.changes(limit=100_000)[-1].sequence
    draft = site.world.dandisets[key].versions["draft"]
    draft.metadata = {**draft.metadata, "description": "edited by a migration, behind everybody's back"}
    assert site.sync().partitions.updated == 0  # nothing seems to have changed

    job.execute_in_process(run_config={**request.run_config, **quiet}, instance=instance, tags=dict(request.tags))

    with site.mirror() as mirror:
        found = mirror.changes(after=before)
    assert [(change.partition, change.record, change.kind) for change in found] == [(key, "version", "update")]


def test_many_partitions_go_in_runs_of_at_most_250(site: Site, instance: dg.DagsterInstance) -> None:
    with site.mirror() as mirror:
        for number in range(260):
            with mirror.session("dandi", f"{number:06d}", ("assets",)) as session:
                session.commit(run_id="copy", tokens={"assets": "token"})
    requests = evaluate(site, instance, MONDAY, days=1)
    assert [len(partitions(request)) for request in requests] == [250, 10]


@pytest.mark.parametrize(("said", "days"), [("daily", 1), ("2d", 2), ("weekly", 7), (None, 7)])
def test_the_source_says_how_long_a_round_takes(tmp_path: Path, said: str | None, days: int) -> None:
    line = f"    sweep: {said}\n" if said else ""
    (tmp_path / "sources.yaml").write_text(f"sources:\n  - platform: dandi\n{line}")
    (source,) = load_sources(tmp_path / "sources.yaml", SETTINGS)
    assert source.sweep == timedelta(days=days)


def test_where_only_a_sweep_finds_deletions_it_is_daily_unless_set(tmp_path: Path) -> None:
    (tmp_path / "sources.yaml").write_text("sources:\n  - platform: notion\n")
    (source,) = load_sources(tmp_path / "sources.yaml", SETTINGS)
    assert source.sweep == timedelta(days=1)
