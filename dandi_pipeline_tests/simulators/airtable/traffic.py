"""What the API was asked: exact counts, refusals among them, and the requests themselves."""

from typing import Any

from dandi_pipeline_tests.simulators.dandi import traffic as neutral

from .api import KINDS


class Traffic(neutral.Traffic):
    """Counts requests from the moment they are read until their answer is sent."""

    def counts(self) -> dict[str, Any]:
        """Return all counts as plain data, every kind included; `refused_429` is how often 429 was sent."""
        counts = super().counts()
        by_kind = {kind: self.by_kind[kind] for kind in KINDS}
        return {**counts, "by_kind": by_kind, "refused_429": self.by_status[429]}
