"""What people's own queries need and no sync does: indexes by identifier and digest, and the database's statistics.

They are of random values, so each row that is added to them costs the more the more there are: what fills a mirror
does without, and they are built in one go when the first sync ends.
"""

from contextlib import suppress

import sqlalchemy as sa

from dandi_pipeline.errors import TransientError
from dandi_pipeline.mirror.database import Database
from dandi_pipeline.mirror.facets import lookups
from dandi_pipeline.mirror.schema import METADATA, RECORD_TABLES


def build_lookups(database: Database) -> None:
    """Build those that are missing, in one transaction; where others hold the database, the next sync does it."""
    with suppress(TransientError), database.connection() as connection:
        with database.transaction(connection):
            complete = not _missing(connection)
        if not complete:
            with database.writing(connection):
                for index in _missing(connection):
                    index.create(connection)


GROWTH = 0.1
"""By what share the records may grow or shrink before statistics are taken again."""

_ANALYZED = tuple(METADATA.tables)


def take_statistics(database: Database) -> None:
    """Take the database's statistics where the records have changed much since; what is busy, the next sync does.

    Without them no plan is good: keys begin with the source, which is the same in most rows.
    """
    with suppress(TransientError), database.connection() as connection:
        with database.transaction(connection):
            fit = _are_fit(connection)
        if not fit:
            with database.writing(connection):
                database.dialect.analyze(connection, _ANALYZED)
                connection.execute(sa.text("DELETE FROM mirror_statistics"))
                connection.execute(sa.text(f"INSERT INTO mirror_statistics SELECT {_RECORDS}"))


_RECORDS = "(SELECT coalesce(sum(records), 0) FROM partitions)"


def _are_fit(connection: sa.Connection) -> bool:
    records, then = connection.execute(sa.text(f"SELECT {_RECORDS}, (SELECT records FROM mirror_statistics)")).one()
    return then is not None and abs(records - then) <= GROWTH * then


def _missing(connection: sa.Connection) -> list[sa.Index]:
    there = sa.inspect(connection)
    own = (index for record in RECORD_TABLES.values() for index in record.table.indexes)
    return [
        index
        for index in (*own, *lookups())
        if index.table is not None and not there.has_index(index.table.name, str(index.name))
    ]
