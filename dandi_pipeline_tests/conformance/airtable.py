"""Airtable under test."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dandi_pipeline.model import Platform
from dandi_pipeline_tests.platforms.airtable.equality import differences
from dandi_pipeline_tests.platforms.airtable.rig import Rig, small_world
from dandi_pipeline_tests.simulators.airtable import UNLIMITED, SimulatedAirtable


class ServedAirtable:
    """A simulated account of one base; whoever waits lets its clock advance instead."""

    name = "airtable"

    def __init__(self, airtable: SimulatedAirtable) -> None:
        self._airtable = airtable
        self._world = airtable.world
        self._rig = Rig("", airtable)
        (self._base,) = self._rig.bases
        self._looked_up = self._rig.table("Labs")
        self._count = 0

    @property
    def requests_of_a_check(self) -> int:
        return 1 + len(self._world.bases[self._base].tables)

    @property
    def unknown_partition(self) -> str:
        return f"{self._base}/tblNobodyKnows001"

    def open(self) -> Platform:
        return self._rig.open_platform()

    def edit(self, chance: random.Random) -> str:
        """Edit names only: what others look up here would change in them without their listing showing it."""
        self._count += 1
        table = chance.choice(list(self._world.bases[self._base].tables.values()))
        name, field = table.primary_field_id, chance.choice(list(table.fields))
        operations: list[Callable[[], object]] = [
            lambda: self._world.add_record(table.id, {name: f"Added {self._count}"}),
            lambda: self._world.edit_record(table.id, chance.choice(list(table.records)), {name: str(self._count)}),
            lambda: self._world.rename_field(table.id, field, f"Field {self._count}"),
            lambda: self._world.add_field(table.id, f"Number {self._count}", "number"),
            lambda: self._world.rename_table(table.id, f"Table {self._count}"),
        ]
        chance.choice(operations)()
        return f"{self._base}/{table.id}"

    def remove(self, chance: random.Random) -> str:
        removed = chance.choice([table for table in self._world.bases[self._base].tables if table != self._looked_up])
        self._world.remove_table(removed)
        return f"{self._base}/{removed}"

    def while_reading(self, happen: Callable[[], None] | None) -> None:
        def before(kind: str, query: object) -> None:
            if happen and kind == "records":
                with self._world.lock:
                    happen()

        self._airtable.before_response = before

    def fail(self, partition: str) -> None:
        self._airtable.faults.add("status", status=503, path=f"/{partition}/listRecords")

    def recover(self) -> None:
        self._airtable.faults.clear()

    def requests(self) -> int:
        return self._rig.requests()

    def differences(self, url: str) -> list[str]:
        return [str(difference) for difference in differences(url, self.name, self._world.snapshot())]


@contextmanager
def served(seed: int) -> Iterator[ServedAirtable]:
    """Serve a base of four tables, one of them looked up by the others."""
    with SimulatedAirtable(small_world(seed=seed, tables=3, records=6), limits=UNLIMITED, seed=seed) as airtable:
        yield ServedAirtable(airtable)
