"""A DAGSTER_HOME works from its first use on, whoever comes first, and is never overwritten."""

import re
import stat
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from dandi_pipeline.errors import ConfigurationError
from dandi_pipeline.orchestration.instance import DAGSTER_YAML, open_instance, prepare_home
from dandi_pipeline.settings import Settings
from dandi_pipeline_tests.orchestration.served import CHECKOUT

PREPARE = """
import sys
from pathlib import Path
from dandi_pipeline.orchestration.instance import open_instance, prepare_home

print("ready", flush=True)
sys.stdin.readline()
with open_instance(prepare_home(Path(sys.argv[1]))) as instance:
    print(len(instance.get_runs()))
"""


def test_a_home_is_its_owners_and_sends_no_telemetry(tmp_path: Path) -> None:
    home = prepare_home(tmp_path / "deep" / "home")

    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    with open_instance(home) as instance:
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        assert instance.get_runs() == []


def test_what_the_operator_wrote_is_kept(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    prepare_home(tmp_path)
    prepare_home(tmp_path)
    assert (tmp_path / "dagster.yaml").read_text() == "telemetry:\n  enabled: false\n"


def test_processes_that_come_first_at_the_same_time_all_succeed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PREPARE, str(tmp_path / "home")]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60) for process in processes]
    assert answers == [("0\n", "")] * 2


def test_what_other_peoples_assets_print_is_kept(tmp_path: Path) -> None:
    @dg.asset
    def loud() -> None:
        print("heard")

    home = prepare_home(tmp_path / "home")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert dg.materialize([loud], instance=instance).success
    assert [file.read_text() for file in home.glob("storage/*/compute_logs/*.out")] == ["heard\n"]


def test_a_deployment_that_lacks_its_sources_file_loads_nothing(tmp_path: Path) -> None:
    exports = re.findall(r"export (\w+)=(\S+)", (CHECKOUT / "deploy" / "README.md").read_text(encoding="utf-8"))
    environ = {**dict(exports), "DANDI_PIPELINE_SOURCES": str(tmp_path / "sources.yaml")}
    assert set(environ) == set(dict(exports))
    with pytest.raises(ConfigurationError, match=r"DANDI_PIPELINE_SOURCES: .*/sources.yaml is not a file"):
        Settings.from_environment(environ, tmp_path)


def test_the_deployments_commands_listen_on_loopback_alone() -> None:
    text = (CHECKOUT / "deploy" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"(?:-h |host: )([\w.]+)", text) == ["127.0.0.1"] * 3


def test_the_deployments_configuration_differs_in_its_storage_alone() -> None:
    deployed = yaml.safe_load((CHECKOUT / "deploy" / "dagster.yaml").read_text())
    storage = deployed.pop("storage")
    assert deployed == yaml.safe_load(DAGSTER_YAML)
    assert storage == {"postgres": {"postgres_url": {"env": "DAGSTER_POSTGRES_URL"}}}
