"""The door's second layer on PostgreSQL: a role that may read what is public, and nothing else.

It is a role of its own and not `SET ROLE`, which a statement could undo. Each time it is used it gets a new password
that is good for a minute, so that none is stored anywhere.
"""

import hashlib
import secrets
from typing import Any

import sqlalchemy as sa

from dandi_pipeline.errors import DatabaseUnavailable
from dandi_pipeline.mirror.database import Database, dialect_of
from dandi_pipeline.mirror.postgresql import PostgresqlDialect

_LOCK = 0x646F6F72

LONGEST_STATEMENT = "10min"
TEMPORARY_FILES = "1GB"
"""What the role's statements may take at most, whatever their session sets."""

_PREPARING = """
SELECT current_database(), current_schema(),
       (SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user),
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
"""


def arguments(owner: Database, public: tuple[str, ...], reader_url: str | None) -> dict[str, Any]:
    """Return how psycopg2 connects as the reader of the mirror that `owner` opens.

    Raises `DatabaseUnavailable` where the role is missing and cannot be made.
    """
    if reader_url is not None:
        dialect = dialect_of(reader_url, owner.dialect.patience)
        if not isinstance(dialect, PostgresqlDialect):
            raise DatabaseUnavailable("MIRROR_READER_URL: names no PostgreSQL database; the mirror is one")
        return dialect.arguments
    assert isinstance(owner.dialect, PostgresqlDialect)
    with owner.connection() as connection, owner.transaction(connection):
        role, schema, password = _prepared(connection, public, owner.dialect.place)
    options = f"-c search_path={schema} -c standard_conforming_strings=on -c TimeZone=UTC -c DateStyle=ISO"
    return {**owner.dialect.arguments, "user": role, "password": password, "options": options}


def _prepared(connection: sa.Connection, public: tuple[str, ...], place: str) -> tuple[str, str, str]:
    database, schema, may_create, is_superuser = connection.execute(sa.text(_PREPARING)).one()
    role = f"dandi_reader_{hashlib.sha256(f'{database}.{schema}'.encode()).hexdigest()[:16]}"
    # For all who prepare it, of any process: two changes of one role at the same time fail.
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    exists = connection.execute(sa.text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}).first()
    if not may_create:
        raise DatabaseUnavailable(
            f"{place}: the door needs a role of its own, and this user may not create any; have one made that may read"
            " what is public alone (docs/asking.md), and name it in MIRROR_READER_URL"
        )
    if exists is None:
        _create(connection, role, schema, is_superuser=is_superuser)
    _grant(connection, role, schema, public)
    password = secrets.token_urlsafe(24)
    connection.execute(
        sa.text(
            f"ALTER ROLE {role} PASSWORD '{password}' VALID UNTIL"
            f" '{connection.execute(sa.text('SELECT now() + interval $$1 minute$$')).scalar_one()}'"
        )
    )
    return role, schema, password


def _create(connection: sa.Connection, role: str, schema: str, *, is_superuser: bool) -> None:
    settings = {
        "default_transaction_read_only": "on",
        "statement_timeout": LONGEST_STATEMENT,
        "idle_in_transaction_session_timeout": LONGEST_STATEMENT,
        "work_mem": "16MB",
        "max_parallel_workers_per_gather": "0",
    }
    if is_superuser:
        settings["temp_file_limit"] = TEMPORARY_FILES  # Only a superuser may set it, for whichever role.
    connection.execute(sa.text(f"CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION"))
    for name, value in settings.items():
        connection.execute(sa.text(f"ALTER ROLE {role} SET {name} = '{value}'"))
    connection.execute(sa.text(f'GRANT USAGE ON SCHEMA "{schema}" TO {role}'))


def _grant(connection: sa.Connection, role: str, schema: str, public: tuple[str, ...]) -> None:
    """Grant what is public and not granted yet: users' views are made anew when their schemas change."""
    missing = connection.execute(
        sa.text(
            "SELECT c.relname FROM pg_class c WHERE c.relnamespace = CAST(:schema AS regnamespace)"
            " AND c.relname = ANY(:public) AND NOT has_table_privilege(:role, c.oid, 'SELECT')"
        ),
        {"schema": f'"{schema}"', "public": list(public), "role": role},
    ).scalars()
    for name in list(missing):
        quoted = connection.dialect.identifier_preparer.quote(name)
        connection.execute(sa.text(f'GRANT SELECT ON "{schema}".{quoted} TO {role}'))
