"""Create the tables for records whose properties users define, for the views over them, and for the rate budgets."""

import sqlalchemy as sa
from alembic import op

from dandi_pipeline.mirror.schema import Cells, Instant, JsonText

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create everything; what is there stays as it is."""
    _create_notion_pages()
    _create_airtable_records()
    _create_schemas()
    _create_shapes()
    _create_rate_budgets()


def _create_notion_pages() -> None:
    op.create_table(
        "notion_pages",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("data_source_id", sa.Text, primary_key=True),
        sa.Column("page_id", sa.Text, primary_key=True),
        sa.Column("created", Instant),
        sa.Column("last_edited", Instant),
        sa.Column("title", sa.Text),
        sa.Column("url", sa.Text),
        sa.Column("in_trash", sa.Boolean, nullable=False),
        sa.Column("cells", Cells, nullable=False),
        sa.Column("metadata", JsonText),
        sa.Column("content_hash", sa.Text, nullable=False),
    )


def _create_airtable_records() -> None:
    op.create_table(
        "airtable_records",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("table_id", sa.Text, primary_key=True),
        sa.Column("record_id", sa.Text, primary_key=True),
        sa.Column("created", Instant),
        sa.Column("cells", Cells, nullable=False),
        sa.Column("errors", JsonText),
        sa.Column("metadata", JsonText),
        sa.Column("content_hash", sa.Text, nullable=False),
    )


def _create_schemas() -> None:
    op.create_table(
        "schemas",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("partition", sa.Text, primary_key=True),
        sa.Column("name", sa.Text),
        sa.Column("metadata", JsonText),
        sa.Column("content_hash", sa.Text, nullable=False),
    )


def _create_shapes() -> None:
    op.create_table(
        "shapes",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("partition", sa.Text, primary_key=True),
        sa.Column("view_name", sa.Text, nullable=False),
        sa.Column("shape", JsonText, nullable=False),
    )


def _create_rate_budgets() -> None:
    op.create_table(
        "rate_budgets",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("granted", sa.Text, nullable=False),
        sa.Column("paused_until", sa.Double),
        sa.Column("month", sa.Text, nullable=False),
        sa.Column("calls", sa.BigInteger, nullable=False),
    )
