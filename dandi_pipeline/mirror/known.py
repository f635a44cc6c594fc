"""Reads what the mirror holds of a partition, as little of it as a comparison needs."""

import sqlalchemy as sa

from dandi_pipeline.mirror.dialect import Dialect
from dandi_pipeline.mirror.schema import RECORD_TABLES
from dandi_pipeline.platforms.contract import Fingerprint, Key, RecordKind


def read_known(
    connection: sa.Connection, dialect: Dialect, source: str, partition: str, kind: RecordKind
) -> dict[Key, Fingerprint]:
    """Return the fingerprint of every record of a kind in a partition, by key."""
    record = RECORD_TABLES[kind.name]
    wanted = [record.table.columns[name] for name in (*record.key, "content_hash", *kind.fingerprint)]
    columns = ", ".join(dialect.as_text(column, column.name) for column in wanted)
    rows = connection.execute(
        sa.text(
            f"SELECT {columns} FROM {record.table.name} WHERE source = :source AND {record.partition} = :partition"
        ),
        {"source": source, "partition": partition},
    )
    width = len(record.key)
    return {tuple(row[:width]): tuple(row[width:]) for row in rows}
