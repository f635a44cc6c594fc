"""Fixtures of the Airtable platform's tests: a small account without limits, and a mirror of it."""

from collections.abc import Iterator

import pytest

from dandi_pipeline_tests.platforms.airtable.rig import Rig, small_world
from dandi_pipeline_tests.simulators.airtable import UNLIMITED, SimulatedAirtable


@pytest.fixture
def airtable() -> Iterator[SimulatedAirtable]:
    with SimulatedAirtable(small_world(), limits=UNLIMITED) as served:
        yield served


@pytest.fixture
def rig(sqlite_url: str, airtable: SimulatedAirtable) -> Rig:
    return Rig(sqlite_url, airtable)
