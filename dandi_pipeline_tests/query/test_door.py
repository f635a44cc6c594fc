"""The door: hostile statements against each of its layers alone and against both, and harmless ones through it."""

import sys
import time
from typing import Any

import pytest

from dandi_pipeline.errors import DatabaseUnavailable, PipelineError, QueryRefused, QueryStopped
from dandi_pipeline.query.door import Bounds, Door
from dandi_pipeline.query.questions import QUESTIONS
from dandi_pipeline.query.statements import checked
from dandi_pipeline_tests.memory import watched_memory
from dandi_pipeline_tests.query import statements
from dandi_pipeline_tests.query.conftest import LOGGED, SECRET, contents
from dandi_pipeline_tests.query.fuzz import fuzz

LIMIT = 0.5
"""Seconds for a costly statement."""

FUZZED = 10.0
"""Seconds for each database; `python -m dandi_pipeline_tests.query.fuzz` takes as many as it is told."""

LATE = 0.5
ADDED = 200 * 1024 * 1024
BOUNDS = Bounds(rows=2000, size=4_000_000, seconds=LIMIT)

LAYERS = {
    "text alone": {"by_text": True, "by_engine": False},
    "engine alone": {"by_text": False, "by_engine": True},
    "both": {"by_text": True, "by_engine": True},
}


def answered(door: Door, statement: str, *, by_text: bool, by_engine: bool) -> str | None:
    """Return all that an answer or a refusal says; None where the statement was ended for what it takes."""
    try:
        with door.reading(statement, bounds=BOUNDS, by_text=by_text, by_engine=by_engine) as reading:
            return f"{reading.columns} {reading.rows()}"
    except QueryStopped:
        return None
    except PipelineError as refusal:
        return str(refusal)


@pytest.fixture(params=LAYERS, ids=lambda name: str(name).replace(" ", "-"))
def layers(request: pytest.FixtureRequest) -> dict[str, bool]:
    return LAYERS[str(request.param)]


def test_there_are_two_hundred_hostile_statements_for_each_database_and_more() -> None:
    for database in ("sqlite", "postgresql"):
        kinds = (statements.PRIVATE_READINGS[database], statements.PECULIAR[database], statements.COSTLY[database])
        assert sum(map(len, kinds)) + len(statements.WRITES) >= 200


def test_nothing_is_read_that_is_behind_the_door(door: Door, layers: dict[str, bool]) -> None:
    for statement in (*statements.PRIVATE_READINGS[door.dialect_name], *statements.PECULIAR[door.dialect_name]):
        said = answered(door, statement, **layers) or ""
        assert SECRET not in said, statement
        assert LOGGED not in said, statement
        assert "SCRAM-SHA-256" not in said, statement


def test_nothing_is_written(door: Door, layers: dict[str, bool], request: pytest.FixtureRequest) -> None:
    url = str(request.getfixturevalue(f"guarded_{door.dialect_name}"))
    before = contents(url)
    for statement in (*statements.WRITES, *statements.PECULIAR[door.dialect_name]):
        answered(door, statement, **layers)
    assert contents(url) == before


@pytest.mark.skipif(sys.platform != "linux", reason="how much memory a process takes is read from /proc")
def test_nothing_outlives_its_limit_or_takes_much_memory(door: Door, layers: dict[str, bool]) -> None:
    answered(door, "SELECT 1", **layers)  # The parser is loaded by the first of all.
    with watched_memory() as memory:
        for statement in statements.COSTLY[door.dialect_name]:
            began = time.monotonic()
            answered(door, statement, **layers)
            assert time.monotonic() - began < LIMIT + LATE, statement
    assert memory.most < ADDED


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("statement", statements.DOUBLING)
def test_subqueries_that_double_each_other_are_refused_by_their_text(database: str, statement: str) -> None:
    with pytest.raises(QueryRefused, match="subqueries repeat each other's columns too often"):
        checked(statement, database, ("dandisets",))


@pytest.mark.parametrize("statement", statements.HARMLESS)
def test_a_harmless_statement_is_answered_as_the_database_would(door: Door, statement: str) -> None:
    with door.reading(statement) as guarded:
        with door.reading(statement, by_text=False, by_engine=False) as plain:
            assert sorted(map(str, guarded.rows())) == sorted(map(str, plain.rows()))
        assert guarded.columns == plain.columns
        assert guarded.cut is None


