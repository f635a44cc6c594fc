"""The column types that SQLite and PostgreSQL keep differently."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql


class Instant(sa.types.TypeDecorator[str]):
    """A moment: TIMESTAMPTZ in PostgreSQL; in SQLite text in canonical spelling, which sorts as time does."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Return the database's own type."""
        own = postgresql.TIMESTAMP(timezone=True) if dialect.name == "postgresql" else sa.Text()
        return dialect.type_descriptor(own)


class Document(sa.types.TypeDecorator[str]):
    r"""JSON as the platform wrote it: JSON in PostgreSQL (JSONB would reorder it and refuse \u0000), text in SQLite."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Return the database's own type."""
        own = postgresql.JSON() if dialect.name == "postgresql" else sa.Text()
        return dialect.type_descriptor(own)


class Cells(Document):
    """JSON that is read cell by cell in SQL, not kept to the letter: JSONB in PostgreSQL, text in SQLite."""

    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Return the database's own type."""
        own = postgresql.JSONB() if dialect.name == "postgresql" else sa.Text()
        return dialect.type_descriptor(own)
