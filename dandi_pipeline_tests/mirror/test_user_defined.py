"""Records whose properties users define are kept, counted and told of like all others."""

import pytest

from dandi_pipeline.errors import UnexpectedPayload
from dandi_pipeline.mirror import Counts, Mirror
from dandi_pipeline.model import Record
from dandi_pipeline_tests.mirror.records import INSTANT, PAGE, RECORD, opened, page, query, schema, table_record


def store(mirror: Mirror, *records: Record, partition: str = "tasks") -> dict[str, Counts]:
    parts = sorted({record.kind.part for record in records})
    with mirror.session("mine", partition, parts) as session:
        session.stage(records)
        return dict(session.commit(run_id="run", tokens=dict.fromkeys(parts, "token")))


def test_every_kind_is_kept_with_all_that_it_carries(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, schema(), page("p1", cells={"a%3Ab": 3.5}))
        store(mirror, table_record("rec1", cells={"fld1": [1]}, errors='{"fld2":"#ERROR!"}'), partition="appA/tblB")
    assert query(mirror_url, "SELECT source, partition, name, metadata, content_hash FROM schemas") == [
        {
            "source": "mine",
            "partition": "tasks",
            "name": "Tasks",
            "metadata": {"properties": {}},
            "content_hash": "hash",
        }
    ]
    assert query(mirror_url, "SELECT * FROM notion_pages") == [
        {
            "source": "mine",
            "data_source_id": "tasks",
            "page_id": "p1",
            "created": INSTANT,
            "last_edited": INSTANT,
            "title": "Bug bash",
            "url": "https://notion.example.org/p1",
            "in_trash": False,
            "cells": {"a%3Ab": 3.5},
            "metadata": {"object": "page"},
            "content_hash": "hash",
        }
    ]
    assert query(mirror_url, "SELECT * FROM airtable_records") == [
        {
            "source": "mine",
            "table_id": "appA/tblB",
            "record_id": "rec1",
            "created": INSTANT,
            "cells": {"fld1": [1]},
            "errors": {"fld2": "#ERROR!"},
            "metadata": {"id": "rec1"},
            "content_hash": "hash",
        }
    ]


def test_the_feed_tells_of_every_kind(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, schema(content="1"), page("p1", "1", cells={"e": 1}), page("p2"))
        store(mirror, schema("Issues", "2"), page("p1", "2", cells={"e": 2}))
        with mirror.session("mine", "tasks", ["pages"]) as session:
            session.stage_deleted(PAGE, [("p2",)])
            session.commit(run_id="run", tokens={"pages": "token"})
        changes = mirror.changes(after=3)
    told = {(change.record, change.key, change.kind): (change.before, change.after) for change in changes}
    assert set(told) == {("schema", "tasks", "update"), ("page", "p1", "update"), ("page", "p2", "delete")}
    assert [(image or {})["name"] for image in told["schema", "tasks", "update"]] == ["Tasks", "Issues"]
    assert [(image or {})["cells"] for image in told["page", "p1", "update"]] == [{"e": 1}, {"e": 2}]
    before, after = told["page", "p2", "delete"]
    assert (before or {})["metadata"] == {"object": "page"}
    assert (before or {})["in_trash"] is False
    assert after is None


def test_removing_a_partition_removes_its_records_and_its_schema(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, schema(), page("p1"))
        store(mirror, schema(), page("p1"), partition="others")
        with mirror.session("mine", "tasks", ["pages"]) as session:
            assert session.remove(run_id="run") == {"schema": Counts(deleted=1), "page": Counts(deleted=1)}
    assert query(mirror_url, "SELECT partition FROM schemas") == [{"partition": "others"}]
    assert query(mirror_url, "SELECT data_source_id FROM notion_pages") == [{"data_source_id": "others"}]


def test_the_same_cells_in_another_order_are_no_change(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        cells = {"cells": '{"b":1,"aa":[1,2]}'}
        assert store(mirror, page("p1", **cells)) == {"page": Counts(inserted=1)}
        assert store(mirror, page("p1", **cells)) == {"page": Counts()}


def test_a_nul_in_a_cell_is_replaced_and_kept_in_the_metadata(mirror_url: str) -> None:
    written = page("p1", cells={"a": "x\0y\\u0000\\\0", "b\0": [{"c": "\0"}]})
    with opened(mirror_url) as mirror:
        store(mirror, Record(PAGE, ("p1",), written.columns, r'{"a":"x\u0000y"}', "hash"))
        assert store(mirror, Record(PAGE, ("p1",), written.columns, r'{"a":"x\u0000y"}', "hash")) == {"page": Counts()}
    mark = "\N{REPLACEMENT CHARACTER}"
    [row] = query(mirror_url, "SELECT cells, CAST(metadata AS TEXT) AS spelled FROM notion_pages")
    assert row["cells"] == {"a": f"x{mark}y\\u0000\\{mark}", f"b{mark}": [{"c": mark}]}
    assert row["spelled"] == r'{"a":"x\u0000y"}'


def test_cells_that_are_no_json_are_refused(postgresql_url: str) -> None:
    broken = table_record("rec1")
    with opened(postgresql_url) as mirror, pytest.raises(UnexpectedPayload, match="does not fit its table"):
        store(mirror, Record(RECORD, ("rec1",), {**broken.columns, "cells": "{"}, None, "hash"))
