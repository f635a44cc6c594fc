"""The indexes for people's own queries, by identifier and digest; no sync needs them.

They are of random values, so each row that is added to them costs the more the more there are: what fills a mirror
does without, and they are built in one go when the first sync ends.
"""

from contextlib import suppress

import sqlalchemy as sa

from dandi_pipeline.errors import TransientError
from dandi_pipeline.mirror.database import Database
from dandi_pipeline.mirror.facets import lookups
from dandi_pipeline.mirror.schema import RECORD_TABLES


def build_lookups(database: Database) -> None:
    """Build those that are missing, in one transaction; where others hold the database, the next sync does it."""
    with suppress(TransientError), database.connection() as connection:
        with database.transaction(connection):
            complete = not _missing(connection)
        if not complete:
            with database.writing(connection):
                for index in _missing(connection):
                    index.create(connection)


def _missing(connection: sa.Connection) -> list[sa.Index]:
    there = sa.inspect(connection)
    indexes = [index for record in RECORD_TABLES.values() for index in record.table.indexes]
    return [
        index
        for index in (*indexes, *lookups())
        if index.table is not None and not there.has_index(index.table.name, str(index.name))
    ]
