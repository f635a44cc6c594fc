"""Each partition reads as a table: typed, with the users' own names, and never wider or narrower than its shape."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, get_args

import orjson
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dandi_pipeline.catalogue import FACET_SCHEMA, PUBLIC
from dandi_pipeline.errors import UnexpectedPayload
from dandi_pipeline.mirror import Mirror
from dandi_pipeline.mirror.database import Database, dialect_of
from dandi_pipeline.mirror.views import create_views, drop_views
from dandi_pipeline.model import CellType, Record, RecordKind, Shape, ShapeColumn
from dandi_pipeline_tests.mirror.records import (
    INSTANT,
    PAGE,
    RECORD,
    engine_of,
    opened,
    page,
    query,
    schema,
    table_record,
)

TASKS = "248104cd-477e-80af-bc30-000bd28de8f9"
OTHERS = "31b5e2aa-0000-4000-8000-00000badcafe"


def shape(name: str = "Tasks", *columns: tuple[str, str, CellType], kind: RecordKind = PAGE) -> Shape:
    return Shape(kind, name, [ShapeColumn(*column) for column in columns])


def store(
    mirror: Mirror, read_as: Shape, *records: Record, partition: str = TASKS, source: str = "notion", run: str = "run"
) -> None:
    part = read_as.kind.part
    with mirror.session(source, partition, [part]) as session:
        session.shape(read_as)
        session.stage(records)
        session.commit(run_id=run, tokens={part: "token"})


def remove(mirror: Mirror, partition: str = TASKS) -> None:
    with mirror.session("notion", partition, ["pages"]) as session:
        session.remove(run_id="run")


def views(url: str) -> dict[str, str]:
    """Return the views' names by partition, as programs find them, and check that they are all there is."""
    named = {row["partition"]: row["view_name"] for row in query(url, "SELECT partition, view_name FROM shapes")}
    engine = engine_of(url)
    existing = set(sa.inspect(engine).get_view_names()) - set(PUBLIC)
    engine.dispose()
    assert set(named.values()) == existing
    return named


def columns(url: str, view: str) -> list[str]:
    engine = engine_of(url)
    found = [column["name"] for column in sa.inspect(engine).get_columns(view)]
    engine.dispose()
    return found


# -- columns ----------------------------------------------------------------------------------------------------------


