"""A small, mutable Notion workspace on a real socket, faithful to the real API's answers, timestamps and limits.

    with SimulatedNotion(generated_world()) as notion:
        client = connect(notion.api_url, notion.token)
        notion.world.edit_page(page_id, {"Estimate": 5})
        notion.faults.add("status", status=503, kind="query", times=1)
        assert normalised(mirror) == notion.world.snapshot()

`python -m dandi_pipeline_tests.simulators.notion` serves one to other processes.
"""

from dandi_pipeline_tests.simulators.clock import Clock

from .files import normalised
from .generated import UNKNOWN_TYPE, generated_world
from .limits import UNLIMITED, Limits
from .paging import Behaviour
from .records import Refused
from .server import SimulatedNotion
from .versions import DATA_SOURCES, LATEST, LEGACY
from .world import TOKEN, World

__all__ = [
    "DATA_SOURCES",
    "LATEST",
    "LEGACY",
    "TOKEN",
    "UNKNOWN_TYPE",
    "UNLIMITED",
    "Behaviour",
    "Clock",
    "Limits",
    "Refused",
    "SimulatedNotion",
    "World",
    "generated_world",
    "normalised",
]
