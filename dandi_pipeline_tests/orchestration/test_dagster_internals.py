"""Any private name of Dagster may go: a sync is recorded all the same, its events one by one."""

import ast
import builtins
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.plan.step import ExecutionStep
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster_postgres.event_log import PostgresEventLogStorage

from dandi_pipeline.orchestration import dagster_internals
from dandi_pipeline.orchestration.history import freshness_of, past_syncs
from dandi_pipeline.orchestration.instance import DAGSTER_YAML, open_instance
from dandi_pipeline.orchestration.recording import RESULT, SOURCE
from dandi_pipeline_tests.orchestration.served import CHECKOUT
from dandi_pipeline_tests.orchestration.site import ASSETS, DANDISETS, Site, materialized, statuses
from dandi_pipeline_tests.postgresql import PostgresqlServer

MODULE = dagster_internals.__name__
OWNERS: Mapping[str, Sequence[type]] = {
    "storage": (SqliteEventLogStorage, PostgresEventLogStorage),
    "instance": (dg.DagsterInstance,),
    "context": (dg.AssetExecutionContext,),
    "context.instance": (dg.DagsterInstance,),
    "self._step": (ExecutionStep,),
}
"""Dagster's objects as the module calls them, and their classes."""

PUBLIC = {"context.run", "context.instance", "context.job_name", "instance.get_runs", "instance.delete_run"}
PUBLIC |= {"instance.fetch_materializations", "instance.root_directory"}


def imported() -> Iterator[str]:
    """Yield what the module imports of Dagster's private modules when it runs."""
    tree = ast.parse(inspect.getsource(dagster_internals))
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        for node in ast.walk(function):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dagster."):
                yield from (alias.name for alias in node.names)


def attributes() -> Iterator[str]:
    """Yield what it uses of Dagster's objects, e.g. "storage.run_connection"."""
    for node in ast.walk(ast.parse(inspect.getsource(dagster_internals))):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in OWNERS:
            yield ast.unparse(node)


IMPORTED = sorted(set(imported()))
ATTRIBUTES = sorted(set(attributes()) - PUBLIC)


