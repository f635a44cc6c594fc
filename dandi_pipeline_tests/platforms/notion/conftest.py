"""A workspace whose clock stands still, served without limits, and a mirror of it."""

from collections.abc import Iterator
from datetime import datetime, timezone

import pytest

from dandi_pipeline_tests.platforms.notion.rig import Rig
from dandi_pipeline_tests.simulators.clock import Clock
from dandi_pipeline_tests.simulators.notion import UNLIMITED, SimulatedNotion, World, generated_world

NOW = datetime(2026, 11, 20, 10, 14, 40, tzinfo=timezone.utc)


@pytest.fixture
def world() -> World:
    """Projects, tasks with a property of every type, done tasks and a wiki, untouched for months."""
    return generated_world(pages=12, clock=Clock(NOW))


@pytest.fixture
def notion(world: World) -> Iterator[SimulatedNotion]:
    with SimulatedNotion(world, limits=UNLIMITED) as notion:
        yield notion


@pytest.fixture
def rig(notion: SimulatedNotion, sqlite_url: str) -> Rig:
    return Rig(notion, sqlite_url)


@pytest.fixture
def ids(world: World) -> dict[str, str]:
    """The data sources' ids by title."""
    return {source.title: source.id for source in world.data_sources.values()}
