"""The installation that the browser looks at: two syncs from the command line, then one by the sensor, which fails for
one dandiset."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dandi_pipeline_tests.orchestration.served import CHECKOUT, Served, dagster_dev, wait_for
from dandi_pipeline_tests.orchestration.site import Site
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world

DANDISETS = 11
"""Of the generated archive's dandisets those that are visible without a key."""

FAILING = "000006"

RUNS = "{ runsOrError { ... on Runs { results { runId status tags { key value } } } } }"


@dataclass(frozen=True)
class Scene:
    """Where the UI is, and the runs by what launched them."""

    served: Served
    url: str
    first: str
    second: str
    by_sensor: str


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """Set the scene in `folder` and serve Dagster's UI on it."""
    with SimulatedArchive(generated_world()) as archive:
        site = Site(archive, folder)
        world = archive.world
        # A browser may lack the signs of the generated name, and the README shows its picture.
        world.rename_dandiset("000001", "Theta sequences in the dentate gyrus")
        command_line_sync(site)
        world.add_asset("000001", "sub-new/sub-new_ecephys.nwb", size=4096)
        world.rename_dandiset("000002", "Place fields, revisited")
        world.publish("000003")
        command_line_sync(site)
        world.add_asset("000004", "sub-new/sub-new_ecephys.nwb", size=4096)
        world.add_asset(FAILING, "sub-new/sub-new_ecephys.nwb", size=4096)
        archive.faults.add("status", status=400, path=f"dandisets/{FAILING}/versions/draft/assets")
        with dagster_dev(site) as served:
            by_sensor, second, first = wait_for(lambda: ended_runs(served, count=3), seconds=120)
            yield Scene(served, served.url, *(str(run["runId"]) for run in (first, second, by_sensor)))


def command_line_sync(site: Site) -> None:
    environ = {**os.environ, **site.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-m", "dandi_pipeline", "sync", "--no-progress"]
    subprocess.run(command, cwd=site.path, env=environ, check=True, capture_output=True)


def ended_runs(served: Served, *, count: int) -> list[dict[str, Any]]:
    """Return the runs, newest first, or nothing until `count` have ended."""
    runs: list[dict[str, Any]] = served.query(RUNS)["runsOrError"]["results"]
    ended = [run for run in runs if run["status"] in ("SUCCESS", "FAILURE")]
    return runs if len(ended) == len(runs) >= count else []
