"""Notion under test."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone

from dandi_pipeline.model import Platform
from dandi_pipeline_tests.platforms.notion.rig import OVERLAP, Rig
from dandi_pipeline_tests.simulators.clock import Clock
from dandi_pipeline_tests.simulators.notion import UNLIMITED, SimulatedNotion, generated_world

NOW = datetime(2026, 11, 20, 10, 14, 40, tzinfo=timezone.utc)

UNRELATED = ("Done tasks", "Notes 2")
"""Data sources whose properties no other one mentions."""


class ServedNotion:
    """A simulated workspace, in which time passes after every edit until it is settled."""

    name = "notion"
    unknown_partition = "00000000-0000-4000-8000-000000000000"

    def __init__(self, notion: SimulatedNotion) -> None:
        self._notion = notion
        self._world = notion.world
        self._rig = Rig(notion, "")
        self._unrelated = [source.id for source in self._world.data_sources.values() if source.title in UNRELATED]
        self._count = 0

    @property
    def requests_of_a_check(self) -> int:
        return len(self._world.databases) + 2 * len(self._world.data_sources)

    def open(self) -> Platform:
        return self._rig.open_platform()

    def edit(self, chance: random.Random) -> str:
        self._count += 1
        identifier = chance.choice(list(self._world.data_sources))
        pages = list(self._world.data_sources[identifier].page_ids)
        operations: list[Callable[[], object]] = [
            lambda: self._world.add_page(identifier, {"Name": f"Added {self._count}"}),
            lambda: self._world.edit_page(chance.choice(pages), {"Name": f"Edited {self._count}"}),
            lambda: self._world.rename_data_source(identifier, f"Source {self._count}"),
            lambda: self._world.add_property(identifier, f"Number {self._count}", "number"),
        ]
        chance.choice(operations)()
        self._world.clock.advance(OVERLAP.total_seconds() + 60)
        return identifier

    def remove(self, chance: random.Random) -> str:
        """Take a data source out of its database, which Notion shows no other way."""
        identifier = chance.choice(self._unrelated)
        with self._world.lock:
            source = self._world.data_sources.pop(identifier)
            self._world.databases[source.database_id].data_source_ids.remove(identifier)
        return identifier

    def while_reading(self, happen: Callable[[], None] | None) -> None:
        def before(kind: str, params: Mapping[str, str]) -> None:
            if happen and kind == "query":
                with self._world.lock:
                    happen()

        self._notion.before_response = before

    def fail(self, partition: str) -> None:
        self._notion.faults.add("status", status=503, path=f"/{partition}/query$")

    def recover(self) -> None:
        self._notion.faults.clear()

    def requests(self) -> int:
        return sum(self._rig.asked().values())

    def differences(self, url: str) -> list[str]:
        self._rig.url = url
        return [str(difference) for difference in self._rig.differences()]


@contextmanager
def served(seed: int) -> Iterator[ServedNotion]:
    """Serve a workspace of five data sources in four databases."""
    world = generated_world(sources=5, pages=5, seed=seed, clock=Clock(NOW))
    with SimulatedNotion(world, limits=UNLIMITED, seed=seed) as notion:
        yield ServedNotion(notion)