def take_away(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let the module, and it alone, find nothing by this name: Dagster itself needs it."""
    if name in IMPORTED:
        monkeypatch.setattr(builtins, "__import__", importing_all_but(name))
        return
    owner, _, attribute = name.rpartition(".")
    for of in OWNERS[owner]:
        monkeypatch.setattr(of, "__getattribute__", finding_all_but(attribute))


def importing_all_but(lost: str) -> Any:
    real = builtins.__import__

    def find(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        if globals and globals.get("__name__") == MODULE and lost in (fromlist or ()):
            raise ImportError(f"cannot import name {lost!r} from {name!r}")
        return real(name, globals, locals, fromlist, level)

    return find


def finding_all_but(lost: str) -> Any:
    def find(self: object, name: str) -> Any:
        if name == lost and sys._getframe(1).f_globals["__name__"] == MODULE:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return object.__getattribute__(self, name)

    return find


def with_another_signature(lost: str) -> Any:
    def refuse(*_: object, **__: object) -> None:
        raise TypeError(f"{lost}() missing 1 required positional argument")

    def find(self: object, name: str) -> Any:
        if name == lost and sys._getframe(1).f_globals["__name__"] == MODULE:
            return refuse
        return object.__getattribute__(self, name)

    return find


def assert_recorded(site: Site, instance: dg.DagsterInstance) -> None:
    """Check that the only sync there was left what each sync leaves, once."""
    (run,) = instance.get_runs()
    assert run.status is dg.DagsterRunStatus.SUCCESS
    keys = [f"00000{number}" for number in range(1, 7)]
    for asset in (ASSETS, DANDISETS):
        events = instance.fetch_materializations(asset, limit=100).records
        assert sorted(str(event.partition_key) for event in events) == keys
        assert len(instance.fetch_observations(asset, limit=100).records) == 1
    assert set(statuses(instance, site.shown).values()) == {"MATERIALIZED"}
    lines = [entry.user_message for entry in instance.all_logs(run.run_id) if not entry.is_dagster_event]
    assert sorted(line[:6] for line in lines if line.startswith("00000")) == keys
    assert (run.tags[SOURCE], run.tags[RESULT]) == ("dandi", "6 added")


def test_the_names_are_found_in_the_module() -> None:
    assert {"InstanceRef", "SqliteEventLogStorage", "StepMaterializationData", "create_db_conn_string"} < set(IMPORTED)
    assert {"storage._store_asset_event", "storage.store_event_batch", "instance.get_ticks"} < set(ATTRIBUTES)


@pytest.mark.parametrize("name", [*IMPORTED, *ATTRIBUTES])
def test_without_a_private_name_a_sync_is_recorded_all_the_same(
    name: str, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_away(monkeypatch, name)
    home = site.settings.dagster_home

    report = site.sync()

    assert not report.problems
    with open_instance(home) as instance:
        assert_recorded(site, instance)
    (past,) = past_syncs(home)
    assert past.report is not None
    assert (past.status, past.report.to_json()) == ("done", report.to_json())
    with site.mirror() as mirror:
        fresh = freshness_of(home, [site.source], mirror, datetime.now(timezone.utc))["dandi"]
    assert fresh.checked is not None
    assert not fresh.missing


@pytest.mark.parametrize("name", [name for name in ATTRIBUTES if name.startswith("storage.")])
def test_a_private_call_that_takes_something_else_doubles_no_event(
    name: str, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = name.removeprefix("storage.")
    monkeypatch.setattr(SqliteEventLogStorage, "__getattribute__", with_another_signature(method))

    site.sync()

    with open_instance(site.settings.dagster_home) as instance:
        assert_recorded(site, instance)


@pytest.mark.parametrize("name", ["run_connection", "prepare_insert_event_batch", "store_event_batch"])
@pytest.mark.parametrize("lost", [finding_all_but, with_another_signature])
def test_on_postgresql_it_is_the_same(
    name: str, lost: Any, site: Site, monkeypatch: pytest.MonkeyPatch, postgresql_server: PostgresqlServer
) -> None:
    url = postgresql_server.create_database().replace("postgresql:", "postgresql+psycopg2:")
    site.settings.dagster_home.mkdir()
    (site.settings.dagster_home / "dagster.yaml").write_text(f'storage: {{postgres: {{postgres_url: "{url}"}}}}')
    monkeypatch.setattr(PostgresEventLogStorage, "__getattribute__", lost(name))

    site.sync()

    with open_instance(site.settings.dagster_home) as instance:
        assert_recorded(site, instance)


def test_a_failed_partition_is_marked_also_where_events_are_logged_one_by_one(
    site: Site, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_away(monkeypatch, "storage._store_asset_event")
    site.archive.faults.add("status", status=400, path="dandisets/000002/versions")

    site.sync()

    shown = statuses(instance, site.shown)
    assert shown.pop("000002") == "FAILED"
    assert set(shown.values()) == {"MATERIALIZED"}


def test_without_planned_events_a_failed_partition_keeps_its_mark_and_the_log_says_so(
    site: Site, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_away(monkeypatch, "AssetMaterializationPlannedData")
    site.archive.faults.add("status", status=400, path="dandisets/000002/versions")

    assert [problem.partition for problem in site.sync().problems] == ["000002"]

    assert statuses(instance, site.shown)["000002"] is None
    assert sorted(materialized(instance)) == ["000001", "000003", "000004", "000005", "000006"]
    (run,) = instance.get_runs()
    told = [entry.user_message for entry in instance.all_logs(run.run_id)]
    assert "000002: cannot be shown as failed with this version of Dagster" in told


def test_private_names_stand_in_one_module_alone() -> None:
    private = re.compile(r"\bdagster(_\w+)?(\.\w+)*\._\w+|\bdagster_(shared|postgres|graphql)\b\.")
    files = [*(CHECKOUT / "dandi_pipeline").rglob("*.py"), *(CHECKOUT / "deploy").rglob("*.yaml")]
    naming = [file for file in files if private.search(file.read_text(encoding="utf-8"))]
    assert naming == [Path(dagster_internals.__file__)]
    assert not private.search(DAGSTER_YAML)