def test_a_partition_reads_as_a_table_under_its_users_names(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        read_as = shape("Tasks", ("Estimate", "a%3Ab", "number"), ("Is it done?", "c", "boolean"))
        store(mirror, read_as, schema(), page("p1", cells={"a%3Ab": 3.5, "c": True}), page("p2", cells={"a%3Ab": None}))
        store(mirror, read_as, page("p1", cells={"a%3Ab": 8}), partition=OTHERS, source="another")
    rows = query(mirror_url, 'SELECT page_id, page_title, "Estimate", "Is it done?" FROM notion_tasks ORDER BY page_id')
    assert [tuple(row.values()) for row in rows] == [("p1", "Bug bash", 3.5, True), ("p2", "Bug bash", None, None)]
    own = ["page_id", "page_created", "page_last_edited", "page_title", "page_url", "page_in_trash"]
    assert columns(mirror_url, "notion_tasks") == [*own, "Estimate", "Is it done?"]


def test_an_airtable_record_shows_what_its_formulas_failed_with(mirror_url: str) -> None:
    broken = table_record("rec1", errors='{"fld1":{"error":"#ERROR!"}}')
    with opened(mirror_url) as mirror:
        read_as = shape("Cages", ("Mice", "fld1", "integer"), kind=RECORD)
        store(mirror, read_as, broken, partition="appA/tblB", source="lab-base")
    [row] = query(mirror_url, 'SELECT record_id, record_errors AS errors, "Mice" FROM lab_base_cages')
    assert row == {"record_id": "rec1", "errors": {"fld1": {"error": "#ERROR!"}}, "Mice": None}


HOSTILE = [
    'say "hello"',
    "it's",
    "50%",
    "%(name)s %s ?",
    ":bound",
    "a\nb\tc",
    "\N{SNOWMAN}",
    "; DROP TABLE notion_pages; --",
    "{0} {name}",
    "back\\slash",
    " ",
    "rowid",
    "select",
    "ctid",
]


def test_a_column_may_have_any_name(mirror_url: str) -> None:
    cells = {f"it's {number}% %s :x ?": name for number, name in enumerate(HOSTILE)}
    with opened(mirror_url) as mirror:
        store(mirror, shape(HOSTILE[0], *((name, cell, "text") for cell, name in cells.items())), page(cells=cells))
        [view] = views(mirror_url).values()
    assert columns(mirror_url, view)[-len(HOSTILE) :] == HOSTILE
    [row] = query(mirror_url, f"SELECT * FROM {view}")
    assert [row[name] for name in HOSTILE] == HOSTILE


def test_a_partition_may_have_any_key(mirror_url: str) -> None:
    key = """it's "50%" %s :x ?"""
    with opened(mirror_url) as mirror:
        store(mirror, shape("Tasks"), page("mine"), partition=key)
        store(mirror, shape("Others"), page("other"))
    assert query(mirror_url, "SELECT page_id FROM notion_tasks") == [{"page_id": "mine"}]


def test_names_that_no_identifier_can_have_are_replaced(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, shape("Tasks", ("", "c1", "text"), ("a\0b", "c2", "text")))
    assert columns(mirror_url, "notion_tasks")[-2:] == ["c1", "a\N{REPLACEMENT CHARACTER}b"]


def test_names_that_clash_are_told_apart_by_the_propertys_id(mirror_url: str) -> None:
    told = [("Name", "c1"), ("name", "c2"), ("Name", "c3"), ("Page_ID", "c4"), ("Name_c3", "c5"), ("NAME", "c3")]
    with opened(mirror_url) as mirror:
        store(mirror, shape("Tasks", *((name, cell, "text") for name, cell in told)), page(cells={"c2": "second"}))
    expected = ["Name", "name_c2", "Name_c3", "Page_ID_c4", "Name_c3_c5", "NAME_c3_2"]
    assert columns(mirror_url, "notion_tasks")[-6:] == expected
    assert query(mirror_url, "SELECT page_id, name_c2 FROM notion_tasks") == [{"page_id": "page", "name_c2": "second"}]


def test_long_names_stay_apart_and_within_what_postgresql_keeps(mirror_url: str) -> None:
    long = "\N{GREEK SMALL LETTER ALPHA}" * 40
    with opened(mirror_url) as mirror:
        store(
            mirror, shape("long " * 40, (long, "c1", "text"), (long + "x", "c2" * 40, "text"), ("b" * 63, "c3", "text"))
        )
        [view] = views(mirror_url).values()
    first, second, third = columns(mirror_url, view)[-3:]
    assert first == "\N{GREEK SMALL LETTER ALPHA}" * 30 + "_c1"
    assert second == "\N{GREEK SMALL LETTER ALPHA}" * 19 + "_" + "c2" * 12
    assert third == "b" * 63
    assert len(view) == 63
    assert view.endswith("_d28de8f9")


@pytest.mark.parametrize("cell", ['a"b', "a\\b", "a\nb", ""])
def test_an_id_that_no_query_can_spell_is_refused_with_nothing_written(sqlite_url: str, cell: str) -> None:
    with (
        opened(sqlite_url) as mirror,
        pytest.raises(UnexpectedPayload, match=r"'Name' has the id .* nothing was written"),
    ):
        store(mirror, shape("Tasks", ("Name", cell, "text")), page())
    assert query(sqlite_url, "SELECT * FROM notion_pages") == []


# -- values -----------------------------------------------------------------------------------------------------------

NO_INSTANTS = [
    "2026-02-29T00:00:00.000000Z",
    "1900-02-29T00:00:00.000000Z",
    "2026-04-31T00:00:00.000000Z",
    "2026-13-01T00:00:00.000000Z",
    "2026-00-01T00:00:00.000000Z",
    "2026-01-00T00:00:00.000000Z",
    "2026-01-01T24:00:00.000000Z",
    "2026-01-01T00:60:00.000000Z",
    "2026-01-01T00:00:60.000000Z",
    "0000-01-01T00:00:00.000000Z",
    "2026-01-01T00:00:00Z",
    "2026-01-01 00:00:00.000000Z",
    "2026-01-01T00:00:00.000000Z\n",
    "\N{ARABIC-INDIC DIGIT TWO}026-01-01T00:00:00.000000Z",
    "soon",
]

instants = st.datetimes(timezones=st.just(timezone.utc)).map(
    lambda moment: moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**70), 2**70).map(float),
    st.text(st.characters(exclude_categories=["Cs"])),
    instants,
    st.sampled_from([*NO_INSTANTS, "\0", "\\u0000", "\\\0", "null", "true", "3", 0.1 + 0.2, 2**63, -(2**63), 5e-324]),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
)


