"""A laboratory that is served without limits, and a client that asks it."""

from collections.abc import Iterator

import pytest

from dandi_pipeline_tests.simulators.airtable import UNLIMITED, SimulatedAirtable

from .laboratory import Client, Laboratory, laboratory


@pytest.fixture
def lab() -> Laboratory:
    return laboratory()


@pytest.fixture
def airtable(lab: Laboratory) -> Iterator[SimulatedAirtable]:
    with SimulatedAirtable(lab.world, limits=UNLIMITED) as airtable:
        yield airtable


@pytest.fixture
def client(airtable: SimulatedAirtable) -> Iterator[Client]:
    client = Client(airtable)
    yield client
    client.close()


@pytest.fixture
def path(lab: Laboratory) -> str:
    """Where the table Sessions is."""
    return f"{lab.base}/{lab.sessions}"
