"""The DANDI Archive under test."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dandi_pipeline.model import Platform
from dandi_pipeline_tests.end_to_end.equality import differences
from dandi_pipeline_tests.end_to_end.rig import IMPATIENT, dandi_at
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world

READING = {"version_info", "versions", "version", "assets_full", "assets_bare", "asset_info"}
"""The requests that show a dandiset's records."""


class ServedDandi:
    """A simulated archive."""

    name = "dandi"
    requests_of_a_check = 1
    unknown_partition = "999999"

    def __init__(self, archive: SimulatedArchive) -> None:
        self._archive = archive
        self._world = archive.world
        self._count = 0

    def open(self) -> Platform:
        return dandi_at(self._archive.api_url, IMPATIENT)

    def edit(self, chance: random.Random) -> str:
        self._count += 1
        identifier = chance.choice(self._open())
        paths = sorted(self._world.dandisets[identifier].draft.assets)
        operations: list[Callable[[], object]] = [
            lambda: self._world.add_asset(identifier, f"added/{self._count}.nwb"),
            lambda: self._world.rename_dandiset(identifier, f"Name {self._count}"),
        ]
        if paths:
            operations += [
                lambda: self._world.remove_asset(identifier, paths[0]),
                lambda: self._world.edit_asset(identifier, paths[-1], size=self._count),
                lambda: self._world.move_asset(identifier, paths[0], f"moved/{self._count}.nwb"),
            ]
        chance.choice(operations)()
        return identifier

    def remove(self, chance: random.Random) -> str:
        unpublished = [key for key in self._open() if not self._world.dandisets[key].most_recent_published]
        identifier = chance.choice(unpublished)
        self._world.delete_dandiset(identifier)
        return identifier

    def while_reading(self, happen: Callable[[], None] | None) -> None:
        def before(kind: str, params: object) -> None:
            if happen and kind in READING:
                with self._world.lock:
                    happen()

        self._archive.before_response = before

    def fail(self, partition: str) -> None:
        self._archive.faults.add("status", status=503, path=f"/dandisets/{partition}/versions/")

    def recover(self) -> None:
        self._archive.faults.clear()

    def requests(self) -> int:
        total = int(self._archive.requests.counts()["total"])
        self._archive.requests.reset()
        return total

    def differences(self, url: str) -> list[str]:
        return differences(url, self._world.snapshot())

    def _open(self) -> list[str]:
        return [key for key, dandiset in self._world.dandisets.items() if dandiset.embargo_status == "OPEN"]


@contextmanager
def served(seed: int) -> Iterator[ServedDandi]:
    """Serve an archive of five dandisets, one of them embargoed."""
    with SimulatedArchive(generated_world(dandisets=5, assets=4, seed=seed), seed=seed) as archive:
        yield ServedDandi(archive)