def test_a_value_reads_as_its_type_and_any_other_as_null(mirror_url: str) -> None:
    kinds = get_args(CellType)
    columns = [(f"{kind} {number}", f"c{number}", kind) for number in range(12) for kind in kinds]
    # As text, since one driver parses JSON and the other does not.
    selected = ", ".join(
        f'CAST("{name}" AS TEXT) AS "{name}"' if "json" in name else f'"{name}"' for name, *_ in columns
    )
    engine = engine_of(mirror_url)
    with opened(mirror_url) as mirror:
        store(mirror, shape("Tasks", *columns))

        @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(cells=st.lists(values, min_size=12, max_size=12))
        def check(cells: list[Any]) -> None:
            document = {f"c{number}": value for number, value in enumerate(cells)}
            store(mirror, shape("Tasks", *columns), page(cells=document, content=repr(cells)))
            with engine.begin() as connection:
                row = connection.execute(sa.text(f"SELECT {selected} FROM notion_tasks")).mappings().one()
            for name, cell, kind in columns:
                read, expected = _comparable(row[name], kind), _as(document[cell], kind)
                if isinstance(document[cell], float) and read is not None:
                    # The decimals of a large float are read as they are written, or as the nearest float.
                    read = float(read)
                assert read == expected, (name, document[cell])

        check()
    engine.dispose()


def _as(value: Any, kind: CellType) -> Any:
    """Return what a value reads as: the same rules, in Python."""
    value = _without_nul(value)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "json":
        return None if value is None else _numbers(value)
    if kind == "number":
        return float(value) if number else None
    if kind == "integer":
        return value if number and math.floor(value) == value and -(2**63) <= value < 2**63 else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "instant":
        return value if isinstance(value, str) and _is_instant(value) else None
    return value if isinstance(value, str) else None


def _comparable(value: Any, kind: CellType) -> Any:
    """Return what a driver returned, alike for both databases."""
    if value is None:
        return None
    if kind == "json":
        return _numbers(orjson.loads(value))
    if kind == "number":
        return float(value)
    if kind == "boolean":
        return bool(value)
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    return value


def _is_instant(text: str) -> bool:
    try:
        moment = datetime.fromisoformat(text.removesuffix("Z"))
    except ValueError:
        return False
    return moment.isoformat(timespec="microseconds") + "Z" == text


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    return {name: _without_nul(item) for name, item in value.items()} if isinstance(value, dict) else value


def _numbers(value: Any) -> Any:
    """Return a JSON value with its numbers as floats, which is all that JSON tells of them."""
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, dict):
        return {name: _numbers(item) for name, item in value.items()}
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


SCALARS: list[tuple[list[Any], str]] = [
    ([9, 100, None, 10.5], "number"),
    (["b", None, "a"], "text"),
    ([True, False], "boolean"),
    ([[1], [2]], "json"),
    ([9, "high"], "json"),
    ([9, True], "json"),
    ([None], "number"),
    ([], "number"),
]
"""Values of a column, and what it reads as; without any, as what it is said to be then."""


@pytest.mark.parametrize(("held", "kind"), SCALARS, ids=str)
def test_a_scalar_column_has_the_type_that_all_of_its_values_have(mirror_url: str, held: list[Any], kind: str) -> None:
    read_as = Shape(PAGE, "Tasks", [ShapeColumn("Score", "it's %", "scalar", "number"), ShapeColumn("B", "b", "text")])
    with opened(mirror_url) as mirror:
        store(mirror, read_as, *(page(f"p{number}", cells={"it's %": value}) for number, value in enumerate(held)))
        store(mirror, read_as, page("other", cells={"it's %": {"no": "scalar"}}), partition=OTHERS)
    [stored] = query(mirror_url, "SELECT shape FROM shapes WHERE partition = :partition", partition=TASKS)
    definition = orjson.loads(stored["shape"]) if isinstance(stored["shape"], str) else stored["shape"]
    assert definition["columns"][0]["type"] == kind
    view = views(mirror_url)[TASKS]
    assert len(query(mirror_url, f"SELECT * FROM {view}")) == len(held)
    if kind == "number":
        above = query(mirror_url, f'SELECT "Score" FROM {view} WHERE "Score" > 9.5 ORDER BY "Score"')
        assert [float(row["Score"]) for row in above] == sorted(value for value in held if value and value > 9.5)


