"""Reads the change feed: every insert, update and delete of every record, in the order of their commits."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from dandi_pipeline.http.exact_json import parsed
from dandi_pipeline.mirror.dialect import Dialect
from dandi_pipeline.mirror.partitions import moment
from dandi_pipeline.mirror.schema import change_log


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one record; `before` and `after` are the row's columns, None where there was no row.

    Numbers in them are as `dandi_pipeline.http.exact_json` reads them.
    """

    sequence: int
    at: datetime
    run_id: str
    source: str
    partition: str
    record: str
    key: str
    kind: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def read_changes(
    connection: sa.Connection, dialect: Dialect, *, after: int, source: str | None, limit: int
) -> list[Change]:
    """Return up to `limit` changes with a sequence beyond `after`, oldest first."""
    condition = "" if source is None else " AND source = :source"
    at = dialect.as_text(change_log.columns["at"], "at")
    before, image = (dialect.as_text(change_log.columns["before"], name) for name in ("before", "after"))
    rows = connection.execute(
        sa.text(
            f"SELECT sequence, {at} AS at, run_id, source, partition, record, key, kind, {before} AS before,"
            f" {image} AS after FROM changes"
            f" WHERE sequence > :after{condition} ORDER BY sequence LIMIT :limit"
        ),
        {"after": after, "source": source, "limit": limit},
    )
    return list(map(_change, rows))


def _change(row: sa.Row[Any]) -> Change:
    values = dict(row._mapping)
    images = {name: _image(values[name]) for name in ("before", "after")}
    return Change(**{**values, "at": moment(values["at"]), **images})


def _image(text: str | None) -> dict[str, Any] | None:
    return None if text is None else dict(parsed(text.encode()))
