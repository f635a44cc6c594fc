"""What compares mirrors with platforms notices what it must: a check that nobody has seen fail is not yet one."""

from collections import Counter
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from dandi_pipeline_tests.end_to_end.equality import plain_engine
from dandi_pipeline_tests.end_to_end.strictness import require_columns, same
from dandi_pipeline_tests.platforms.airtable.histories import History as AirtableHistory
from dandi_pipeline_tests.platforms.airtable.rig import Rig as AirtableRig
from dandi_pipeline_tests.platforms.airtable.rig import small_world
from dandi_pipeline_tests.platforms.notion.rig import Rig as NotionRig
from dandi_pipeline_tests.simulators.airtable import UNLIMITED as UNLIMITED_AIRTABLE
from dandi_pipeline_tests.simulators.airtable import SimulatedAirtable
from dandi_pipeline_tests.simulators.notion import UNLIMITED, SimulatedNotion, generated_world
from dandi_pipeline_tests.soak.divergence import Divergence


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, True), (0, False), ("1", 1), (None, False), ([1], [True]), ({"a": 1}, {"a": True}), ({}, []), ([1], [1, 2])],
)
def test_values_of_two_types_are_not_the_same(left: Any, right: Any) -> None:
    assert left != right or not same(left, right)
    assert not same(left, right)
    assert not same(right, left)


@pytest.mark.parametrize("value", [True, 1, 1.0, "a", None, [1, {"a": [False]}], {"a": {}}], ids=str)
def test_a_value_is_the_same_as_itself(value: Any) -> None:
    assert same(value, value)
    assert same(1, 1.0)


def test_a_column_that_the_oracle_was_not_told_of_is_noticed() -> None:
    require_columns("t", ["a", "b"], {"b", "a"})
    with pytest.raises(AssertionError, match=r"\['c'\] that no oracle knows"):
        require_columns("t", ["a", "b", "c"], {"b", "a"})
    with pytest.raises(AssertionError, match=r"lacks \['b'\]"):
        require_columns("t", ["a"], {"b", "a"})


def _execute(url: str, statement: str) -> None:
    engine = plain_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text(statement))


CORRUPTED = {
    "created": "'2001-01-01T00:00:00.000000Z'",
    "cells": """'{"x": 1}'""",
    "metadata": """'{"id": "x", "properties": {}, "fields": {}}'""",
}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *((name, value) for name, value in CORRUPTED.items() if name != "metadata"),
        ("last_edited", CORRUPTED["created"]),
        ("title", "'x'"),
        ("url", "'x'"),
        ("in_trash", "true"),
    ],
)
def test_notions_oracle_compares_every_column(mirror_url: str, column: str, value: str) -> None:
    with SimulatedNotion(generated_world(sources=2, pages=3), limits=UNLIMITED) as notion:
        rig = NotionRig(notion, mirror_url)
        rig.sync()
        assert rig.differences() == []
        _execute(mirror_url, f"UPDATE notion_pages SET {column} = {value}")
        assert len(rig.differences()) >= 3
        _execute(mirror_url, "UPDATE schemas SET name = 'x'")
        assert sum(difference.page == "" for difference in rig.differences()) == 2
        _execute(mirror_url, "ALTER TABLE notion_pages ADD COLUMN surprise TEXT")
        with pytest.raises(AssertionError, match="surprise"):
            rig.differences()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("created", CORRUPTED["created"]),
        ("cells", CORRUPTED["cells"]),
        ("errors", """'{"x": 1}'"""),
        ("metadata", """'{"id": "x", "fields": {}}'"""),
    ],
)
def test_airtables_oracle_compares_every_column(mirror_url: str, column: str, value: str) -> None:
    with SimulatedAirtable(small_world(tables=1, records=3), limits=UNLIMITED_AIRTABLE) as airtable:
        rig = AirtableRig(mirror_url, airtable)
        rig.sync()
        assert rig.differences() == []
        _execute(mirror_url, f"UPDATE airtable_records SET {column} = {value}")
        assert rig.differences()
        _execute(mirror_url, "ALTER TABLE airtable_records ADD COLUMN surprise TEXT")
        with pytest.raises(AssertionError, match="surprise"):
            rig.differences()


def test_a_history_of_airtable_whose_last_sweep_fails_diverges(sqlite_url: str) -> None:
    """Every full sync is refused, which no sync before it meets."""

    class Refused(AirtableRig):
        def sync(self, **options: Any) -> Any:
            if options.get("full"):
                self.airtable.faults.add("status", status=403, kind="tables")
            try:
                return super().sync(**options)
            finally:
                self.airtable.faults.clear()

    tally: Counter[str] = Counter()
    with SimulatedAirtable(small_world(tables=1, records=3), limits=UNLIMITED_AIRTABLE) as airtable:
        history = AirtableHistory(Refused(sqlite_url, airtable), Random(0), tally)
        with pytest.raises(Divergence, match="the last sweep failed"):
            history.play(3)
    assert tally["sweeps"] == 0
    assert tally["sweeps that failed"] >= 1
