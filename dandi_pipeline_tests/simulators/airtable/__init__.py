"""A small, mutable Airtable on a real socket, faithful to the real one's answers, timestamps and limits.

    with SimulatedAirtable(generated_world(), limits=UNLIMITED) as airtable:
        client = connect(airtable.api_url, airtable.token)
        airtable.world.edit_record(table_id, record_id, {"Name": "Ferry Building"})
        airtable.faults.add("status", status=503, kind="records", times=1)
        assert mirror == airtable.world.snapshot()

`python -m dandi_pipeline_tests.simulators.airtable` serves one to other processes. All its times, rate limits and
lifetimes among them, go by `world.clock`. What it does not simulate it refuses: `cellFormat=string`, formulas beyond
those of `formula_syntax`, notifications of webhooks, and every request that writes, but to webhooks.
"""

from .cells import without_signatures
from .generated import generated_world
from .instants import Clock
from .limits import UNLIMITED, Limits
from .model import Refused
from .server import SimulatedAirtable
from .world import TOKEN, World

__all__ = [
    "TOKEN",
    "UNLIMITED",
    "Clock",
    "Limits",
    "Refused",
    "SimulatedAirtable",
    "World",
    "generated_world",
    "without_signatures",
]
