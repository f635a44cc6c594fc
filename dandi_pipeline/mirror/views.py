"""The views people query, and the JSON images of rows that the change feed shows: both in SQL, here only.

Views follow the tables as they are now, so a migration drops and recreates all of them.
"""

import sqlalchemy as sa

from dandi_pipeline.mirror.dialect import Dialect
from dandi_pipeline.mirror.facets import create_facet_views, drop_facet_views
from dandi_pipeline.mirror.schema import RECORD_TABLES, RecordTable
from dandi_pipeline.mirror.shapes import ShapedViews

_DRAFT_ASSETS = """
CREATE VIEW draft_assets AS
SELECT source, dandiset_id, path, asset_id, size, encoding_format, sha256, dandi_etag, blob, zarr,
       created, modified, metadata
FROM assets
WHERE version = 'draft'
"""

_VERSION_ASSETS = """
CREATE VIEW version_assets AS
SELECT source, dandiset_id, version, path, asset_id
FROM assets
"""

# The image after a change is the one before the next change of the same record; if there is none, the row's.
# An insert has no image before it, and what follows a delete is an insert, so NULLs never stand for an image.
_CHANGES = """
CREATE VIEW changes AS
SELECT c.sequence, c.at, c.run_id, c.source, c.partition, c.record, c.scope,
       CASE WHEN c.scope IN ('', 'draft') THEN c.name ELSE c.scope || '/' || c.name END AS key,
       c.kind, c.before,
       CASE WHEN c.kind = 'delete' THEN NULL ELSE coalesce(
           (SELECT later.before
            FROM change_log later
            WHERE later.source = c.source AND later.partition = c.partition AND later.record = c.record
              AND later.scope = c.scope AND later.name = c.name
              AND later.sequence > c.sequence AND later.before IS NOT NULL
            ORDER BY later.sequence
            LIMIT 1),
           CASE c.record {images} END
       ) END AS after
FROM change_log c
"""

_VIEWS = ("changes", "version_assets", "draft_assets")


def image(record: RecordTable, dialect: Dialect, alias: str) -> str:
    """Return SQL for a row's image: a JSON object of every column but the source, its metadata nested."""
    columns = [column for column in record.table.columns if column.name != "source"]
    return dialect.json_object([(column, f"{alias}.{column.name}") for column in columns])


def drop_views(connection: sa.Connection, dialect: Dialect) -> None:
    """Drop the views, so that the tables under them can change."""
    if sa.inspect(connection).has_table("shapes"):
        ShapedViews(connection, dialect).drop_all()
    drop_facet_views(connection)
    for name in _VIEWS:
        connection.execute(sa.text(f"DROP VIEW IF EXISTS {name}"))


def create_views(connection: sa.Connection, dialect: Dialect) -> None:
    """Create the views over the tables as they are now."""
    images = " ".join(_current_image(record, dialect) for record in RECORD_TABLES.values())
    for statement in (_DRAFT_ASSETS, _VERSION_ASSETS, _CHANGES.format(images=images)):
        connection.execute(sa.text(statement))
    create_facet_views(connection)
    ShapedViews(connection, dialect).create_all()


def _current_image(record: RecordTable, dialect: Dialect) -> str:
    scope = f"t.{record.scope}" if record.scope else "''"
    return (
        f"WHEN '{record.kind}' THEN (SELECT {image(record, dialect, 't')} FROM {record.table.name} t"
        f" WHERE t.source = c.source AND t.{record.partition} = c.partition"
        f" AND {scope} = c.scope AND t.{record.name} = c.name)"
    )
