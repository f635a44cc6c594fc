"""A mirror that an older version wrote is brought up to date with everything it holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from dandi_pipeline.catalogue import FACET_SCHEMA, open_mirror, peek_mirror
from dandi_pipeline.errors import DatabaseUnavailable
from dandi_pipeline.mirror import migrations
from dandi_pipeline.mirror.migrations import REVISIONS, VERSION_TABLE
from dandi_pipeline_tests.mirror.records import ASSET, INSTANT, SOURCE, asset, engine_of, opened, query, store

HELD: dict[str, dict[str, Any]] = {
    "dandisets": {
        "source": SOURCE,
        "dandiset_id": "000003",
        "name": "Allen Institute – Visual Coding",
        "draft_modified": INSTANT,
        "asset_count": 1,
        "visible": True,
        "content_hash": "1",
    },
    "versions": {
        "source": SOURCE,
        "dandiset_id": "000003",
        "version": "draft",
        "metadata": '{"b": 1, "a": "\\u0000"}',
        "content_hash": "2",
    },
    "assets": {
        "source": SOURCE,
        "dandiset_id": "000003",
        "version": "draft",
        "path": "sub-1/a.nwb",
        "asset_id": "id",
        "size": 2**40,
        "modified": INSTANT,
        "metadata": '{"path":"sub-1/a.nwb"}',
        "content_hash": "3",
    },
    "partitions": {
        "source": SOURCE,
        "partition": "000003",
        "part": "assets",
        "token": "token",
        "generation": 7,
        "visible": True,
        "records": 1,
        "synced_at": INSTANT,
        "attempts": 0,
    },
    "change_log": {
        "sequence": 41,
        "at": INSTANT,
        "run_id": "run",
        "source": SOURCE,
        "partition": "000003",
        "record": "asset",
        "scope": "draft",
        "name": "sub-1/a.nwb",
        "kind": "update",
        "before": '{"path":"sub-1/a.nwb","content_hash":"0"}',
    },
}
"""A row of each table of the first revision; its clock stands at 7."""


@contextmanager
def mirror_at(url: str, revision: str) -> Iterator[sa.Connection]:
    """Create a mirror as the version of the package did whose newest revision this was."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    engine = engine_of(url)
    with engine.begin() as connection:
        config.attributes.update(connection=connection, facets=FACET_SCHEMA)
        command.upgrade(config, revision)
        for view in ("draft_assets", "version_assets", "changes"):
            connection.execute(sa.text(f"CREATE VIEW {view} AS SELECT path, content_hash FROM assets"))
        yield connection
    engine.dispose()


def populate(connection: sa.Connection) -> None:
    for table, row in HELD.items():
        names = list(row)
        values = ", ".join(f":{name}" for name in names)
        connection.execute(sa.text(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values})"), row)
    connection.execute(sa.text("UPDATE mirror_clock SET commits = 7"))
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT setval(pg_get_serial_sequence('change_log', 'sequence'), 41)"))


def held(url: str) -> dict[str, list[dict[str, Any]]]:
    as_text = {"metadata": "CAST(metadata AS TEXT) AS spelled", "before": "CAST(before AS TEXT) AS spelled"}
    return {
        table: query(url, f"SELECT {', '.join(as_text.get(name, name) for name in row)} FROM {table}")
        for table, row in HELD.items()
    }


def test_an_upgrade_keeps_every_row_to_the_letter(empty_mirror_url: str) -> None:
    with mirror_at(empty_mirror_url, "0001") as connection:
        populate(connection)
    before = held(empty_mirror_url)
    assert all(before.values())
    with opened(empty_mirror_url):
        pass
    assert held(empty_mirror_url) == before
    assert query(empty_mirror_url, f"SELECT version_num FROM {VERSION_TABLE}") == [{"version_num": REVISIONS[-1]}]


def test_an_upgraded_mirror_goes_on_where_it_was(empty_mirror_url: str) -> None:
    with mirror_at(empty_mirror_url, "0001") as connection:
        populate(connection)
    with opened(empty_mirror_url) as mirror:
        [change] = mirror.changes()
        assert (change.sequence, change.before, (change.after or {})["content_hash"]) == (
            41,
            {"path": "sub-1/a.nwb", "content_hash": "0"},
            "3",
        )
        store(mirror, asset("sub-1/a.nwb", "4"))
        assert mirror.known(SOURCE, "000003", ASSET)["draft", "sub-1/a.nwb"][0] == "4"
        assert [(change.sequence, change.kind) for change in mirror.changes(after=41)] == [(42, "update")]
        assert mirror.states(SOURCE)["000003", "assets"].generation == 8
    assert query(empty_mirror_url, "SELECT path FROM draft_assets") == [{"path": "sub-1/a.nwb"}]


def test_peeking_at_an_older_mirror_does_not_upgrade_it(empty_mirror_url: str) -> None:
    with mirror_at(empty_mirror_url, "0001"):
        pass
    with pytest.raises(DatabaseUnavailable, match="written by an older version; the next sync upgrades it"):
        peek_mirror(empty_mirror_url)
    assert query(empty_mirror_url, f"SELECT version_num FROM {VERSION_TABLE}") == [{"version_num": "0001"}]


def test_an_upgrade_that_fails_leaves_the_old_mirror(empty_mirror_url: str) -> None:
    with mirror_at(empty_mirror_url, "0001") as connection:
        populate(connection)
    query(empty_mirror_url, "CREATE TABLE rate_budgets (mine TEXT)")
    before = held(empty_mirror_url)
    with pytest.raises(DatabaseUnavailable, match="rate_budgets"):
        open_mirror(empty_mirror_url)
    assert held(empty_mirror_url) == before
    assert query(empty_mirror_url, "SELECT path FROM draft_assets") == [{"path": "sub-1/a.nwb"}]
    assert query(empty_mirror_url, f"SELECT version_num FROM {VERSION_TABLE}") == [{"version_num": "0001"}]
