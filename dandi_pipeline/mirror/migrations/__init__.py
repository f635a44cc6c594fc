"""Brings a database to the present schema: Alembic's revisions, applied when a mirror is opened."""

import threading
from pathlib import Path

import sqlalchemy as sa

from dandi_pipeline.errors import DatabaseUnavailable
from dandi_pipeline.mirror.database import Database
from dandi_pipeline.mirror.facets import FacetSchema
from dandi_pipeline.mirror.texts import renew_all_texts
from dandi_pipeline.mirror.views import create_views, drop_views

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")
"""Every revision this version of the package knows, oldest first."""

VERSION_TABLE = "mirror_schema"
"""Not Alembic's usual name: Dagster keeps its own `alembic_version` in what may be the same database."""

_VERSION = sa.table(VERSION_TABLE, sa.column("version_num"))

# Alembic's `context` is one for the whole process.
_UPGRADING = threading.Lock()


def revision(connection: sa.Connection) -> str | None:
    """Return the revision that a database is at; None if it holds no mirror."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(sa.select(_VERSION)).scalar_one_or_none()
    return None if found is None else str(found)


def is_current(found: str | None, place: str) -> bool:
    """Say whether a revision is the present one; raise `DatabaseUnavailable` for one from the future."""
    if found is not None and found not in REVISIONS:
        raise DatabaseUnavailable(
            f"{place}: the mirror was written by a newer version of dandi_pipeline (schema {found}, this version"
            f" knows up to {REVISIONS[-1]}); upgrade the package"
        )
    return found == REVISIONS[-1]


def upgrade(database: Database, facets: FacetSchema) -> None:
    """Create or upgrade the schema, in one transaction; several processes may do so at once."""
    place = database.dialect.place
    with database.connection() as connection:
        with database.transaction(connection):
            if is_current(revision(connection), place):
                return
        with _UPGRADING, database.writing(connection):
            if not is_current(revision(connection), place):
                drop_views(connection, database.dialect, facets)
                _run_alembic(connection, facets)
                create_views(connection, database.dialect, facets)
                renew_all_texts(connection)


def _run_alembic(connection: sa.Connection, facets: FacetSchema) -> None:
    # Imported here: a mirror that is up to date, the usual case, does without.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes.update(connection=connection, facets=facets)
    command.upgrade(config, "head")