def test_a_scalar_column_follows_its_values(mirror_url: str) -> None:
    read_as = Shape(PAGE, "Tasks", [ShapeColumn("Score", "s", "scalar")])

    def kind() -> Any:
        [row] = query(mirror_url, "SELECT shape FROM shapes")
        shape = orjson.loads(row["shape"]) if isinstance(row["shape"], str) else row["shape"]
        return shape["columns"][0]["type"]

    with opened(mirror_url) as mirror:
        store(mirror, read_as, page("p1", cells={"s": 1}))
        assert kind() == "number"
        store(mirror, read_as, page("p2", cells={"s": "x"}))
        assert kind() == "json"
        store(mirror, read_as, page("p1", "other", cells={"s": "y"}))
        assert kind() == "text"


def test_more_scalar_columns_than_one_query_counts(mirror_url: str) -> None:
    cells = {f"c{number}": number if number % 2 else str(number) for number in range(250)}
    read_as = Shape(PAGE, "Tasks", [ShapeColumn(cell, cell, "scalar") for cell in cells])
    with opened(mirror_url) as mirror:
        store(mirror, read_as, page(cells=cells))
    [row] = query(mirror_url, "SELECT * FROM notion_tasks")
    assert {cell: row[cell] for cell in cells} == cells


def test_a_mark_reaches_the_records_that_a_reading_does_not_show(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, shape("Tasks"), page("p1"), page("p2"))
        store(mirror, Shape(PAGE, "Tasks", [], {"in_trash": True}))
        assert [row["in_trash"] for row in query(mirror_url, "SELECT in_trash FROM notion_pages")] == [True, True]
        store(mirror, shape("Tasks"), page("p1"), page("p2"))
        assert [row["in_trash"] for row in query(mirror_url, "SELECT in_trash FROM notion_pages")] == [False, False]
        marked = [(change.key, change.before, change.after) for change in mirror.changes() if change.kind == "update"]
    assert [(key, before["in_trash"], after["in_trash"]) for key, before, after in marked if before and after] == [
        ("p1", False, True),
        ("p2", False, True),
        ("p1", True, False),
        ("p2", True, False),
    ]


def test_only_an_instant_that_exists_reads_as_one(mirror_url: str) -> None:
    there_are = ["2024-02-29T23:59:59.999999Z", "2000-02-29T00:00:00.000000Z", "0001-12-31T00:00:00.000001Z", INSTANT]
    cells = {f"c{number}": text for number, text in enumerate([*there_are, *NO_INSTANTS])}
    with opened(mirror_url) as mirror:
        store(mirror, shape("Tasks", *((cell, cell, "instant") for cell in cells)), page(cells=cells))
    [row] = query(mirror_url, "SELECT * FROM notion_tasks")
    assert [row[cell] for cell in cells] == there_are + [None] * len(NO_INSTANTS)


def test_columns_have_the_types_of_their_cells(postgresql_url: str) -> None:
    with opened(postgresql_url) as mirror:
        store(mirror, shape("Tasks", *((kind, f"c{kind}", kind) for kind in get_args(CellType))))
    rows = query(
        postgresql_url,
        "SELECT column_name, data_type FROM information_schema.columns"
        " WHERE table_name = 'notion_tasks' AND column_name NOT LIKE 'page%'",
    )
    assert {row["column_name"]: row["data_type"] for row in rows} == {
        "text": "text",
        "integer": "bigint",
        "number": "numeric",
        "boolean": "boolean",
        "instant": "timestamp with time zone",
        "json": "jsonb",
    }


# -- changes of shape -------------------------------------------------------------------------------------------------


def test_a_view_follows_a_property_that_is_renamed_retyped_or_removed_and_nothing_is_lost(mirror_url: str) -> None:
    first = shape("Tasks", ("Estimate", "e", "number"), ("Stage", "s", "text"), ("Gone", "g", "text"))
    then = shape("Tasks", ("Effort", "e", "number"), ("Stage", "s", "json"))
    with opened(mirror_url) as mirror:
        store(mirror, first, page(content="1", cells={"e": 3, "s": "open", "g": "here"}))
        store(mirror, then, page(content="2", cells={"e": 3, "s": ["open"]}))
        assert [(change.before or {}).get("cells") for change in mirror.changes()] == [
            None,
            {"e": 3, "s": "open", "g": "here"},
        ]
    assert columns(mirror_url, "notion_tasks")[-2:] == ["Effort", "Stage"]
    [row] = query(mirror_url, 'SELECT "Effort", "Stage" FROM notion_tasks')
    assert (row["Effort"], orjson.loads(row["Stage"]) if isinstance(row["Stage"], str) else row["Stage"]) == (
        3,
        ["open"],
    )


