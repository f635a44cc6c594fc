"""What starts often starts light: held by what is imported, which is exact, and not by a clock."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dandi_pipeline_tests.orchestration.served import CHECKOUT

HELP = """
from dandi_pipeline.cli.commands import commands
from dandi_pipeline.cli.main import main
for name in ("", *commands.commands):
    assert main([*name.split(), "--help"]) == 0
"""
HISTORY = """
from dandi_pipeline.cli.main import main
assert main(["history"]) == 0
"""
DEFINITIONS = """
from dandi_pipeline.orchestration.assembly import build_defs
build_defs().get_repository_def()
"""
TELL = """
import json, sys
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.mark.parametrize(
    ("work", "left_out"),
    [
        pytest.param(
            HELP,
            {
                "dagster",
                "sqlalchemy",
                "alembic",
                "pandas",
                "numpy",
                "requests",
                "urllib3",
                "pydantic",
                "yaml",
                "orjson",
            },
            id="the help of every command",
        ),
        pytest.param(HISTORY, {"alembic", "pandas", "numpy", "dagster_postgres"}, id="the history"),
        pytest.param(
            DEFINITIONS,
            {"pandas", "numpy", "grpc", "dagster_postgres", "dagster_webserver", "dagster_graphql"},
            id="the code location",
        ),
    ],
)
def test_what_is_not_needed_is_not_loaded(work: str, left_out: set[str], tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-c", work + TELL], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
    )
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert left_out.isdisjoint(loaded), left_out.intersection(loaded)
