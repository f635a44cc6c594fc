"""One simulated Airtable account and one mirror of it, synced by the real engine over the real socket."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from threading import Lock
from typing import Any

import sqlalchemy as sa

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.http import HttpClient, Limits, LocalBudgets, RateLimit
from dandi_pipeline.platforms.airtable.api import AirtableApi, refusals
from dandi_pipeline.platforms.airtable.platform import LOCK_OUT, AirtablePlatform, Base
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.report import PartitionReport
from dandi_pipeline_tests.end_to_end.equality import plain_engine
from dandi_pipeline_tests.platforms.airtable.equality import Difference, differences
from dandi_pipeline_tests.simulators.airtable import SimulatedAirtable, World, generated_world
from dandi_pipeline_tests.simulators.airtable.instants import Clock

ALIAS = "lab"

NOON = datetime.fromisoformat("2026-11-22T12:34:56+00:00")
"""When tests begin, long after the last record of a generated account was made."""


def small_world(*, seed: int = 0, tables: int = 2, records: int = 12) -> World:
    """Return a generated account whose clock is held, a month after its records were made."""
    clock = Clock(NOON - timedelta(days=35))
    clock.hold()
    world = generated_world(tables=tables, records=records, seed=seed, clock=clock)
    clock.set(NOON)
    return world


class Rig:
    """A mirror of a simulated account; whoever waits lets the account's clock advance instead."""

    def __init__(
        self,
        url: str,
        airtable: SimulatedAirtable,
        *,
        page_size: int = 100,
        overlap: timedelta = timedelta(minutes=10),
        tables: Mapping[str, Sequence[str]] | None = None,
        metered: bool = False,
    ) -> None:
        self.url = url
        self.airtable = airtable
        self.world = airtable.world
        self.page_size = page_size
        self.overlap = overlap
        self.tables = tables or {}
        self.bases = list(self.world.bases)
        self.metered = metered
        self._sleeping = Lock()
        self._budgets = LocalBudgets(sleep=self._sleep, clock=self._time)

    def open_platform(self) -> AirtablePlatform:
        """Return the account's bases as a source would open them, but for the clock."""
        return AirtablePlatform([self._base(base_id) for base_id in self.bases], overlap=self.overlap)

    def opening(self) -> Callable[[], AirtablePlatform]:
        """Return how to open the account in another process, where waiting takes its time."""
        return partial(
            account_at,
            self.airtable.api_url,
            self.airtable.token,
            {base_id: self.tables.get(base_id) for base_id in self.bases},
            page_size=self.page_size,
            overlap=self.overlap,
        )

    def sync(self, **options: Any) -> Mapping[str, PartitionReport]:
        """Run one sync to its end; return the tables' reports by key."""
        with closing(self.open_platform()) as platform, open_mirror(self.url) as mirror:
            sync = Sync(ALIAS, platform, mirror, SyncOptions(**options))
            return {report.partition: report for report in sync.run(sync.plan(), "run")}

    def sweep(self) -> Mapping[str, PartitionReport]:
        """Compare everything, deletions however many included."""
        return self.sync(full=True, allow_mass_deletion=True)

    def preview(self, **options: Any) -> Mapping[str, PartitionReport]:
        """Return what a sync would do, table by table."""
        with closing(self.open_platform()) as platform, open_mirror(self.url) as mirror:
            sync = Sync(ALIAS, platform, mirror, SyncOptions(**options))
            return {report.partition: report for report in sync.preview(sync.plan())}

    def stale(self) -> tuple[str, ...]:
        """Return the tables that a sync would work on."""
        with closing(self.open_platform()) as platform, open_mirror(self.url) as mirror:
            return Sync(ALIAS, platform, mirror, SyncOptions()).plan().keys

    def differences(self) -> list[Difference]:
        """Return what is not as a perfect mirror of the visible bases would have it."""
        return differences(self.url, ALIAS, self.world.snapshot(self.airtable.token))

    def select(self, statement: str, **named: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query, as a user of the mirror would see them."""
        with plain_engine(self.url).connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(statement), named)]

    def requests(self) -> int:
        """Return how many requests the account has got since this was last asked."""
        total = int(self.airtable.requests.counts()["total"])
        self.airtable.requests.reset()
        return total

    def key(self, name: str) -> str:
        """Return the key of the first table of a name."""
        return next(
            f"{base.id}/{table.id}" for base in self.world.bases.values() for table in base.tables.values()
            if table.name == name
        )  # fmt: skip

    def table(self, name: str) -> str:
        """Return the id of the first table of a name."""
        return self.key(name).partition("/")[2]

    def records(self, name: str) -> list[str]:
        """Return the ids of a table's records."""
        return list(self.world.table(self.table(name)).records)

    def _sleep(self, seconds: float) -> None:
        """Advance the clock, one thread at a time: two at once could set it back."""
        with self._sleeping:
            self.world.clock.advance(seconds)

    def _time(self) -> float:
        return self.world.clock.now().timestamp()

    def _base(self, base_id: str) -> Base:
        limits = [RateLimit(base_id, 5, 1, burst=5), RateLimit("user", 50, 1, burst=50)] if self.metered else []
        client = client_at(
            self.airtable.api_url,
            self.airtable.token,
            # Others' waiting advances the clock as well: no body may seem to take long, no granted request come late.
            limits=Limits(
                max_concurrent=1 if self.metered else 5, throttle_pause=LOCK_OUT, total_timeout=1e9, read_timeout=5
            ),
            budget=self._budgets.budget(*limits),
            sleep=self._sleep,
            clock=self._time,
        )
        return Base(AirtableApi(client, base_id, page_size=self.page_size), self.tables.get(base_id))


def account_at(
    api_url: str, token: str, bases: Mapping[str, Sequence[str] | None], *, page_size: int, overlap: timedelta
) -> AirtablePlatform:
    """Open bases with the tables that are named of each (None: with all)."""
    return AirtablePlatform(
        [
            Base(AirtableApi(client_at(api_url, token), base_id, page_size=page_size), tables)
            for base_id, tables in bases.items()
        ],
        overlap=overlap,
    )


def client_at(api_url: str, token: str, **details: Any) -> HttpClient:
    """Return a client of the account, with any details of its own."""
    refusal = refusals("AIRTABLE_TOKEN", has_token=True)
    return HttpClient(api_url, user_agent="tests", authorization=f"Bearer {token}", refusal=refusal, **details)
