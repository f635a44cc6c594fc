"""The indexes for people's queries come with the end of the first sync, and no sync depends on them."""

import sqlite3
from contextlib import closing

import sqlalchemy as sa

from dandi_pipeline_tests.mirror.records import asset, engine_of, opened, query, store
from dandi_pipeline_tests.mirror.test_upgrading import mirror_at, populate

FIRST = {"assets_by_asset_id", "assets_by_sha256", "assets_by_blob"}
LOOKUPS = {*FIRST, "assets_by_dandiset_id"}


def indexes(url: str) -> set[str | None]:
    engine = engine_of(url)
    try:
        return {index["name"] for index in sa.inspect(engine).get_indexes("assets")}
    finally:
        engine.dispose()


def test_a_first_load_does_without_and_ends_with_them(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, asset("a"), asset("b"))
        assert indexes(mirror_url) == set()
        mirror.complete()
        assert indexes(mirror_url) == LOOKUPS
        store(mirror, asset("c"))
        mirror.complete()
    assert indexes(mirror_url) == LOOKUPS


def test_a_mirror_that_was_left_without_gets_them_with_the_next_sync(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, asset("a"))
    with opened(mirror_url) as mirror:
        mirror.complete()
    assert indexes(mirror_url) == LOOKUPS


def test_an_upgrade_leaves_them_to_a_mirror_that_holds_assets(empty_mirror_url: str) -> None:
    with mirror_at(empty_mirror_url, "0001") as connection:
        populate(connection)
    with opened(empty_mirror_url):
        pass
    assert indexes(empty_mirror_url) == FIRST


def test_where_another_writes_for_long_they_are_left_to_the_next_sync(sqlite_url: str) -> None:
    with opened(sqlite_url, patience=0.1) as mirror:
        store(mirror, asset("a"))
        with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            mirror.complete()
        assert indexes(sqlite_url) == set()
        mirror.complete()
    assert indexes(sqlite_url) == LOOKUPS


def test_a_query_by_identifier_uses_its_index(sqlite_url: str) -> None:
    with opened(sqlite_url) as mirror:
        store(mirror, *(asset(str(number)) for number in range(50)))
        mirror.complete()
    for column in ("asset_id", "sha256", "blob"):
        plan = str(query(sqlite_url, f"EXPLAIN QUERY PLAN SELECT path FROM assets WHERE {column} = 'x'"))
        assert f"assets_by_{column}" in plan
