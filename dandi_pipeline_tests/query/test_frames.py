"""Python asks the mirror and gets DataFrames, the same from both databases."""

import subprocess
import sys
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dandi_pipeline import query
from dandi_pipeline.errors import DatabaseUnavailable, QueryRefused
from dandi_pipeline.query import Connection, connect
from dandi_pipeline.query.questions import QUESTIONS
from dandi_pipeline_tests.cli.conftest import CHECKOUT
from dandi_pipeline_tests.end_to_end.rig import Rig
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world


@pytest.fixture
def rig(mirror_url: str, tmp_path: Path) -> Any:
    with SimulatedArchive(generated_world(dandisets=4, assets=5)) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        rig.sync()
        yield rig


@pytest.fixture
def mirror(rig: Rig) -> Any:
    with connect(rig.url) as opened:
        yield opened


def test_sql_gives_typed_columns(mirror: Connection) -> None:
    frame = mirror.sql(
        "SELECT dandiset_id, size, created, visible, CASE WHEN dandiset_id = '000001' THEN NULL ELSE 7 END AS seven,"
        " size / 2.0 AS half FROM dandisets WHERE dandiset_id <= :last ORDER BY dandiset_id",
        last="000002",
    )
    assert list(frame["dandiset_id"]) == ["000001", "000002"]
    assert frame["size"].dtype == "int64"
    assert frame["seven"].dtype == "Int64"
    assert frame["half"].dtype == "float64"
    assert str(frame["created"].dt.tz) == "UTC"
    assert frame["visible"].all()


def test_an_empty_answer_still_has_its_columns(mirror: Connection) -> None:
    frame = mirror.sql("SELECT path, size FROM draft_assets WHERE path = ''")
    assert list(frame.columns) == ["path", "size"]
    assert frame.empty


def test_two_columns_of_one_name_are_both_there(mirror: Connection) -> None:
    frame = mirror.sql("SELECT 1 AS x, 'a' AS x")
    assert frame.to_numpy().tolist() == [[1, "a"]]


@pytest.mark.parametrize("number", ["Q01", "q5", 14])
def test_the_questions_are_asked_by_number(mirror: Connection, number: Any) -> None:
    asked = QUESTIONS[f"Q{str(number).upper().removeprefix('Q'):0>2}"]
    assert tuple(mirror.ask(number).columns) == asked.columns


def test_a_question_can_be_put_to_the_past(rig: Rig, mirror: Connection) -> None:
    then, before = datetime.now(timezone.utc), mirror.ask("Q05")
    rig.archive.world.delete_dandiset("000001")
    rig.sync(allow_mass_deletion=True)
    assert not mirror.ask("Q05").equals(before)
    pd.testing.assert_frame_equal(mirror.ask("Q05", as_of=then), before)


def test_no_other_question_is_there(mirror: Connection) -> None:
    with pytest.raises(QueryRefused, match="there is no question 'Q21'; there are Q01 to Q20"):
        mirror.ask("Q21")


def test_changes_are_those_since_a_moment_a_while_or_a_sequence(rig: Rig, mirror: Connection) -> None:
    seen = rig.last_change()
    since = datetime.now(timezone.utc)
    rig.archive.world.add_asset("000001", "sub-new/sub-new.nwb", size=5)
    rig.archive.world.remove_asset("000002", min(rig.archive.world.dandisets["000002"].draft.assets))
    rig.sync()
    found = mirror.changes(since, record="asset")
    assert sorted(zip(found["partition"], found["kind"], strict=True)) == [("000001", "insert"), ("000002", "delete")]
    assert found["sequence"].is_monotonic_increasing
    assert str(found["at"].dt.tz) == "UTC"
    assert list(mirror.changes(seen, record="asset")["sequence"]) == list(found["sequence"])
    assert list(mirror.changes(since, record="asset", kind="delete", dandiset_id=2)["partition"]) == ["000002"]
    assert len(mirror.changes(since, source="elsewhere")) == 0
    assert len(mirror.changes(timedelta(hours=1))) == len(mirror.changes()) > len(found)
    assert mirror.changes(date.today() + timedelta(days=2)).empty
    newest = mirror.changes(limit=1, images=True)
    assert list(newest["sequence"]) == [rig.last_change()]
    assert {"before", "after"} <= set(newest.columns)


def test_every_column_that_can_be_asked_is_described_and_is_there(mirror: Connection) -> None:
    described = mirror.describe()
    assert described["meaning"].str.len().min() > 0
    for table, columns in described.groupby("table")["column"]:
        held = mirror.sql(f"SELECT * FROM {table} WHERE 1 = 0")
        assert set(columns) <= set(held.columns), table


def test_the_functions_of_the_package_ask_the_mirror_of_the_environment(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIRROR_DATABASE_URL", rig.url)
    assert list(query.sql("SELECT 1 AS one")["one"]) == [1]
    assert list(query.ask("Q01").columns) == ["dandiset_id", "subjects", "assets"]
    assert len(query.changes("2020-01-01")) == rig.last_change()
    assert len(query.as_of(datetime.now(timezone.utc), "dandisets")) == 3
    assert not query.search(rig.archive.world.dandisets["000001"].draft.metadata["name"]).empty
    assert not query.describe().empty


def test_nothing_can_be_written_and_no_mirror_is_told(mirror: Connection, tmp_path: Path) -> None:
    with pytest.raises(QueryRefused):
        mirror.sql("DELETE FROM dandisets")
    with pytest.raises(DatabaseUnavailable, match="there is no mirror yet"):
        connect(f"sqlite:///{tmp_path / 'none.sqlite'}")


def test_asking_imports_no_dagster_and_no_parser() -> None:
    code = (
        "import sys; from dandi_pipeline import query;"
        " print([name for name in ('dagster', 'sqlglot', 'mcp', 'pyarrow', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert done.stdout.strip() == "[]"
