"""Create the tables of facets, empty, since they are derived from stored records; and remember the statistics."""

import sqlalchemy as sa
from alembic import context, op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create them as they are now; a later revision that changes them creates them all anew like this one."""
    op.create_table(
        "facet_states",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("partition", sa.Text, primary_key=True),
        sa.Column("rules", sa.Integer, nullable=False),
    )
    op.create_table("mirror_statistics", sa.Column("records", sa.BigInteger, nullable=False))
    context.config.attributes["facets"].recreate_tables(op.get_bind())
