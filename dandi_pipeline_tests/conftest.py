"""Fixtures for every test: a fresh database of each kind."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from dandi_pipeline_tests.postgresql import PostgresqlServer, running_postgresql


def pytest_configure() -> None:
    """Let Ctrl-C reach what the tests start, and let no example fail because the machine is busy.

    A run in a script's background ignores Ctrl-C, and so would its children.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    settings.register_profile("busy machines", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy machines")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    with running_postgresql() as server:
        yield server


@pytest.fixture
def postgresql_url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    url = postgresql_server.create_database()
    yield url
    # Kept until the end, the databases of a whole run take some ten gigabytes, and minutes to delete.
    postgresql_server.drop_database(url)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'mirror.sqlite'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def mirror_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))
