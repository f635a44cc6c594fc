"""Leave the indexes for people's queries to the end of the first sync, where nothing is held yet."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Drop them where no asset is."""
    if op.get_bind().execute(sa.text("SELECT 1 FROM assets LIMIT 1")).first() is None:
        for column in ("asset_id", "sha256", "blob"):
            op.drop_index(f"assets_by_{column}", table_name="assets")
