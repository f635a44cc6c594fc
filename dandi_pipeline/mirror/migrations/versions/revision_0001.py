"""Create the records' tables, the partitions with their state, and the change log."""

import sqlalchemy as sa
from alembic import op

from dandi_pipeline.mirror.schema import Instant, JsonText

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything."""
    _create_dandisets()
    _create_versions()
    _create_assets()
    _create_partitions()
    _create_clock()
    _create_change_log()


def _create_dandisets() -> None:
    op.create_table(
        "dandisets",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("dandiset_id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text),
        sa.Column("embargo_status", sa.Text),
        sa.Column("created", Instant),
        sa.Column("draft_modified", Instant),
        sa.Column("asset_count", sa.BigInteger),
        sa.Column("size", sa.BigInteger),
        sa.Column("contact_person", sa.Text),
        sa.Column("visible", sa.Boolean, nullable=False),
        sa.Column("content_hash", sa.Text, nullable=False),
    )


def _create_versions() -> None:
    op.create_table(
        "versions",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("dandiset_id", sa.Text, primary_key=True),
        sa.Column("version", sa.Text, primary_key=True),
        sa.Column("status", sa.Text),
        sa.Column("name", sa.Text),
        sa.Column("created", Instant),
        sa.Column("modified", Instant),
        sa.Column("asset_count", sa.BigInteger),
        sa.Column("size", sa.BigInteger),
        sa.Column("license", sa.Text),
        sa.Column("doi", sa.Text),
        sa.Column("metadata", JsonText),
        sa.Column("content_hash", sa.Text, nullable=False),
    )


def _create_assets() -> None:
    op.create_table(
        "assets",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("dandiset_id", sa.Text, primary_key=True),
        sa.Column("version", sa.Text, primary_key=True),
        sa.Column("path", sa.Text, primary_key=True),
        sa.Column("asset_id", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger),
        sa.Column("encoding_format", sa.Text),
        sa.Column("sha256", sa.Text),
        sa.Column("dandi_etag", sa.Text),
        sa.Column("blob", sa.Text),
        sa.Column("zarr", sa.Text),
        sa.Column("created", Instant),
        sa.Column("modified", Instant),
        sa.Column("metadata", JsonText),
        sa.Column("content_hash", sa.Text, nullable=False),
    )
    op.create_index("assets_by_asset_id", "assets", ["asset_id"])
    for column in ("sha256", "blob"):
        _create_partial_index(f"assets_by_{column}", "assets", [column], f"{column} IS NOT NULL")


def _create_partitions() -> None:
    op.create_table(
        "partitions",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("partition", sa.Text, primary_key=True),
        sa.Column("part", sa.Text, primary_key=True),
        sa.Column("token", sa.Text),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("visible", sa.Boolean, nullable=False),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.Column("synced_at", Instant),
        sa.Column("run_id", sa.Text),
        sa.Column("failed_at", Instant),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error_group", sa.Text),
        sa.Column("error", sa.Text),
    )


def _create_clock() -> None:
    op.create_table("mirror_clock", sa.Column("commits", sa.BigInteger, nullable=False))
    op.execute("INSERT INTO mirror_clock (commits) VALUES (0)")


def _create_change_log() -> None:
    op.create_table(
        "change_log",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("at", Instant, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("partition", sa.Text, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("before", JsonText),
        sqlite_autoincrement=True,
    )
    chain = ["source", "partition", "record", "scope", "name", "sequence"]
    _create_partial_index("change_log_before", "change_log", chain, "before IS NOT NULL")


def _create_partial_index(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
