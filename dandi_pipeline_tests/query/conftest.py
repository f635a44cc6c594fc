"""A mirror with a secret in each place that no question may reach."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.query.door import Door
from dandi_pipeline_tests.end_to_end.equality import plain_engine
from dandi_pipeline_tests.end_to_end.rig import Rig
from dandi_pipeline_tests.postgresql import PostgresqlServer
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world

SECRET = "kept-from-strangers"
"""Stands in every private table but one, in a table that is somebody else's, and in a file."""

LOGGED = "logged-and-not-told"
"""Stands in the private table whose rows the public view `changes` shows as well."""

PRIVATE_TABLES = ("partitions", "change_log", "rate_budgets", "shapes", "first_syncs", "strangers")


def guarded_mirror(url: str, folder: Path) -> None:
    """Make a mirror of a small archive, and put the secret in every place behind the door."""
    with SimulatedArchive(generated_world(dandisets=4, assets=8)) as archive:
        rig = Rig(archive, url, folder)
        rig.sync()
        archive.world.add_asset("000001", "sub-new/sub-new.nwb", size=5)
        archive.world.rename_dandiset("000002", "Place fields of the hippocampus, 100%")
        rig.sync()
    with open_mirror(url) as mirror:
        mirror.record_failure("dandi", "000001", ["assets"], run_id="run", group="contract", message=SECRET)
    statements = (
        "INSERT INTO change_log (at, run_id, source, partition, record, scope, name, kind, before) VALUES"
        f" ('2026-01-01T00:00:00.000000Z', 'run', '{LOGGED}', 'p', 'none', '', '', 'delete', NULL)",
        f"INSERT INTO rate_budgets (key, granted, month, calls) VALUES ('{SECRET}', '', '', 1)",
        f"INSERT INTO shapes (source, partition, view_name, shape) VALUES ('s', 'p', 'no_view', '\"{SECRET}\"')",
        "INSERT INTO first_syncs (source, partition, part, at) VALUES"
        f" ('{SECRET}', 'p', 'part', '2026-01-01T00:00:00.000000Z')",
        "CREATE TABLE strangers (secret TEXT)",
        f"INSERT INTO strangers (secret) VALUES ('{SECRET}')",
    )
    with plain_engine(url).begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


@pytest.fixture(scope="session")
def guarded_sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "secret.txt").write_text(SECRET, encoding="utf-8")
    url = f"sqlite:///{folder / 'mirror.sqlite'}"
    guarded_mirror(url, folder)
    return url


@pytest.fixture(scope="session")
def guarded_postgresql(postgresql_server: PostgresqlServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    url = postgresql_server.create_database()
    guarded_mirror(url, tmp_path_factory.mktemp("guarded"))
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    with opened_door(str(request.getfixturevalue(f"guarded_{request.param}"))) as opened:
        yield opened


@contextmanager
def opened_door(url: str) -> Iterator[Door]:
    door = Door(url)
    try:
        yield door
    finally:
        door.close()


def contents(url: str) -> dict[str, list[str]]:
    """Return every row of every table, and the names of tables, so that whatever was written shows."""
    engine = plain_engine(url)
    with engine.connect() as connection:
        names = [name for name in sa.inspect(connection).get_table_names() if not name.startswith("dandiset_words")]
        return {
            name: sorted(map(str, connection.execute(sa.text(f'SELECT * FROM "{name}"')).all())) for name in names
        } | {"views": sorted(sa.inspect(connection).get_view_names())}