def test_a_shape_that_comes_without_records_counts_too(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, shape("Tasks", ("A", "a", "text")), page(cells={"a": "x"}))
        store(mirror, shape("Tasks", ("B", "a", "text")))
    assert query(mirror_url, 'SELECT "B" FROM notion_tasks') == [{"B": "x"}]


def test_an_unchanged_shape_leaves_its_view_alone(postgresql_url: str) -> None:
    created = "SELECT oid FROM pg_class WHERE relname = 'notion_tasks'"
    with opened(postgresql_url) as mirror:
        store(mirror, shape("Tasks", ("A", "a", "text")))
        before = query(postgresql_url, created)
        store(mirror, shape("Tasks", ("A", "a", "text")), page())
        assert query(postgresql_url, created) == before
        store(mirror, shape("Tasks", ("A", "a", "json")))
        assert query(postgresql_url, created) != before


def test_a_session_that_does_not_commit_leaves_the_view_as_it_was(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, shape("Tasks", ("A", "a", "text")))
        with mirror.session("notion", TASKS, ["pages"]) as session:
            session.shape(shape("Tasks", ("B", "b", "text")))
        with mirror.session("notion", TASKS, ["pages"]) as session:
            session.shape(shape("Tasks", ("B", "b", "text")))
            session.discard()
            session.commit(run_id="run", tokens={"pages": "token"})
    assert columns(mirror_url, "notion_tasks")[-1] == "A"


def test_a_removed_partition_takes_its_view_along(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, shape("Tasks", ("A", "a", "text")), schema(), page())
        store(mirror, shape("Others"), page(), partition=OTHERS)
        remove(mirror)
        assert views(mirror_url) == {OTHERS: "notion_others"}
        remove(mirror)


# -- names of views ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "name", "view"),
    [
        ("lab-notes", "Übersicht: Mäuse & Käfige (2026)", "lab_notes_ubersicht_mause_kafige_2026"),
        ("notion", "Straße", "notion_strasse"),
        ("notion", "課題", "notion_d28de8f9"),
        ("notion", "", "notion_d28de8f9"),
        ("notion", "pages", "notion_pages_d28de8f9"),
        ("sqlite", "sequence", "view_sqlite_sequence"),
        ("pg", "class", "view_pg_class"),
        ("staged", "page", "view_staged_page"),
    ],
)
def test_a_view_is_called_after_its_source_and_its_users_name(
    mirror_url: str, source: str, name: str, view: str
) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, shape(name), page(), source=source)
        assert views(mirror_url) == {TASKS: view}
        assert len(query(mirror_url, f"SELECT * FROM {view}")) == 1


@pytest.mark.parametrize("first", [TASKS, OTHERS])
def test_of_two_partitions_with_one_name_the_lower_key_has_it_whichever_comes_first(
    mirror_url: str, first: str
) -> None:
    second = OTHERS if first == TASKS else TASKS
    with opened(mirror_url) as mirror:
        store(mirror, shape("Tasks"), page("p1", title=first), partition=first)
        store(mirror, shape("TASKS!"), page("p2", title=second), partition=second)
        assert views(mirror_url) == {TASKS: "notion_tasks", OTHERS: "notion_tasks_0badcafe"}
        assert [row["page_title"] for row in query(mirror_url, "SELECT page_title FROM notion_tasks")] == [TASKS]


@pytest.mark.parametrize("way", ["removed", "renamed"])
def test_a_name_that_is_given_up_goes_to_the_next_that_wants_it(mirror_url: str, way: str) -> None:
    with opened(mirror_url) as mirror:
        for partition in (TASKS, OTHERS):
            store(mirror, shape("Tasks"), page(partition, title=partition), partition=partition)
        if way == "removed":
            remove(mirror)
        else:
            store(mirror, shape("Tasks d28de8f9"))
        assert views(mirror_url)[OTHERS] == "notion_tasks"
        assert [row["page_title"] for row in query(mirror_url, "SELECT page_title FROM notion_tasks")] == [OTHERS]
        store(mirror, shape("Tasks"))
        assert views(mirror_url) == {TASKS: "notion_tasks", OTHERS: "notion_tasks_0badcafe"}


