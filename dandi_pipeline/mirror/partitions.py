"""What the mirror remembers of each partition's parts: the state token, when it was synced, how it failed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa

from dandi_pipeline.instants import moment_of, spelled
from dandi_pipeline.mirror.schema import first_syncs, insert, mirror_clock, partitions
from dandi_pipeline.text import storable

HIDDEN_TOKEN = "hidden"  # noqa: S105 - a state token, not a secret
"""The token of a part that exists but that the platform does not show us."""


@dataclass(frozen=True, slots=True)
class PartitionState:
    """How one part of a partition stands in the mirror.

    `token` None: stale, or never read completely. `generation` is the number of the commit that last changed the
    part, 0 if none has: it only grows, and no two contents share one. `records` counts the rows. `synced_at` is the
    last commit under a token. `attempts` counts the failures since the last success. `changing_since` is the first
    commit, since the last under a token, of rows that changed while they were read.
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
    changing_since: datetime | None = None


_STATE = tuple(field.name for field in fields(PartitionState))


def now() -> str:
    """Return the present as records spell instants. For people to read: nothing is ever compared with it."""
    return spelled(datetime.now(timezone.utc))


def read_states(
    connection: sa.Connection, source: str, partition: str | None = None, *, only_failed: bool = False
) -> dict[tuple[str, str], PartitionState]:
    """Return the state of every part of a source's partitions (or of one, or that failed), by (partition, part)."""
    wanted = [partitions.c[name] for name in ("partition", "part", *_STATE)]
    statement = sa.select(*wanted).where(partitions.c.source == source)
    if partition is not None:
        statement = statement.where(partitions.c.partition == partition)
    if only_failed:
        statement = statement.where(partitions.c.failed_at.is_not(None))
    return {(row[0], row[1]): _state(row[2:]) for row in connection.execute(statement)}


@dataclass(frozen=True, slots=True)
class Held:
    """How many partitions of a source the mirror knows, and how many records it holds of them."""

    partitions: int
    records: int


def read_held(connection: sa.Connection) -> dict[str, Held]:
    """Return what is held of each source, by its alias."""
    rows = connection.execute(
        sa.text(
            "SELECT source, count(DISTINCT partition), sum(records) FROM partitions GROUP BY source ORDER BY source"
        )
    )
    return {source: Held(int(partitions), int(records)) for source, partitions, records in rows}


def read_tokens(connection: sa.Connection, source: str) -> dict[str, dict[str, str | None]]:
    """Return the token of each part that is held, by partition and part; a partition of which nothing is, has none.

    A check reads no more than this: of twenty thousand partitions the rest takes a second to make.
    """
    columns = partitions.c
    wanted = sa.select(columns.partition, columns.part, columns.token, columns.generation)
    tokens: dict[str, dict[str, str | None]] = {}
    for partition, part, token, generation in connection.execute(wanted.where(columns.source == source)):
        of_partition = tokens.setdefault(partition, {})
        if generation:
            of_partition[part] = token
    return tokens


class PartitionRows:
    """Writes the rows of one partition's parts, within the transaction that changes its records."""

    def __init__(self, connection: sa.Connection, named: Mapping[str, str]) -> None:
        """Take `named`: the values of source, partition, run_id and at."""
        self._connection = connection
        self._named = named
        self._here = (partitions.c.source == named["source"], partitions.c.partition == named["partition"])

    def advance(self) -> None:
        """Begin the next generation of the mirror; once in a transaction."""
        self._connection.execute(sa.update(mirror_clock).values(commits=mirror_clock.c.commits + 1))

    def claim(self, part: str, state: PartitionState | None) -> bool:
        """Give the part the present generation if it is still as `state` saw it; return whether it was.

        A part that had no row may have got one meanwhile from a failure, which changes nothing else.
        """
        if state is None:
            self._ensure(part)
        present = sa.select(mirror_clock.c.commits).scalar_subquery()
        expected = partitions.c.generation == (state.generation if state else 0)
        return self._update(part, expected, generation=present) == 1

    def succeed(
        self, part: str, *, token: str | None, added: int, visible: bool, clear_failure: bool, changing: bool = False
    ) -> None:
        """Store how the part stands after a commit; `added` is by how many its records have grown.

        `changing` says that it has no token because it changed while it was read.
        """
        values: dict[str, Any] = {"token": token, "visible": visible, "records": partitions.c.records + added}
        if token is not None:
            values |= {"synced_at": self._named["at"], "changing_since": None}
        elif changing:
            values["changing_since"] = sa.func.coalesce(partitions.c.changing_since, self._named["at"])
        if clear_failure:
            values |= {"failed_at": None, "attempts": 0, "error_group": None, "error": None}
        self._update(part, run_id=self._named["run_id"], **values)
        if token not in (None, HIDDEN_TOKEN):
            self._insert_missing(first_syncs, part, at=self._named["at"])

    def fail(self, part: str, *, group: str, message: str) -> None:
        """Store that an attempt failed; what the mirror holds and its token stay as they are."""
        self._ensure(part)
        self._update(
            part,
            failed_at=self._named["at"],
            attempts=partitions.c.attempts + 1,
            error_group=group,
            error=storable(message),
            run_id=self._named["run_id"],
        )

    def forget(self) -> None:
        """Delete the rows of all parts."""
        self._connection.execute(sa.delete(partitions).where(*self._here))

    def _update(self, part: str, *conditions: sa.ColumnElement[bool], **values: Any) -> int:
        here = (*self._here, partitions.c.part == part, *conditions)
        return self._connection.execute(sa.update(partitions).where(*here).values(**values)).rowcount

    def _ensure(self, part: str) -> None:
        self._insert_missing(partitions, part, generation=0, visible=True, records=0, attempts=0)

    def _insert_missing(self, table: sa.Table, part: str, **values: Any) -> None:
        key = {"source": self._named["source"], "partition": self._named["partition"], "part": part}
        statement = insert(self._connection, table).values(**key, **values)
        self._connection.execute(statement.on_conflict_do_nothing(index_elements=list(key)))


def _state(values: Sequence[Any]) -> PartitionState:
    state = dict(zip(_STATE, values, strict=True))
    return PartitionState(
        **{
            **state,
            "visible": bool(state["visible"]),
            "synced_at": state["synced_at"] and moment_of(state["synced_at"]),
            "failed_at": state["failed_at"] and moment_of(state["failed_at"]),
            "changing_since": state["changing_since"] and moment_of(state["changing_since"]),
        }
    )
