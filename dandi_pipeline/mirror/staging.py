"""Holds what a sync has read, in temporary tables of its own connection, until one transaction applies it.

Nothing here locks the mirror: it can be read and written by others for as long as the platform is read.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, islice

import sqlalchemy as sa

from dandi_pipeline.errors import UnexpectedPayload
from dandi_pipeline.mirror.dialect import Dialect, Row
from dandi_pipeline.mirror.schema import RecordTable
from dandi_pipeline.platforms.contract import Column, Key, Record

BATCH = 1000
"""Rows sent at a time: bounds memory, whatever a caller hands over."""

_UNREADABLE = re.compile(r"(?<!\\)((?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})")
"""A NUL or half a surrogate pair, which are escapes in canonical JSON."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_HUGE = re.compile(r"\d{6000}|[eE][+-]?\d{5}", re.ASCII)
"""Beyond what PostgreSQL's NUMERIC, and with it JSONB, can hold: 131,072 digits before the point, 16,383 behind it."""

LONGEST_KEY = 2000
"""Bytes of UTF-8. PostgreSQL indexes rows of at most 2,704 bytes (a third of a page); a DANDI path ends at 512."""


class StagingTable:
    """A temporary table that takes rows in order; where a key comes twice, the later row counts."""

    def __init__(
        self, connection: sa.Connection, dialect: Dialect, name: str, record: RecordTable, columns: Sequence[str]
    ):
        self.name = name
        self._connection = connection
        self._dialect = dialect
        self._columns = ("ordinal", *columns)
        self._ordinals = count()
        self._key = record.key
        dialect.create_staging(connection, name, [record.table.columns[column] for column in columns])

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows, a batch at a time."""
        for batch in _batches((next(self._ordinals), *row) for row in rows):
            self._dialect.load(self._connection, self.name, self._columns, batch)

    def settle(self) -> None:
        """Index the rows by key, which also keeps the database from guessing, and drop those staged again later."""
        if self._key:
            keys = ", ".join(self._key)
            self._connection.execute(
                sa.text(f"CREATE INDEX IF NOT EXISTS {self.name}_by_key ON {self.name} ({keys}, ordinal)")
            )
        same = " AND ".join(["true", *(f"later.{column} = {self.name}.{column}" for column in self._key)])
        self._connection.execute(
            sa.text(
                f"DELETE FROM {self.name} WHERE EXISTS"
                f" (SELECT 1 FROM {self.name} later WHERE {same} AND later.ordinal > {self.name}.ordinal)"
            )
        )


def staged_rows(record_table: RecordTable, records: Iterable[Record], where: str) -> Iterator[Row]:
    """Yield the records as rows of `RecordTable.staged`.

    Raises `UnexpectedPayload` for what a database cannot hold: NUL and lone surrogates in text, integers beyond
    64 bits, keys and other values too long to index.
    """
    document, cellular = record_table.has_metadata, "cells" in record_table.values
    for record in records:
        columns = _readable(record.columns) if cellular else record.columns
        values = [columns[name] for name in record_table.values]
        row = (*record.key, *values, *((record.metadata,) if document else ()), record.content_hash)
        problem = (
            _problem(row)
            or _key_problem(record.key)
            or _lookup_problem(record, record_table.lookups)
            or (_cells_problem(columns["cells"]) if cellular else None)
        )
        if problem:
            _refuse(problem, record.kind.name, record.key, where)
        yield row


def checked_keys(kind: str, keys: Iterable[Key], where: str) -> Iterator[Row]:
    """Yield keys as rows; raises `UnexpectedPayload` like `staged_rows`."""
    for key in keys:
        if problem := _problem(key) or _key_problem(key):
            _refuse(problem, kind, key, where)
        yield key


def _readable(columns: Mapping[str, Column]) -> Mapping[str, Column]:
    """Return the columns with each NUL and each half of a surrogate pair in the cells replaced.

    JSONB takes neither, and SQLite's functions stop at a NUL. The metadata beside the cells keeps them.
    """
    return {**columns, "cells": _UNREADABLE.sub(r"\1\\ufffd", str(columns["cells"]))}


def _cells_problem(cells: Column) -> str | None:
    if isinstance(cells, str) and _HUGE.search(cells) and _HUGE.search(_STRING.sub("", cells)):
        return "has a number in its cells that PostgreSQL cannot hold"
    return None


def _refuse(problem: str, kind: str, key: Key, where: str) -> None:
    raise UnexpectedPayload(f"{where}: {kind} {'/'.join(key)[:200]!r} {problem}; nothing was written for it")


def _problem(row: Row) -> str | None:
    for value in row:
        if isinstance(value, str):
            if "\0" in value:
                return "has a NUL character in a text"
            if not value.isascii() and not _encodable(value):
                return "has a text that is no valid Unicode"
        elif value is not None and not -(2**63) <= value < 2**63:
            return f"has an integer beyond 64 bits ({len(str(value))} digits)"
    return None


def _key_problem(key: Key) -> str | None:
    return f"has a key of more than {LONGEST_KEY} bytes" if _is_too_long(*key) else None


def _lookup_problem(record: Record, columns: Sequence[str]) -> str | None:
    for column in columns:
        value = record.columns[column]
        if isinstance(value, str) and len(value) * 4 > LONGEST_KEY and _is_too_long(value):
            return f"has a {column!r} of more than {LONGEST_KEY} bytes"
    return None


def _is_too_long(*texts: str) -> bool:
    return sum(map(len, texts)) * 4 > LONGEST_KEY and len("".join(texts).encode()) > LONGEST_KEY


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, BATCH)):
        yield batch
