"""Exports hold every row, whatever is in it, and never more than a batch of them in memory."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import sqlalchemy as sa

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.errors import QueryRefused
from dandi_pipeline.query.door import Door
from dandi_pipeline.query.exporting import Format, export
from dandi_pipeline_tests.cli.conftest import CHECKOUT
from dandi_pipeline_tests.end_to_end.equality import plain_engine
from dandi_pipeline_tests.query.conftest import opened_door

MANY = 100_000
MOST_MEMORY = 300 * 1024 * 1024


def exported(door: Door, what: str, form: Format) -> bytes:
    target = io.BytesIO()
    export(door, what, target, form)
    return target.getvalue()


def test_each_format_holds_every_row(door: Door) -> None:
    with door.reading("SELECT * FROM draft_assets") as reading:
        expected = sorted(dict(zip(reading.columns, map(str, row), strict=True))["path"] for row in reading.rows())
    lines = exported(door, "draft_assets", "jsonl").decode().splitlines()
    assert sorted(json.loads(line)["path"] for line in lines) == expected
    rows = list(csv.DictReader(io.StringIO(exported(door, "draft_assets", "csv").decode())))
    assert sorted(row["path"] for row in rows) == expected
    table = pyarrow.parquet.read_table(io.BytesIO(exported(door, "draft_assets", "parquet")))
    assert sorted(table.column("path").to_pylist()) == expected
    types = {field.name: str(field.type) for field in table.schema}
    assert types["size"] == "int64"
    assert types["created"] == "timestamp[us, tz=UTC]"
    assert types["metadata"] == "string"


def test_a_query_is_exported_with_the_types_that_all_its_rows_take(door: Door) -> None:
    statement = (
        "SELECT NULL AS none_at_all, 1 AS i, 'x' AS t, 1 AS n UNION ALL SELECT NULL, 2, 'ä', 3"
        " UNION ALL SELECT NULL, NULL, NULL, 7"
    )
    table = pyarrow.parquet.read_table(io.BytesIO(exported(door, statement, "parquet")))
    assert {field.name: str(field.type) for field in table.schema} == {
        "none_at_all": "null", "i": "int64", "t": "string", "n": "int64",
    }  # fmt: skip
    assert sorted(table.column("n").to_pylist()) == [1, 3, 7]
    empty = pyarrow.parquet.read_table(
        io.BytesIO(exported(door, "SELECT path FROM draft_assets WHERE 1 = 0", "parquet"))
    )
    assert empty.num_rows == 0


def test_what_is_behind_the_door_is_not_exported(door: Door) -> None:
    for what in ("partitions", "strangers", "SELECT * FROM partitions", "nothing"):
        with pytest.raises(QueryRefused):
            exported(door, what, "csv")


MEASURED = """
import sys
from dandi_pipeline.cli.main import main
from dandi_pipeline_tests.memory import peak_bytes, watched_memory

with watched_memory() as memory:
    code = main(sys.argv[1:])
assert memory.most > 0, "no worker was seen"
print(max(peak_bytes(), memory.most))
sys.exit(code)
"""
"""Prints the largest peak of the command and of the worker that reads for it."""


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is told otherwise elsewhere")
@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_a_hundred_thousand_assets_with_metadata_take_little_memory(many: str, tmp_path: Path, form: str) -> None:
    path = tmp_path / f"assets.{form}"
    command = [sys.executable, "-c", MEASURED, "export", "draft_assets", "--format", form, "--output", str(path)]
    environ = {"PATH": "/usr/bin:/bin", "MIRROR_DATABASE_URL": many, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environ)
    assert done.returncode == 0, done.stderr
    assert f"{MANY:,} rows written" in done.stderr
    assert int(done.stdout.split()[-1]) < MOST_MEMORY
    assert not list(tmp_path.glob("*.part"))


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make a mirror with very many assets, put into the table as they are."""
    url = f"sqlite:///{tmp_path_factory.mktemp('many') / 'mirror.sqlite'}"
    open_mirror(url).close()
    metadata = json.dumps({"description": "of an asset, as long as they are on average " * 50})
    row: dict[str, Any] = {"metadata": metadata}
    with plain_engine(url).begin() as connection:
        connection.execute(
            sa.text(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
                " INSERT INTO assets (source, dandiset_id, version, path, asset_id, size, content_hash, metadata)"
                " SELECT 'dandi', '000001', 'draft', 'sub-' || i, 'id-' || i, i, '', :metadata FROM n"
            ),
            row,
        )
    with opened_door(url):
        return url
