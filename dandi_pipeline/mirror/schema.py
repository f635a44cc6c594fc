"""The mirror's tables as they are now; `migrations` brings a database there, step by step."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class _Spelled(FunctionElement[str]):
    """A moment in canonical spelling."""

    inherit_cache = True
    type = sa.Text()


@compiles(_Spelled)
def _spelled(element: _Spelled, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(_Spelled, "postgresql")
def _spelled_in_postgresql(element: _Spelled, compiler: SQLCompiler, **options: Any) -> str:
    return CANONICAL.format(compiler.process(element.clauses, **options))


CANONICAL = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
"""How PostgreSQL spells a moment as SQLite stores it."""


class _Text(sa.types.TypeDecorator[str]):
    """What Python writes and reads as text, whatever the database's own type for it is."""

    impl = sa.Text
    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> None:
        """Send the text as it is."""

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> None:
        """Take the text that `column_expression` selects."""


class Instant(_Text):
    """A moment: TIMESTAMPTZ in PostgreSQL; in SQLite text in canonical spelling, which sorts as time does.

    A SELECT reads it in that spelling from both.
    """

    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Return the database's own type."""
        own = postgresql.TIMESTAMP(timezone=True) if dialect.name == "postgresql" else sa.Text()
        return dialect.type_descriptor(own)

    def column_expression(self, column: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
        """Select the canonical spelling."""
        return _Spelled(column)


class JsonText(_Text):
    r"""JSON as the platform wrote it: JSON in PostgreSQL (JSONB would reorder it and refuse \u0000), text in SQLite.

    A SELECT reads its text from both.
    """

    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Return the database's own type."""
        own = postgresql.JSON() if dialect.name == "postgresql" else sa.Text()
        return dialect.type_descriptor(own)

    def column_expression(self, column: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
        """Select the text."""
        return sa.cast(column, sa.Text)


class Cells(JsonText):
    """JSON that is read cell by cell in SQL, not kept to the letter: JSONB in PostgreSQL, text in SQLite."""

    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Return the database's own type."""
        own = postgresql.JSONB() if dialect.name == "postgresql" else sa.Text()
        return dialect.type_descriptor(own)


METADATA = sa.MetaData()

# SQLite numbers rows by itself only in a column declared exactly INTEGER.
SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


dandisets = sa.Table(
    "dandisets",
    METADATA,
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

versions = sa.Table(
    "versions",
    METADATA,
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
    sa.Index("versions_by_dandiset_id", "dandiset_id"),
)

assets = sa.Table(
    "assets",
    METADATA,
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
    sa.Index("assets_by_dandiset_id", "dandiset_id"),
    sa.Index("assets_by_asset_id", "asset_id"),
    sa.Index(
        "assets_by_sha256",
        "sha256",
        sqlite_where=sa.text("sha256 IS NOT NULL"),
        postgresql_where=sa.text("sha256 IS NOT NULL"),
    ),
    sa.Index(
        "assets_by_blob",
        "blob",
        sqlite_where=sa.text("blob IS NOT NULL"),
        postgresql_where=sa.text("blob IS NOT NULL"),
    ),
)

notion_pages = sa.Table(
    "notion_pages",
    METADATA,
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

airtable_records = sa.Table(
    "airtable_records",
    METADATA,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("table_id", sa.Text, primary_key=True),
    sa.Column("record_id", sa.Text, primary_key=True),
    sa.Column("created", Instant),
    sa.Column("cells", Cells, nullable=False),
    sa.Column("errors", JsonText),
    sa.Column("metadata", JsonText),
    sa.Column("content_hash", sa.Text, nullable=False),
)

# The records of every platform that needs no table of its own (see `platforms/items.py`).
items = sa.Table(
    "items",
    METADATA,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("partition", sa.Text, primary_key=True),
    sa.Column("item_id", sa.Text, primary_key=True),
    sa.Column("modified", Instant),
    sa.Column("cells", Cells, nullable=False),
    sa.Column("metadata", JsonText),
    sa.Column("content_hash", sa.Text, nullable=False),
)

# What a platform says of the properties of a partition's records, to the letter.
schemas = sa.Table(
    "schemas",
    METADATA,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("partition", sa.Text, primary_key=True),
    sa.Column("name", sa.Text),
    sa.Column("metadata", JsonText),
    sa.Column("content_hash", sa.Text, nullable=False),
)

# Which view reads a partition's records as a table, and the shape that it was made for.
shapes = sa.Table(
    "shapes",
    METADATA,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("partition", sa.Text, primary_key=True),
    sa.Column("view_name", sa.Text, nullable=False),
    sa.Column("shape", JsonText, nullable=False),
)

partitions = sa.Table(
    "partitions",
    METADATA,
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
    sa.Column("changing_since", Instant),
)

# Since when a partition's part has been held completely; kept when the partition is removed, for questions to the past.
first_syncs = sa.Table(
    "first_syncs",
    METADATA,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("partition", sa.Text, primary_key=True),
    sa.Column("part", sa.Text, primary_key=True),
    sa.Column("at", Instant, nullable=False),
)

# What people search dandisets by, from the draft's metadata; `texts` keeps an index of its words beside it.
dandiset_texts = sa.Table(
    "dandiset_texts",
    METADATA,
    sa.Column("number", SEQUENCE, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("dandiset_id", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("keywords", sa.Text, nullable=False),
    sa.Column("about", sa.Text, nullable=False),
    sa.Column("contributors", sa.Text, nullable=False),
    sa.UniqueConstraint("source", "dandiset_id", name="dandiset_texts_of_dandiset"),
)

# One row that counts the transactions which changed anything; it numbers the generations of `partitions`, so that
# none ever comes back, not even when a partition is removed and stored anew.
mirror_clock = sa.Table("mirror_clock", METADATA, sa.Column("commits", sa.BigInteger, nullable=False))

# How many records there were when the database last took its statistics; no row if it must take them anew.
mirror_statistics = sa.Table("mirror_statistics", METADATA, sa.Column("records", sa.BigInteger, nullable=False))

# An undo log: a change's image after it is the next change's `before`, or the row as it is now (see `views`).
# So a first copy, which is all inserts, stores no metadata twice.
change_log = sa.Table(
    "change_log",
    METADATA,
    sa.Column("sequence", SEQUENCE, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("partition", sa.Text, nullable=False),
    sa.Column("record", sa.Text, nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("before", JsonText),
    sa.Index(
        "change_log_before",
        "source",
        "partition",
        "record",
        "scope",
        "name",
        "sequence",
        sqlite_where=sa.text("before IS NOT NULL"),
        postgresql_where=sa.text("before IS NOT NULL"),
    ),
    # A number is never given twice, also not when the newest rows were pruned: readers resume from it.
    sqlite_autoincrement=True,
)

# What every process may still send: the instants granted under a limit and the end of its pause, in seconds since
# 1970 by the database's clock, and how many requests it has granted in the month (UTC).
rate_budgets = sa.Table(
    "rate_budgets",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("granted", sa.Text, nullable=False),
    sa.Column("paused_until", sa.Double),
    sa.Column("month", sa.Text, nullable=False),
    sa.Column("calls", sa.BigInteger, nullable=False),
)


def insert(connection: sa.Connection, table: sa.Table) -> "postgresql.Insert | sqlite.Insert":
    """Begin an INSERT that can say ON CONFLICT, which both databases have and SQL has not."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


@dataclass(frozen=True)
class RecordTable:
    """Where the records of one kind live.

    `partition` names the column that holds the partition's key. `scope` names the column that `name` is unique
    within, if there is one; with `partition` they identify a row. The columns in `moving` are no content: they are
    brought up to date without an entry in the change log.
    """

    kind: str
    table: sa.Table
    partition: str
    name: str
    scope: str | None = None
    moving: tuple[str, ...] = ()

    @cached_property
    def key(self) -> tuple[str, ...]:
        """What identifies a row within its partition: a `Record.key`, column by column."""
        parts = (self.scope, self.name)
        return tuple(column for column in parts if column is not None and column != self.partition)

    @cached_property
    def values(self) -> tuple[str, ...]:
        """The typed columns, in the table's order: `Record.columns`."""
        identity = {"source", self.partition, *self.key}
        beside = {"metadata", "content_hash"}
        return tuple(column.name for column in self.table.columns if column.name not in identity | beside)

    @cached_property
    def lookups(self) -> tuple[str, ...]:
        """The typed columns that have an index for people's queries."""
        indexed = (column.name for index in self.table.indexes for column in index.columns)
        return tuple(name for name in indexed if name in self.values)

    @cached_property
    def has_metadata(self) -> bool:
        """Whether the kind's records carry a JSON document."""
        return "metadata" in self.table.columns

    @cached_property
    def staged(self) -> tuple[str, ...]:
        """Every column that comes from a `Record`, in the order in which it is staged."""
        return (*self.key, *self.values, *(("metadata",) if self.has_metadata else ()), "content_hash")

    @property
    def hideable(self) -> bool:
        """Whether rows say that the platform hides their partition."""
        return "visible" in self.table.columns

    @cached_property
    def markable(self) -> tuple[str, ...]:
        """The columns that the mirror itself may give one value in all of a partition's rows."""
        return tuple(column for column in ("visible", "in_trash") if column in self.table.columns)


RECORD_TABLES: Mapping[str, RecordTable] = {
    record.kind: record
    for record in (
        RecordTable("dandiset", dandisets, partition="dandiset_id", name="dandiset_id", moving=("draft_modified",)),
        RecordTable("version", versions, partition="dandiset_id", name="version", moving=("modified",)),
        RecordTable("asset", assets, partition="dandiset_id", scope="version", name="path"),
        RecordTable("schema", schemas, partition="partition", name="partition"),
        RecordTable("page", notion_pages, partition="data_source_id", name="page_id"),
        RecordTable("record", airtable_records, partition="table_id", name="record_id"),
        RecordTable("item", items, partition="partition", name="item_id"),
    )
}
