"""Random histories of a workspace, told by a seed, with syncs in between that must keep up with them."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from dandi_pipeline.sync.report import PartitionReport
from dandi_pipeline_tests.end_to_end.sync_process import Errand, SyncProcess
from dandi_pipeline_tests.platforms.notion.rig import Difference, Rig
from dandi_pipeline_tests.simulators.clock import Clock
from dandi_pipeline_tests.simulators.notion import (
    UNLIMITED,
    Behaviour,
    Refused,
    SimulatedNotion,
    World,
    generated_world,
)
from dandi_pipeline_tests.soak.divergence import Divergence

STARTED = datetime(2026, 11, 20, 10, 14, 40, tzinfo=timezone.utc)

SYNCS = 4
"""Rounds of edits and an incremental sync that one history has; a sweep ends it."""

_PASSING: Mapping[str, Mapping[str, Any]] = {
    "429": {"effect": "status", "status": 429, "retry_after": 0},
    "500": {"effect": "status", "status": 500},
    "502": {"effect": "status", "status": 502},
    "503": {"effect": "status", "status": 503},
    "504": {"effect": "status", "status": 504},
    "529": {"effect": "status", "status": 529, "retry_after": 0},
    "reset": {"effect": "reset"},
    "cut body": {"effect": "cut_body"},
    "html": {"effect": "html"},
}
"""Faults that the next attempts get over."""


def random_history(seed: int, url: str, tally: Counter[str]) -> None:
    """Live through one history with an empty mirror at `url`, counting what happens; raise `Divergence`.

    After each sync that was left in peace, what differs is only what moves no time; after a sweep nothing does.
    """
    chance = random.Random(seed)
    world = generated_world(sources=chance.randint(1, 4), pages=chance.randint(0, 12), seed=seed, clock=Clock(STARTED))
    behaviour = Behaviour(
        cursors=chance.choice(["snapshot", "live"]),
        row_cap=chance.choice([15, 40, 10_000]),
        short_pages=chance.choice([0, 0, 0.4]),
        says_complete=chance.random() < 0.3,
        slow_above=chance.choice([None, None, 12]),
    )
    with SimulatedNotion(world, limits=UNLIMITED, behaviour=behaviour, seed=seed) as notion:
        rig = Rig(notion, url, page_size=chance.choice([3, 7, 100]))
        History(chance, rig, tally).live()
    tally["histories"] += 1


@dataclass
class History:
    """One history under way, of which `tally` counts what happens.

    `reappeared` holds the pages that came back since the last sweep, which moves no time; `trashed` the data sources
    that were in the trash since then, of which no page is read."""

    chance: random.Random
    rig: Rig
    tally: Counter[str]

    def __post_init__(self) -> None:
        self.world: World = self.rig.world
        self.log: list[str] = []
        self.reappeared: set[str] = set()
        self.trashed: set[str] = set()

    def live(self) -> None:
        """Sync, edit, sync …, sweep; then let everything settle."""
        self._sync()
        for _ in range(SYNCS):
            self._edit_some()
            if self.chance.random() < 0.3:
                with self._disturbed():
                    self.rig.sync()
                self._note("syncs", "a disturbed sync")
            if self.chance.random() < 0.3:
                self._sync_and_kill()
            self._sync()
            self._require_excused(self.rig.differences())
            if self.chance.random() < 0.25:
                self._sweep()
        self._sweep()
        # After the last edit: a sweep may be disturbed by one that puts a data source into the trash.
        for source in self.world.data_sources:
            self.world.restore_data_source(source)
        self._require_success(self.rig.sweep())
        self._require(self.rig.differences())
        self.rig.settle()
        self._require(self.rig.differences())

    def _sync(self) -> None:
        """Sync, with faults that pass."""
        if self.chance.random() < 0.3:
            name = self.chance.choice(tuple(_PASSING))
            self.rig.notion.faults.add(**_PASSING[name], times=2)
            self._require_success(self.rig.sync())
            self.tally[f"fault: {name}"] += self.rig.notion.faults.struck()
            self.rig.notion.faults.clear()
        else:
            self._require_success(self.rig.sync())
        self._note("syncs", "sync")

    def _require_success(self, reports: Mapping[str, PartitionReport]) -> None:
        """Let nothing fail that was left in peace, or disturbed by what passes."""
        if failed := [f"{key}: {report.error}" for key, report in reports.items() if report.error]:
            raise Divergence(f"after {', '.join(self.log)}: {failed}")

    def _sync_and_kill(self) -> None:
        """Start a sync in a process of its own, which is killed at some statement if it gets that far."""
        errand = Errand(self.rig.opening(), self.rig.url, source="notion", die_after=self.chance.randint(1, 60))
        ending = SyncProcess(errand).wait()
        self.tally["kills"] += ending.killed
        self._note("syncs", f"a sync killed after {errand.die_after} statements" if ending.killed else "sync")

    def _sweep(self) -> None:
        if self.chance.random() < 0.3:
            with self._disturbed():
                self.rig.sweep()
            self._note("sweeps", "a disturbed sweep")
        self._require_success(self.rig.sweep())
        self.reappeared.clear()
        self.trashed = {source.id for source in self.world.data_sources.values() if source.in_trash}
        self._note("sweeps", "sweep")

    @contextmanager
    def _disturbed(self) -> Iterator[None]:
        """Let people go on editing, and cursors expire, between the requests."""

        def disturb(kind: str, params: Mapping[str, str]) -> None:
            if self.chance.random() < 0.25:
                self._edit()
            if self.chance.random() < 0.02:
                self.rig.notion.expire_cursors()

        self.rig.notion.before_response = disturb
        yield
        self.rig.notion.before_response = None

    def _require_excused(self, differences: list[Difference]) -> None:
        """Let differ what moves no time, until the next sweep."""
        excuses = {each: self._excuse(each) for each in differences}
        for excuse in filter(None, excuses.values()):
            self.tally["differences allowed before the sweep"] += 1
            self.tally[f"allowed: {excuse}"] += 1
        self._require([each for each, excuse in excuses.items() if not excuse])

    def _excuse(self, difference: Difference) -> str:
        if difference.page in self.reappeared:
            return "a page that came back"
        if difference.partition in self.trashed and difference.what in ("missing", "differs", "left behind"):
            return "a data source in the trash"
        return difference.untimed

    def _require(self, differences: list[Difference]) -> None:
        if differences:
            raise Divergence(f"after {', '.join(self.log)}: {differences}")

    def _note(self, counted: str, said: str) -> None:
        self.tally[counted] += 1
        self.log.append(said)

    # What people do

    def _edit_some(self) -> None:
        for _ in range(self.chance.randint(1, 8)):
            self._edit()

    def _edit(self) -> None:
        """Do one thing, and let up to some minutes pass."""
        operation = self.chance.choices(list(_OPERATIONS), weights=list(_OPERATIONS.values()))[0]
        with self.world.lock:
            try:
                operation(self)
            except (Refused, IndexError):
                return  # not possible in this world as it is now
            self.world.clock.advance(self.chance.choice([0, 0.4, 5, 40, 70, 400]))
        name = operation.__name__.strip("_")
        self.tally[f"edit: {name.replace('_', ' ')}"] += 1
        self._note("upstream edits", name)

    def _source(self) -> str:
        return self.chance.choice(sorted(self.world.data_sources))

    def _page(self, source: str, *, gone: bool = False) -> str:
        pages = [self.world.pages[page] for page in self.world.data_sources[source].page_ids]
        hidden = self.world.connections[self.rig.notion.token].hidden
        chosen = [page.id for page in pages if (page.in_trash or page.is_archived or page.id in hidden) == gone]
        return self.chance.choice(sorted(chosen))

    def _add_page(self) -> None:
        for _ in range(self.chance.choice([1, 1, 5])):
            self.world.add_page(self._source(), {"Name": f"page {self.chance.randint(0, 99)}"})

    def _edit_page(self) -> None:
        source = self._source()
        self.world.edit_page(self._page(source), {"Name": f"edited {self.chance.randint(0, 99)}"})

    def _edit_value(self) -> None:
        source = self._source()
        numbers = [prop.name for prop in self.world.data_sources[source].properties.values() if prop.type == "number"]
        self.world.edit_page(self._page(source), {self.chance.choice(numbers): self.chance.randint(0, 9)})

    def _relate(self) -> None:
        source = self._source()
        properties = self.world.data_sources[source].properties.values()
        relation = self.chance.choice([prop for prop in properties if prop.type == "relation"])
        related = [self._page(relation.config["data_source_id"]) for _ in range(self.chance.choice([1, 3, 40]))]
        self.world.edit_page(self._page(source), {relation.name: sorted(set(related))})

    def _trash(self) -> None:
        self.world.trash_page(self._page(self._source()))

    def _archive(self) -> None:
        self.world.archive_page(self._page(self._source()))

    def _delete(self) -> None:
        self.world.delete_page(self._page(self._source()))

    def _unshare(self) -> None:
        self.world.unshare(self._page(self._source()))

    def _bring_back(self) -> None:
        page = self._page(self._source(), gone=True)
        self.world.restore_page(page)
        self.world.unarchive_page(page)
        self.world.share(page)
        self.reappeared.add(page)

    def _rename_property(self) -> None:
        source = self._source()
        prop = self.chance.choice(list(self.world.data_sources[source].properties.values()))
        self.world.rename_property(source, prop.name, f"{prop.name[:20]} {self.chance.randint(0, 99)}")

    def _add_property(self) -> None:
        self.world.add_property(self._source(), f"extra {self.chance.randint(0, 9)}", "number")

    def _retype_property(self) -> None:
        source = self._source()
        self.world.retype_property(source, self._extra(source), self.chance.choice(["rich_text", "number", "url"]))

    def _remove_property(self) -> None:
        source = self._source()
        self.world.remove_property(source, self._extra(source))

    def _extra(self, source: str) -> str:
        properties = self.world.data_sources[source].properties.values()
        return self.chance.choice([prop.name for prop in properties if prop.name.startswith("extra")])

    def _rename_source(self) -> None:
        self.world.rename_data_source(self._source(), f"Source {self.chance.randint(0, 9)}")

    def _add_source(self) -> None:
        self.world.add_data_source(f"New {self.chance.randint(0, 9)}", properties={"extra": "number"})

    def _mention(self) -> None:
        """Mention a page, of this data source or another one, in a page's title."""
        mentioned = self.chance.choice(sorted([self.world.home.id, self._page(self._source())]))
        self.world.edit_page(self._page(self._source()), {"Name": ["See ", {"page": mentioned}]})

    def _rename_mentioned(self) -> None:
        self.world.edit_page(self.world.home.id, {"title": f"Home {self.chance.randint(0, 99)}"})

    def _trash_source(self) -> None:
        self.trashed.add(self.world.trash_data_source(self._source()).id)

    def _restore_source(self) -> None:
        trashed = sorted(source.id for source in self.world.data_sources.values() if source.in_trash)
        self.world.restore_data_source(self.chance.choice(trashed))

    def _let_time_pass(self) -> None:
        self.world.clock.advance(timedelta(hours=1).total_seconds())


_OPERATIONS: Mapping[Callable[[History], None], int] = {
    History._add_page: 6,
    History._edit_page: 8,
    History._edit_value: 6,
    History._relate: 4,
    History._trash: 4,
    History._archive: 2,
    History._delete: 2,
    History._unshare: 2,
    History._bring_back: 4,
    History._rename_property: 1,
    History._add_property: 1,
    History._retype_property: 1,
    History._remove_property: 1,
    History._rename_source: 1,
    History._add_source: 1,
    History._mention: 2,
    History._rename_mentioned: 2,
    History._trash_source: 1,
    History._restore_source: 2,
    History._let_time_pass: 2,
}
"""What happens, and how often."""