@pytest.mark.parametrize("number", QUESTIONS)
def test_a_question_is_answered_through_both_layers(door: Door, number: str) -> None:
    question = QUESTIONS[number]
    with door.reading(question.sql) as reading:
        reading.rows()
        assert reading.columns == question.columns


def test_rows_and_bytes_are_bounded_while_they_are_read(door: Door) -> None:
    with door.reading("SELECT path FROM draft_assets", bounds=Bounds(rows=3)) as reading:
        assert len(reading.rows()) == 3
        assert reading.cut == "rows"
    with door.reading("SELECT metadata FROM draft_assets", bounds=Bounds(size=5000)) as reading:
        assert 0 < sum(len(row[0]) for row in reading.rows()) < 5000
        assert reading.cut == "bytes"
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    with door.reading(endless, bounds=Bounds(rows=10)) as reading:
        assert [row[0] for row in reading.rows()] == list(range(1, 11))


def test_a_reading_that_is_left_early_ends_its_process(door: Door) -> None:
    began = time.monotonic()
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    with door.reading(endless, bounds=Bounds(rows=None, size=None, seconds=60)) as reading:
        assert len(next(reading.batches())) > 0
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("value", "expected"),
    [("000001", "000001"), ("it's 100% :here", "it's 100% :here"), (7, 7), (None, None), (True, True), (1.5, 1.5)],
)
def test_parameters_are_values_and_nothing_else(door: Door, value: Any, expected: Any) -> None:
    statement = "SELECT :value AS value, ':value 5%' AS text, CAST('12:30' AS TEXT) -- :value"
    with door.reading(statement, {"value": value}) as reading:
        ((found, text, clock),) = reading.rows()
    assert (found, text, clock) == (expected, ":value 5%", "12:30")


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("DELETE FROM dandisets", "DELETE is not answered; only SELECT is"),
        ("SELECT 1; SELECT 2", "2 statements were given; exactly one SELECT is answered"),
        ("", "0 statements were given; exactly one SELECT is answered"),
        ("SELECT * FROM partitions", r"there is no public table or view 'partitions'; there are: .*dandisets"),
        ("SELECT * FROM main.dandisets", r"main\.dandisets: name a table without its schema or database"),
        ("SELECT mine(1)", "the function 'mine' is not allowed here"),
        ("SELECT 1 FROM", "the statement cannot be read: "),
        ("SELECT nothing FROM dandisets", "nothing"),
        ("SELECT 1 --" + "x" * 20_000, "the statement has 20,011 characters; at most 20,000 are read"),
    ],
)
def test_a_refusal_says_why_in_a_sentence(door: Door, statement: str, why: str) -> None:
    with pytest.raises(QueryRefused, match=why) as refused, door.reading(statement):
        pass
    assert "\n" not in str(refused.value)


def test_what_takes_too_long_is_told_so(door: Door) -> None:
    with (
        pytest.raises(QueryStopped, match=r"took more than its 0\.3 seconds"),
        door.reading(statements.COSTLY["sqlite"][0], bounds=Bounds(seconds=0.3)) as reading,
    ):
        reading.rows()


def test_where_no_mirror_is_the_door_says_so(empty_sqlite_url: str) -> None:
    with pytest.raises(DatabaseUnavailable, match="there is no mirror yet; dandi-pipeline sync makes it"):
        Door(empty_sqlite_url)


def test_the_text_is_sent_without_its_comments_and_otherwise_as_it_is() -> None:
    statement = "SELECT  name /* /* nested? */ FROM dandisets -- all\nWHERE name = '--' AND size>=:least;"
    text = "SELECT name FROM dandisets WHERE name = '--' AND size>=:least"
    assert checked(statement, "sqlite", ("dandisets",)) == text
    # PostgreSQL's comments nest, and this one does not end.
    with pytest.raises(QueryRefused):
        checked(statement, "postgresql", ("dandisets",))


def test_random_statements_get_through_neither_layer(door: Door, request: pytest.FixtureRequest) -> None:
    url = str(request.getfixturevalue(f"guarded_{door.dialect_name}"))
    tally = fuzz(door, url, seconds=FUZZED, seed=7)
    assert tally["refused"] > 10
