"""A workspace whose clock stands still, served without limits, and somebody to ask it."""

from collections.abc import Iterator
from datetime import datetime, timezone

import pytest

from dandi_pipeline_tests.simulators.clock import Clock
from dandi_pipeline_tests.simulators.notion import UNLIMITED, SimulatedNotion, World
from dandi_pipeline_tests.test_simulators.notion.asking import Asker

NOW = datetime(2026, 11, 20, 10, 14, 40, tzinfo=timezone.utc)


@pytest.fixture
def world() -> World:
    """An empty workspace."""
    return World(clock=Clock(NOW))


@pytest.fixture
def notion(world: World) -> Iterator[SimulatedNotion]:
    with SimulatedNotion(world, limits=UNLIMITED) as notion:
        yield notion


@pytest.fixture
def asker(notion: SimulatedNotion) -> Iterator[Asker]:
    with Asker(notion) as asker:
        yield asker
