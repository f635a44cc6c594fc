"""Reads what the mirror held at a moment in the past, from the rows as they are and the change log.

A record of which no later change is logged is as it is now; any other was what the first later change replaced.
"""

import heapq
import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from dandi_pipeline.mirror.database import Database
from dandi_pipeline.mirror.dialect import Dialect
from dandi_pipeline.mirror.schema import RECORD_TABLES, RecordTable, change_log, first_syncs
from dandi_pipeline.model import RecordKind

PastRow = dict[str, Any]

# Of each record the first change after the partition's last commit at or before the moment. Sequences decide and not
# times, which go back where a clock is set.
_LATER = """
WITH cut AS (
  SELECT partition, max(sequence) AS sequence FROM change_log
  WHERE source = :source AND at <= :moment GROUP BY partition
), later AS (
  SELECT c.partition, c.scope, c.name, min(c.sequence) AS sequence
  FROM change_log c LEFT JOIN cut ON cut.partition = c.partition
  WHERE c.source = :source AND c.record = :record AND c.sequence > coalesce(cut.sequence, 0)
  GROUP BY c.partition, c.scope, c.name
), complete AS (
  SELECT partition FROM first_syncs WHERE source = :source AND part = :part AND at <= :moment
)
"""

# In an image, metadata and hash stand at the end. Within a text a quotation mark never follows a comma or a blank.
_METADATA = re.compile(r',\s*"metadata"\s*:\s*')
_HASH = re.compile(r',\s*"content_hash"\s*:\s*"[0-9a-f]*"\s*\}\s*\Z')


class Past:
    """The mirror as it was at a moment: an instant in canonical spelling. Made by `reading_past`."""

    def __init__(self, connection: sa.Connection, dialect: Dialect, moment: str) -> None:
        self._connection = connection
        self._dialect = dialect
        self._moment = moment

    def first_syncs(self, part: str) -> Mapping[tuple[str, str], str]:
        """Return since when each partition's part is held completely, by (source, partition)."""
        since = sa.select(first_syncs.c.source, first_syncs.c.partition, first_syncs.c.at)
        rows = self._connection.execute(since.where(first_syncs.c.part == part))
        return {(row[0], row[1]): row[2] for row in rows}

    def rows(self, kind: RecordKind, source: str, partitions: Collection[str] | None = None) -> Iterator[PastRow]:
        """Yield the records of a kind that a source held, those of a partition together.

        Those of partitions that were not complete yet are left out. Columns that move without an entry in the log are
        None: nobody knows what they were.
        """
        record = RECORD_TABLES[kind.name]
        named = {"source": source, "moment": self._moment, "record": record.kind, "part": kind.part}
        wanted = None if partitions is None else frozenset(partitions)
        streams = (self._unchanged(record, named, wanted), self._replaced(record, named, wanted))
        for row in heapq.merge(*streams, key=lambda row: str(row[record.partition])):
            yield {**row, **dict.fromkeys(record.moving)}

    def _unchanged(
        self, record: RecordTable, named: Mapping[str, str], wanted: Collection[str] | None
    ) -> Iterator[PastRow]:
        names = [column.name for column in record.table.columns]
        columns = ", ".join(self._dialect.as_text(record.table.columns[name], f"t.{name}") for name in names)
        scope = f"t.{record.scope}" if record.scope else "''"
        found = self._stream(
            f"{_LATER} SELECT {columns} FROM {record.table.name} t LEFT JOIN later l"  # noqa: S608 - the schema's names
            f" ON l.partition = t.{record.partition} AND l.scope = {scope} AND l.name = t.{record.name}"
            f" WHERE t.source = :source AND l.sequence IS NULL"
            f" AND t.{record.partition} IN (SELECT partition FROM complete) ORDER BY t.{record.partition}",
            named,
        )
        for values in found:
            row = dict(zip(names, values, strict=True))
            if wanted is None or row[record.partition] in wanted:
                yield row

    def _replaced(
        self, record: RecordTable, named: Mapping[str, str], wanted: Collection[str] | None
    ) -> Iterator[PastRow]:
        before = self._dialect.as_text(change_log.columns["before"], "c.before")
        found = self._stream(
            f"{_LATER} SELECT c.partition, {before} FROM later l JOIN change_log c ON c.sequence = l.sequence"  # noqa: S608 - the schema's names
            " WHERE c.before IS NOT NULL AND c.partition IN (SELECT partition FROM complete) ORDER BY c.partition",
            named,
        )
        for partition, image in found:
            if wanted is None or partition in wanted:
                yield {"source": named["source"], **image_row(image)}

    def _stream(self, statement: str, named: Mapping[str, str]) -> Iterator[Any]:
        streaming = self._connection.execution_options(stream_results=True, max_row_buffer=1000)
        yield from streaming.execute(sa.text(statement), named)


@contextmanager
def reading_past(database: Database, moment: str) -> Iterator[Past]:
    """Lend the past at a moment, as of one state of the mirror throughout."""
    with database.connection() as connection, database.transaction(connection):
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        yield Past(connection, database.dialect, moment)


_BEYOND = 2**62
"""More than any number in the log."""

_CHANGES_AT_A_TIME = 20_000


def prune_changes(database: Database, before: str, *, dry_run: bool = False) -> int:
    """Delete the log's beginning, up to its first change at or after an instant; return how many changes that is.

    What is older than the last of them is no longer known: each partition counts as first held completely then, so
    that the past before is refused. Numbers are not given again. Others may write in between.
    """
    log = change_log.c
    first_kept = sa.select(sa.func.min(log.sequence)).where(log.at >= before).scalar_subquery()
    old = sa.select(sa.func.count(), sa.func.max(log.sequence)).where(
        log.sequence < sa.func.coalesce(first_kept, _BEYOND)
    )
    with database.reading() as connection:
        count, last = connection.execute(old).one()
    if dry_run or not count:
        return int(count)
    until = sa.select(sa.func.max(log.at)).where(log.sequence <= last).scalar_subquery()
    with database.connection() as connection:
        with database.writing(connection):
            # First: what is deleted must not be asked for, also where this is killed in between.
            connection.execute(sa.update(first_syncs).values(at=until).where(first_syncs.c.at < until))
        while _delete_some(database, connection, last):
            pass
    return int(count)


def _delete_some(database: Database, connection: sa.Connection, last: int) -> int:
    """Delete the next changes up to the last, so few that other writers need not wait long; return how many."""
    sequence = change_log.c.sequence
    some = sa.select(sa.func.min(sequence) + _CHANGES_AT_A_TIME).scalar_subquery()
    with database.writing(connection):
        return connection.execute(sa.delete(change_log).where(sequence <= last, sequence < some)).rowcount


def image_row(image: str) -> PastRow:
    """Return the row that an image shows, its metadata to the letter."""
    start, end = _METADATA.search(image), _HASH.search(image)
    if start is None or end is None:
        return dict(json.loads(image))
    metadata = image[start.end() : end.start()]
    row: PastRow = json.loads(image[: start.start()] + image[end.start() :])
    return {**row, "metadata": None if metadata.strip() == "null" else metadata}
