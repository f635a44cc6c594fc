"""What Alembic runs for every command: the caller's connection, and its transaction."""

from alembic import context

from dandi_pipeline.mirror.migrations import VERSION_TABLE
from dandi_pipeline.mirror.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
