"""The tables and views that people build on keep their names and columns."""

import pytest

from dandi_pipeline_tests.mirror.records import asset, dandiset, opened, query, store, version

SURFACE = {
    "dandisets": "source dandiset_id name embargo_status created draft_modified asset_count size visible",
    "versions": "source dandiset_id version status name created modified asset_count size license doi metadata",
    "assets": "source dandiset_id version path asset_id size encoding_format sha256 dandi_etag blob zarr created"
    " modified metadata content_hash",
    "draft_assets": "source dandiset_id path asset_id size encoding_format sha256 dandi_etag blob zarr created"
    " modified metadata",
    "version_assets": "source dandiset_id version path asset_id",
    "partitions": "source partition part token generation visible synced_at run_id records failed_at attempts"
    " error_group error",
    "changes": "sequence at run_id source partition record key kind before after",
}


@pytest.mark.parametrize("name", SURFACE)
def test_the_surface_has_its_columns(mirror_url: str, name: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, dandiset(), version(), asset("a"), asset("a", version="0.240229.2359"))
    rows = query(mirror_url, f"SELECT {', '.join(SURFACE[name].split())} FROM {name}")
    assert rows


def test_draft_assets_are_the_drafts_alone_and_version_assets_are_all(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, asset("a"), asset("b", version="0.240229.2359"))
    assert query(mirror_url, "SELECT path FROM draft_assets") == [{"path": "a"}]
    assert query(mirror_url, "SELECT version, path FROM version_assets ORDER BY path") == [
        {"version": "draft", "path": "a"},
        {"version": "0.240229.2359", "path": "b"},
    ]


def test_instants_are_sortable_text_in_sqlite_and_timestamps_in_postgresql(
    sqlite_url: str, postgresql_url: str
) -> None:
    for url, kind in ((sqlite_url, "typeof(created)"), (postgresql_url, "CAST(pg_typeof(created) AS TEXT)")):
        with opened(url) as mirror:
            store(mirror, asset("a"))
        [row] = query(url, f"SELECT {kind} AS kind, created FROM assets")
        assert row["kind"] == ("text" if url == sqlite_url else "timestamp with time zone")
        assert row["created"] == "2024-02-29T23:59:59.000100Z"


def test_polling_the_feed_reads_only_what_is_new(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, *(asset(f"sub/{number}") for number in range(50)))
    explain = "EXPLAIN QUERY PLAN" if mirror_url.startswith("sqlite") else "EXPLAIN"
    if explain == "EXPLAIN":
        explain = "SET LOCAL enable_seqscan = off; EXPLAIN"
    plan = str(query(mirror_url, f"{explain} SELECT after FROM changes WHERE sequence > 40"))
    assert "rowid>?" in plan or "sequence > 40" in plan
    assert "change_log_before" in plan
    assert "SCAN" not in plan
    assert "Seq Scan" not in plan
