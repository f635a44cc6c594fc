"""The SQL mirror: schema, staging, the one transaction a sync ends in, the change feed. SQLite and PostgreSQL."""

from dandi_pipeline.mirror.mirror import Mirror
from dandi_pipeline.mirror.partitions import HIDDEN_TOKEN, Held, PartitionState
from dandi_pipeline.mirror.rate_ledger import Usage
from dandi_pipeline.mirror.session import Counts, PartitionSession, StoredRow, readable
from dandi_pipeline.mirror.views import Change, Shown

__all__ = [
    "HIDDEN_TOKEN",
    "Change",
    "Counts",
    "Held",
    "Mirror",
    "PartitionSession",
    "PartitionState",
    "Shown",
    "StoredRow",
    "Usage",
    "readable",
]
