"""Fixtures for every test: a fresh database of each kind."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline_tests.postgresql import PostgresqlServer, running_postgresql
from dandi_pipeline_tests.prepared import place_mirror


def pytest_configure() -> None:
    """Let Ctrl-C reach what the tests start, and let no example fail because the machine is busy.

    A run in a script's background ignores Ctrl-C, and so would its children.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    settings.register_profile("busy machines", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy machines")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes `-n auto` means: half as many again as cores, since a third of the time tests wait.

    With more, those that measure how long something takes would measure the others.
    """
    cores = os.cpu_count() or 1
    return cores + cores // 2


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    with running_postgresql() as server:
        yield server


@pytest.fixture
def empty_postgresql_url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    url = postgresql_server.create_database()
    yield url
    postgresql_server.drop_database(url)


@pytest.fixture
def postgresql_url(postgresql_server: PostgresqlServer, _prepared_database: str) -> Iterator[str]:
    url = postgresql_server.create_database(_prepared_database)
    yield url
    # Kept until the end, the databases of a whole run take some ten gigabytes, and minutes to delete.
    postgresql_server.drop_database(url)


@pytest.fixture(scope="session")
def _prepared_database(postgresql_server: PostgresqlServer) -> str:
    url = postgresql_server.create_database()
    open_mirror(url).close()
    return url


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'mirror.sqlite'}"


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return place_mirror(tmp_path / "mirror.sqlite")


@pytest.fixture(params=["sqlite", "postgresql"])
def mirror_url(request: pytest.FixtureRequest) -> str:
    """The database of a mirror that holds nothing yet."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_mirror_url(request: pytest.FixtureRequest) -> str:
    """A database without a mirror."""
    return str(request.getfixturevalue(f"empty_{request.param}_url"))
