"""Create what tells since when a partition is held completely, and what dandisets are searched by."""

import sqlalchemy as sa
from alembic import op

from dandi_pipeline.mirror.schema import Instant
from dandi_pipeline.mirror.texts import CREATE_WORDS

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create everything. Of what is held already only the last complete sync is known."""
    op.create_table(
        "first_syncs",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("partition", sa.Text, primary_key=True),
        sa.Column("part", sa.Text, primary_key=True),
        sa.Column("at", Instant, nullable=False),
    )
    op.execute(
        "INSERT INTO first_syncs (source, partition, part, at) SELECT source, partition, part, synced_at"
        " FROM partitions WHERE synced_at IS NOT NULL AND token IS NOT NULL AND token <> 'hidden'"
    )
    op.create_table(
        "dandiset_texts",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("dandiset_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("keywords", sa.Text, nullable=False),
        sa.Column("about", sa.Text, nullable=False),
        sa.Column("contributors", sa.Text, nullable=False),
        sa.UniqueConstraint("source", "dandiset_id", name="dandiset_texts_of_dandiset"),
    )
    for statement in CREATE_WORDS[op.get_bind().dialect.name]:
        op.execute(statement)