def test_twins_keep_their_names_while_one_is_in_use_and_are_sorted_out_later(
    postgresql_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(postgresql_url) as mirror:
        store(mirror, shape("Tasks"), partition=OTHERS)
        query(postgresql_url, "CREATE VIEW mine AS SELECT page_id FROM notion_tasks")
        store(mirror, shape("Tasks"))
        names = query(postgresql_url, "SELECT partition, view_name FROM shapes ORDER BY partition")
        assert [row["view_name"] for row in names] == ["notion_tasks_d28de8f9", "notion_tasks"]
        query(postgresql_url, "DROP VIEW mine")
        store(mirror, shape("Tasks"))
        assert views(postgresql_url) == {TASKS: "notion_tasks", OTHERS: "notion_tasks_0badcafe"}


def test_a_view_never_takes_the_name_of_what_a_user_made(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        query(mirror_url, "CREATE TABLE notion_tasks (mine TEXT)")
        query(mirror_url, "CREATE VIEW notion_tasks_d28de8f9 AS SELECT mine FROM notion_tasks")
        store(mirror, shape("Tasks"), page())
    assert query(mirror_url, "SELECT view_name FROM shapes") == [{"view_name": "notion_tasks_d28de8f9_2"}]
    assert columns(mirror_url, "notion_tasks_d28de8f9") == ["mine"]


def test_a_view_is_renamed_with_what_it_shows(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, shape("Tasks"), page())
        store(mirror, shape("Issues"))
        assert views(mirror_url) == {TASKS: "notion_issues"}
        store(mirror, shape("Tasks"), partition=OTHERS)
        assert views(mirror_url) == {TASKS: "notion_issues", OTHERS: "notion_tasks"}


# -- others at work ---------------------------------------------------------------------------------------------------


def test_a_view_that_others_are_built_on_stays_until_it_can_follow(
    postgresql_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(postgresql_url) as mirror:
        store(mirror, shape("Tasks", ("A", "a", "text")), page("p1", cells={"a": "x"}))
        query(postgresql_url, 'CREATE VIEW mine AS SELECT "A" FROM notion_tasks')
        with caplog.at_level(logging.WARNING):
            store(mirror, shape("Tasks", ("B", "a", "text")), page("p2", cells={"a": "y"}))
        assert "notion_tasks stays as it is for now: other views are built on it" in caplog.text
        assert query(postgresql_url, 'SELECT "A" FROM mine ORDER BY 1') == [{"A": "x"}, {"A": "y"}]
        remove(mirror)
        assert query(postgresql_url, 'SELECT "A" FROM mine') == []
        query(postgresql_url, "DROP VIEW mine")
        store(mirror, shape("Tasks", ("B", "a", "text")))
        assert columns(postgresql_url, "notion_tasks")[-1] == "B"
        assert views(postgresql_url) == {TASKS: "notion_tasks"}


def test_a_query_that_still_runs_does_not_hold_up_a_commit(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, shape("Tasks", ("A", "a", "text")), page("p1", cells={"a": "x"}))
        with _reading(mirror_url, 'SELECT "A" FROM notion_tasks') as rows:
            store(mirror, shape("Tasks", ("B", "a", "text")), page("p2"))
            assert rows == [("x",)]
        assert len(query(mirror_url, "SELECT page_id FROM notion_tasks")) == 2
        store(mirror, shape("Tasks", ("B", "a", "text")))
        assert columns(mirror_url, "notion_tasks")[-1] == "B"


@contextmanager
def _reading(url: str, statement: str) -> Iterator[list[Any]]:
    """Hold a transaction open that has read."""
    engine = engine_of(url)
    with engine.connect() as connection:
        if url.startswith("sqlite"):
            connection.exec_driver_sql("BEGIN")
        yield [tuple(row) for row in connection.exec_driver_sql(statement)]
    engine.dispose()


def test_an_upgrade_of_the_tables_brings_every_view_back(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, shape("Tasks", ("A % \"b\" 'c' :d", "a", "text")), page(cells={"a": "x"}))
        before = query(mirror_url, "SELECT * FROM notion_tasks")
        database = Database(dialect_of(mirror_url, patience=5))
        with database.connection() as connection, database.writing(connection):
            drop_views(connection, database.dialect, FACET_SCHEMA)
            assert not database.dialect.has_relation(connection, "notion_tasks")
            create_views(connection, database.dialect, FACET_SCHEMA)
        database.close()
    assert query(mirror_url, "SELECT * FROM notion_tasks") == before
    assert before[0]["page_created"] == INSTANT
