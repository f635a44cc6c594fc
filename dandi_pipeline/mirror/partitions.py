"""What the mirror remembers of each partition's parts: the state token, when it was synced, how it failed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa

from dandi_pipeline.mirror.dialect import Dialect
from dandi_pipeline.mirror.schema import partitions

HIDDEN_TOKEN = "hidden"  # noqa: S105 - a state token, not a secret
"""The token of a part that exists but that the platform does not show us."""


@dataclass(frozen=True, slots=True)
class PartitionState:
    """How one part of a partition stands in the mirror.

    `token` None: stale, or never read completely. `generation` is the number of the commit that last changed the
    part, 0 if none has: it only grows, and no two contents share one. `records` counts the rows. `synced_at` is the
    last commit under a token. `attempts` counts the failures since the last success.
    """

    token: str | None
    visible: bool
    generation: int
    records: int
    synced_at: datetime | None
    run_id: str | None
    attempts: int
    failed_at: datetime | None
    error_group: str | None
    error: str | None


_STATE = tuple(field.name for field in fields(PartitionState))
_THIS_PART = "WHERE source = :source AND partition = :partition AND part = :part"


def now() -> str:
    """Return the present as records spell instants. For people to read: nothing is ever compared with it."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")[:26] + "Z"


def moment(instant: str) -> datetime:
    """Return the aware moment that a canonical spelling means."""
    return datetime.fromisoformat(instant[:-1] + "+00:00")


def read_states(
    connection: sa.Connection,
    dialect: Dialect,
    source: str,
    partition: str | None = None,
    *,
    only_failed: bool = False,
) -> dict[tuple[str, str], PartitionState]:
    """Return the state of every part of a source's partitions (or of one, or that failed), by (partition, part)."""
    wanted = [partitions.columns[name] for name in ("partition", "part", *_STATE)]
    columns = ", ".join(dialect.as_text(column, column.name) for column in wanted)
    condition = "" if partition is None else " AND partition = :partition"
    condition += " AND failed_at IS NOT NULL" if only_failed else ""
    rows = connection.execute(
        sa.text(f"SELECT {columns} FROM partitions WHERE source = :source{condition}"),
        {"source": source, "partition": partition},
    )
    return {(row[0], row[1]): _state(row[2:]) for row in rows}


def read_tokens(connection: sa.Connection, dialect: Dialect, source: str) -> dict[str, dict[str, str | None]]:
    """Return the tokens of every part of a source's partitions, by partition and part.

    A check reads no more of them than this: of twenty thousand partitions the rest takes a second to make.
    """
    columns = ", ".join(dialect.as_text(partitions.columns[name], name) for name in ("partition", "part", "token"))
    rows = connection.execute(sa.text(f"SELECT {columns} FROM partitions WHERE source = :source"), {"source": source})
    tokens: dict[str, dict[str, str | None]] = {}
    for partition, part, token in rows.fetchall():
        tokens.setdefault(partition, {})[part] = token
    return tokens


class PartitionRows:
    """Writes the rows of one partition's parts, within the transaction that changes its records."""

    def __init__(self, connection: sa.Connection, named: Mapping[str, str]) -> None:
        """Take `named`: the values of source, partition, run_id and at."""
        self._connection = connection
        self._named = named

    def advance(self) -> None:
        """Begin the next generation of the mirror; once in a transaction."""
        self._execute("UPDATE mirror_clock SET commits = commits + 1", {})

    def claim(self, part: str, state: PartitionState | None) -> bool:
        """Give the part the present generation if it is still as `state` saw it; return whether it was.

        A part that had no row may have got one meanwhile from a failure, which changes nothing else.
        """
        if state is None:
            self._ensure(part)
        expected = state.generation if state else 0
        changed = self._execute(
            "UPDATE partitions SET generation = (SELECT commits FROM mirror_clock)"
            f" {_THIS_PART} AND generation = :expected",
            {"part": part, "expected": expected},
        )
        return changed == 1

    def succeed(self, part: str, *, token: str | None, added: int, visible: bool, clear_failure: bool) -> None:
        """Store how the part stands after a commit; `added` is by how many its records have grown."""
        synced = ", synced_at = :at" if token is not None else ""
        cleared = ", failed_at = NULL, attempts = 0, error_group = NULL, error = NULL" if clear_failure else ""
        self._execute(
            "UPDATE partitions SET token = :token, visible = :visible, records = records + :added, run_id = :run_id"
            f"{synced}{cleared} {_THIS_PART}",
            {"part": part, "token": token, "visible": visible, "added": added},
        )
        if token not in (None, HIDDEN_TOKEN):
            self._execute(
                "INSERT INTO first_syncs (source, partition, part, at) VALUES (:source, :partition, :part, :at)"
                " ON CONFLICT (source, partition, part) DO NOTHING",
                {"part": part},
            )

    def fail(self, part: str, *, group: str, message: str) -> None:
        """Store that an attempt failed; what the mirror holds and its token stay as they are."""
        self._ensure(part)
        self._execute(
            "UPDATE partitions SET failed_at = :at, attempts = attempts + 1, error_group = :group, error = :message,"
            f" run_id = :run_id {_THIS_PART}",
            {"part": part, "group": group, "message": _storable(message)},
        )

    def forget(self) -> None:
        """Delete the rows of all parts."""
        self._execute("DELETE FROM partitions WHERE source = :source AND partition = :partition", {})

    def _ensure(self, part: str) -> None:
        self._execute(
            "INSERT INTO partitions (source, partition, part, generation, visible, records, attempts)"
            " VALUES (:source, :partition, :part, 0, true, 0, 0)"
            " ON CONFLICT (source, partition, part) DO NOTHING",
            {"part": part},
        )

    def _execute(self, statement: str, values: Mapping[str, Any]) -> int:
        return self._connection.execute(sa.text(statement), {**self._named, **values}).rowcount


def _storable(text: str) -> str:
    """Spell out what no database takes as text; a message may quote whatever the platform sent."""
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()


def _state(values: Sequence[Any]) -> PartitionState:
    state = dict(zip(_STATE, values, strict=True))
    return PartitionState(
        **{
            **state,
            "visible": bool(state["visible"]),
            "synced_at": state["synced_at"] and moment(state["synced_at"]),
            "failed_at": state["failed_at"] and moment(state["failed_at"]),
        }
    )
