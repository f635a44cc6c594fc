"""Add since when a partition keeps changing while it is read."""

import sqlalchemy as sa
from alembic import op

from dandi_pipeline.mirror.schema import Instant

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column; of what was torn before nobody knows since when."""
    op.add_column("partitions", sa.Column("changing_since", Instant))
