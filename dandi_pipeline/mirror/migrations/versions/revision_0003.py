"""Create the table for the items of every platform that needs no table of its own."""

import sqlalchemy as sa
from alembic import op

from dandi_pipeline.mirror.schema import Cells, Instant, JsonText

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create it; what is there stays as it is."""
    op.create_table(
        "items",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("partition", sa.Text, primary_key=True),
        sa.Column("item_id", sa.Text, primary_key=True),
        sa.Column("modified", Instant),
        sa.Column("cells", Cells, nullable=False),
        sa.Column("metadata", JsonText),
        sa.Column("content_hash", sa.Text, nullable=False),
    )
