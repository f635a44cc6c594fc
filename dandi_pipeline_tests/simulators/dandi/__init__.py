"""A small, mutable DANDI Archive on a real socket, faithful to the real one's answers and timestamps.

    with SimulatedArchive(generated_world()) as archive:
        client = connect(archive.api_url)
        archive.world.remove_asset("000001", "sub-1/sub-1.nwb")
        archive.faults.add("status", status=503, kind="assets_full", times=1)
        assert mirror == archive.world.snapshot()

`python -m dandi_pipeline_tests.simulators.dandi` serves one to other processes.
"""

from dandi_pipeline_tests.simulators.clock import Clock

from .corpus import corpus_world
from .generated import generated_world
from .history import History, Step
from .records import User
from .server import Costs, SimulatedArchive
from .world import OWNER_TOKEN, STRANGER_TOKEN, SUPERUSER_TOKEN, Refused, World

__all__ = [
    "OWNER_TOKEN",
    "STRANGER_TOKEN",
    "SUPERUSER_TOKEN",
    "Clock",
    "Costs",
    "History",
    "Refused",
    "SimulatedArchive",
    "Step",
    "User",
    "World",
    "corpus_world",
    "generated_world",
]
