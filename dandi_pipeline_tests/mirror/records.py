"""Believable records to fill a mirror with, and ways to look into its tables without going through it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

import orjson
import sqlalchemy as sa

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.mirror import Mirror
from dandi_pipeline.model import Column, Record, RecordKind

SOURCE = "dandi"
PARTS = ("dandisets", "assets")
FRESH = {"dandisets": "token", "assets": "token"}

DANDISET = RecordKind("dandiset", "dandisets", key=(), fingerprint=("draft_modified",))
VERSION = RecordKind("version", "dandisets", key=("version",), fingerprint=("modified",))
ASSET = RecordKind("asset", "assets", key=("version", "path"), fingerprint=("asset_id", "modified", "size", "sha256"))

INSTANT = "2024-02-29T23:59:59.000100Z"


def dandiset(content: str = "hash", **columns: Column) -> Record:
    values: dict[str, Column] = {
        "name": "Allen Institute – Visual Coding",
        "embargo_status": "OPEN",
        "created": INSTANT,
        "draft_modified": INSTANT,
        "asset_count": 2,
        "size": 2**40,
        "contact_person": None,
        "visible": True,
    }
    return Record(DANDISET, (), {**values, **columns}, None, content)


def version(name: str = "draft", content: str = "hash", **columns: Column) -> Record:
    values: dict[str, Column] = {
        "status": "Valid",
        "name": "Visual Coding",
        "created": INSTANT,
        "modified": INSTANT,
        "asset_count": 2,
        "size": 2**40,
        "license": "spdx:CC-BY-4.0",
        "doi": None,
    }
    return Record(VERSION, (name,), {**values, **columns}, '{"assetsSummary":{"numberOfBytes":1}}', content)


def asset(
    path: str, content: str = "hash", *, version: str = "draft", metadata: str = '{"path":"a"}', **columns: Column
) -> Record:
    values: dict[str, Column] = {
        "asset_id": f"id of {path}",
        "size": 2**33,
        "encoding_format": "application/x-nwb",
        "sha256": None,
        "dandi_etag": "etag-1",
        "blob": "blob",
        "zarr": None,
        "created": INSTANT,
        "modified": INSTANT,
    }
    return Record(ASSET, (version, path), {**values, **columns}, metadata, content)


SCHEMA = RecordKind("schema", "pages", key=())
PAGE = RecordKind("page", "pages", key=("page_id",))
RECORD = RecordKind("record", "records", key=("record_id",))


def schema(name: str = "Tasks", content: str = "hash", *, metadata: str = '{"properties":{}}') -> Record:
    return Record(SCHEMA, (), {"name": name}, metadata, content)


def page(page_id: str = "page", content: str = "hash", *, cells: Any = None, **columns: Column) -> Record:
    values: dict[str, Column] = {
        "created": INSTANT,
        "last_edited": INSTANT,
        "title": "Bug bash",
        "url": f"https://notion.example.org/{page_id}",
        "in_trash": False,
        "cells": orjson.dumps(cells or {}, option=orjson.OPT_SORT_KEYS).decode(),
    }
    return Record(PAGE, (page_id,), {**values, **columns}, '{"object":"page"}', content)


def table_record(record_id: str, content: str = "hash", *, cells: Any = None, errors: str | None = None) -> Record:
    text = orjson.dumps(cells or {}, option=orjson.OPT_SORT_KEYS).decode()
    values: dict[str, Column] = {"created": INSTANT, "cells": text, "errors": errors}
    return Record(RECORD, (record_id,), values, f'{{"id":"{record_id}"}}', content)


@contextmanager
def opened(url: str, *, patience: float = 20.0) -> Iterator[Mirror]:
    """Open the mirror for one block; the tests' own patience is shorter than an operator's."""
    with open_mirror(url, patience=patience) as mirror:
        yield mirror


def store(mirror: Mirror, *records: Record, partition: str = "000003", token: str = "token") -> None:
    with mirror.session(SOURCE, partition, PARTS) as session:
        session.stage(records)
        session.commit(run_id="run", tokens=dict.fromkeys(PARTS, token))


def engine_of(url: str) -> sa.Engine:
    """Return an engine of the tests' own; plain `postgresql://` means another driver to SQLAlchemy 2.1."""
    return sa.create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))


@contextmanager
def writing(url: str) -> Iterator[None]:
    """Hold what a writer of another process would hold."""
    begin = "BEGIN IMMEDIATE" if url.startswith("sqlite") else "SELECT pg_advisory_xact_lock(x'64616e6469'::bigint)"
    engine = engine_of(url)
    with engine.connect() as connection:
        connection.exec_driver_sql(begin)
        yield
    engine.dispose()


def query(url: str, statement: str, **values: Any) -> list[dict[str, Any]]:
    """Run SQL on a connection of its own and return rows as plain JSON values, whatever the database."""
    engine = engine_of(url)
    try:
        with engine.begin() as connection:
            result = connection.execute(sa.text(statement), values)
            return [_plain(row) for row in result.mappings()] if result.returns_rows else []
    finally:
        engine.dispose()


def rows_of(url: str, table: str, *, partition: str = "000003") -> list[dict[str, Any]]:
    rows = query(url, f"SELECT * FROM {table} WHERE dandiset_id = :partition", partition=partition)
    return sorted(rows, key=lambda row: (row.get("version", ""), row.get("path", "")))


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: _plain_value(name, value) for name, value in row.items()}


def _plain_value(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat(timespec="microseconds")[:26] + "Z"
    if name in ("metadata", "before", "after", "cells", "errors") and isinstance(value, str):
        return orjson.loads(value)
    return bool(value) if name in ("visible", "in_trash") else value
