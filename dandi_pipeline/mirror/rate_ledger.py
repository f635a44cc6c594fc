"""What every process may still ask of a platform, kept in the mirror's database and told by its clock.

A request is granted in a short transaction of its own on a connection of its own, never within a sync's: in PostgreSQL
it waits for nobody but others who ask under the same limit. In a SQLite file it waits for a commit under way.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import orjson
import sqlalchemy as sa

from dandi_pipeline.http.rate_limits import LONGEST_PAUSE, Claim, Grants, RateLimit, Requests, grant, standing_pause
from dandi_pipeline.mirror.database import Database
from dandi_pipeline.mirror.schema import insert, rate_budgets


@dataclass(frozen=True, slots=True)
class Usage:
    """What was sent under one limit: `calls` in the present month (UTC). `paused_until` is None if nothing waits."""

    calls: int
    paused_until: datetime | None


@dataclass(slots=True)
class _Entry:
    """A row of `rate_budgets`, with the calls of the present month."""

    requests: Requests
    paused_until: float | None
    calls: int


class MirrorLedger:
    """The ledger that everybody shares who uses one mirror. Connects when it is first asked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, limits: Sequence[RateLimit], count: int) -> Claim:
        """Grant up to `count` requests under all the limits; each must be settled or withdrawn.

        Raises `MirrorBusy`, `MirrorLost` or `DatabaseUnavailable` where the database fails.
        """
        with self._grants(limits) as (now, entries, kept):
            claim = grant(kept, now, count)
            for entry in entries:
                entry.calls += len(claim.instants)
        return claim

    def settle(self, limits: Sequence[RateLimit], granted: float, late: float) -> None:
        """Count a request as answered that was granted for `granted` and arrived up to `late` seconds after that."""
        with self._grants(limits) as (_, _, kept):
            for grants in kept:
                grants.settle(granted, late)

    def withdraw(self, limits: Sequence[RateLimit], granted: float) -> None:
        """Count a request no more that was granted for the instant `granted` and was never sent."""
        with self._grants(limits) as (_, entries, kept):
            for entry, grants in zip(entries, kept, strict=True):
                grants.withdraw(granted)
                entry.calls = max(0, entry.calls - 1)

    def pause(self, limit: RateLimit, seconds: float) -> None:
        """Grant nothing under the limit for `seconds` from now; a shorter pause never ends a longer one early."""
        with self._entries([limit.key]) as (connection, now, entries):
            entry = entries[limit.key]
            until = now + min(seconds, LONGEST_PAUSE)
            entry.paused_until = until if entry.paused_until is None else max(until, entry.paused_until)
            self._store(connection, limit.key, entry, now)

    def usage(self) -> dict[str, Usage]:
        """Return what was sent under each limit, by its key."""
        with self._database.reading() as connection:
            now = self._database.dialect.clock(connection)
            rows = connection.execute(sa.select(rate_budgets).order_by(rate_budgets.c.key)).all()
        return {row.key: _usage(_entry(row, now), now) for row in rows}

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    @contextmanager
    def _grants(self, limits: Sequence[RateLimit]) -> Iterator[tuple[float, Sequence[_Entry], Sequence[Grants]]]:
        """Hold what was granted under each limit for one transaction, at whose end it is stored."""
        with self._entries([limit.key for limit in limits]) as (connection, now, by_key):
            entries = [by_key[limit.key] for limit in limits]
            kept = [
                Grants(limit, entry.requests, entry.paused_until, now)
                for limit, entry in zip(limits, entries, strict=True)
            ]
            yield now, entries, kept
            for limit, entry, grants in zip(limits, entries, kept, strict=True):
                entry.requests = grants.requests
                self._store(connection, limit.key, entry, now)

    @contextmanager
    def _entries(self, keys: Sequence[str]) -> Iterator[tuple[sa.Connection, float, Mapping[str, _Entry]]]:
        """Hold the rows of all keys, made where they are missing, for one transaction; give the time as well."""
        with self._database.connection() as connection, self._database.beside(connection):
            rows = self._lock(connection, keys)
            if missing := set(keys) - {row.key for row in rows}:
                self._create(connection, missing)
                rows = self._lock(connection, keys)
            # Only now: whoever held the rows may have taken its time.
            now = self._database.dialect.clock(connection)
            yield connection, now, {row.key: _entry(row, now) for row in rows}

    def _lock(self, connection: sa.Connection, keys: Sequence[str]) -> Sequence[sa.Row[Any]]:
        """Return the rows of the keys, in one order for all, so that nobody waits for each other."""
        # SQLite locks no rows: there a transaction that may write is alone.
        statement = sa.select(rate_budgets).where(rate_budgets.c.key.in_(keys)).order_by(rate_budgets.c.key)
        return connection.execute(statement.with_for_update()).all()

    def _create(self, connection: sa.Connection, keys: set[str]) -> None:
        rows = [{"key": key, "granted": "{}", "month": "", "calls": 0} for key in sorted(keys)]
        connection.execute(insert(connection, rate_budgets).on_conflict_do_nothing(index_elements=["key"]), rows)

    def _store(self, connection: sa.Connection, key: str, entry: _Entry, now: float) -> None:
        connection.execute(
            sa.update(rate_budgets)
            .where(rate_budgets.c.key == key)
            .values(
                granted=orjson.dumps(entry.requests).decode(),
                paused_until=entry.paused_until,
                month=_month(now),
                calls=entry.calls,
            )
        )


def _entry(row: sa.Row[Any], now: float) -> _Entry:
    paused_until = standing_pause(row.paused_until, now)
    return _Entry(_requests(row.granted), paused_until, row.calls if row.month == _month(now) else 0)


def _requests(granted: str) -> Requests:
    """Return what a row holds, which may be a list, written before requests in flight were told apart."""
    held = orjson.loads(granted)
    return Requests(**held) if isinstance(held, dict) else Requests(held)


def _usage(entry: _Entry, now: float) -> Usage:
    until = entry.paused_until
    return Usage(entry.calls, _moment(until) if until is not None and until > now else None)


def _month(now: float) -> str:
    return _moment(now).strftime("%Y-%m")


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
