"""One random world: an archive, a mirror of it, and everything that can happen to both."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.http.client import Limits
from dandi_pipeline.platforms.dandi.plan import PAGE_SIZE, SHARES, ReadStrategy
from dandi_pipeline.sync.report import PartitionReport
from dandi_pipeline_tests.end_to_end.equality import Rows, differences, held_rows
from dandi_pipeline_tests.end_to_end.replay import all_changes, replay_problems
from dandi_pipeline_tests.end_to_end.sync_process import Errand, SyncProcess, archive_at, sync_once
from dandi_pipeline_tests.simulators.dandi import OWNER_TOKEN, SimulatedArchive, generated_world
from dandi_pipeline_tests.simulators.dandi.manifests import MODES
from dandi_pipeline_tests.soak.divergence import Divergence
from dandi_pipeline_tests.soak.ledger import Ledger
from dandi_pipeline_tests.soak.upstream import Upstream

HURRIED = Limits(attempts=2, read_timeout=0.15, total_timeout=0.3, first_backoff=0.001, longest_backoff=0.002)
"""For syncs that meet faults: they give up soon."""

PATIENT = Limits(attempts=4, first_backoff=0.01, longest_backoff=0.1)

FAULTS: Mapping[str, Mapping[str, Any]] = {
    "429": {"effect": "status", "status": 429},
    "429 for an hour": {"effect": "status", "status": 429, "retry_after": 3600},
    "429 until a date": {"effect": "status", "status": 429, "retry_after": 3600, "as_date": True},
    "500": {"effect": "status", "status": 500},
    "502": {"effect": "status", "status": 502},
    "503": {"effect": "status", "status": 503},
    "504": {"effect": "status", "status": 504},
    "401": {"effect": "status", "status": 401},
    "404": {"effect": "status", "status": 404},
    "reset": {"effect": "reset"},
    "slow first byte": {"effect": "slow_start", "seconds": 0.25},
    "slow body": {"effect": "slow_body", "seconds": 0.5},
    "cut body": {"effect": "cut_body", "at": 0.5},
    "cut gzip": {"effect": "cut_gzip", "at": 0.6},
    "html": {"effect": "html"},
    "missing field": {"effect": "without_field", "name": "modified"},
    "null field": {"effect": "with_value", "name": "created"},
    "text for a number": {"effect": "as_string", "name": "size"},
    "huge number": {"effect": "huge", "name": "asset_count"},
    "page repeated": {"effect": "page_repeated"},
    "page missing": {"effect": "page_skipped"},
    "wrong count": {"effect": "wrong_count"},
    "nothing listed": {"effect": "with_value", "name": "results", "value": []},
    "foreign next": {"effect": "foreign_next"},
}
"""Every kind of fault, as the simulated archive takes it."""

OF_PAGES = {"page repeated", "page missing", "wrong count", "nothing listed", "foreign next"}
"""Faults that only a page of a list can have."""

PAGED = ("dandisets", "versions", "assets_full", "assets_bare")
KINDS = ("dandisets", "dandiset", "versions", "version", "version_info", "assets_full", "assets_bare", "manifest")
PARTS = ("dandisets", "assets")


PLANS: Mapping[str, str] = {
    **{manner.value: f"{manner.value} (" for manner in ReadStrategy},
    "newest first, then what left searched for": " left",
    "newest first, then bare pages": ", then bare pages",
    "zarrs alone": " zarrs",
}
"""Ways of reading assets, by the words of a plan that tell of them."""

STEPS = 6


def random_history(seed: int, url: str, tally: Counter[str]) -> None:
    """Live through one world, as a source of its own in the mirror at `url`; raise `Divergence` where it breaks one."""
    with WorldRun(seed, url, tally) as world:
        for _ in range(world.chance.randint(2, STEPS)):
            world.step()
        world.finish()


class WorldRun:
    """A world made from a seed, synced into the mirror at `url` as a source of its own.

    `tally` counts what happened. Every method but `edit` ends with a check of all promises that hold at any time;
    `finish` checks those that hold once things are quiet.
    """

    def __init__(self, seed: int, url: str, tally: Counter[str], *, name: str = "") -> None:
        self.chance = random.Random(seed)
        self.tally = tally
        self._url = url
        self._source = name or f"world-{seed}"
        self._key = self.chance.choice([None, OWNER_TOKEN])
        self._published_assets = self.chance.random() < 0.4
        assets = self.chance.choice([4, 12, 60])  # of few, no bulk file is read, and nothing is read newest first
        self._page_size = self.chance.choice([PAGE_SIZE, 10])
        world = generated_world(dandisets=self.chance.randint(2, 4), assets=assets, large=self._large(), seed=seed)
        self._archive = SimulatedArchive(world, seed=seed)
        self._upstream = Upstream(world, self.chance)
        self._ledger = Ledger(world, published_assets=self._published_assets)
        self._mirror = open_mirror(url)
        self._sequence = 0
        self._rows = held_rows(url, self._source)

    def __enter__(self) -> "WorldRun":
        self._archive.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._archive.__exit__(*raised)
        self._mirror.close()

    def step(self) -> None:
        """Let something happen."""
        for _ in range(self.chance.randint(0, 4)):
            self.edit()
        steps = (self.sync, self.sync_some, self.sync_with_faults, self.sync_and_kill, self.sync_twice, self.lose_key)
        self.chance.choices(steps, weights=(4, 5, 5, 3, 3, 1))[0]()

    def edit(self) -> None:
        """Change something upstream, after some time or at once; now and then all bulk files fail in another way."""
        self._archive.world.clock.advance(self.chance.choice([0, 0, 90, 1_800]))
        if self.chance.random() < 0.1:
            self._archive.manifests.set_mode(self.chance.choice(MODES))
        self._edit(quick=False)

    def sync(self) -> None:
        """Run a plain sync, the archive being edited meanwhile or not."""
        with self._edits_meanwhile(self.chance.choice([0.0, 0.0, 0.1, 0.3])):
            self._run(self._errand())

    def sync_some(self) -> None:
        """Run a sync with any options."""
        with self._edits_meanwhile(self.chance.choice([0.0, 0.2])):
            self._run(self._errand(options=self._options()))

    def sync_with_faults(self) -> None:
        """Run a sync while one kind of fault strikes."""
        name = self.chance.choice([*FAULTS])
        for kind in self.chance.sample(PAGED if name in OF_PAGES else KINDS, 3):
            share = self.chance.choice([0.2, 0.5, 1.0])
            self._archive.faults.add(**FAULTS[name], kind=kind, probability=share)
        self._sync_once(self._errand(limits=HURRIED))
        self.tally["syncs"] += 1
        self.tally[f"fault: {name}"] += self._archive.faults.struck()
        self._archive.faults.clear()
        self._check()

    def sync_and_kill(self) -> None:
        """Start a sync in a process of its own and kill it: at a statement, or when it has sent some requests."""
        by_statement = self.chance.random() < 0.6
        errand = self._errand(
            options=self.chance.choice([{}, {}, {"full": True}]),
            die_after=self.chance.randint(1, 70) if by_statement else None,
        )
        process = SyncProcess(errand) if by_statement else self._killed_at_a_request(errand)
        self._count_kill(process)
        self._check()

    def sync_twice(self) -> None:
        """Run two syncs at once, in two threads or two processes."""
        first, second = self._errand(options=self._options()), self._errand(options=self._options())
        with self._edits_meanwhile(self.chance.choice([0.0, 0.0, 0.1])):
            if self.chance.random() < 0.5:
                with ThreadPoolExecutor(2) as threads:
                    endings = list(threads.map(self._sync_once, (first, second)))
            else:
                processes = [SyncProcess(first), SyncProcess(second)]
                endings = [process.wait().failures for process in processes]
        self.tally["concurrent pairs"] += 1
        self._require_torn_only([failure for failures in endings for failure in failures])
        self._check()

    def lose_key(self) -> None:
        """Sync once without the key."""
        self._run(self._errand(key=None))

    def finish(self) -> None:
        """Let things become quiet: one sync, and the mirror is equal; another, and nothing is asked nor written.

        What was changed in a way that no listing shows may differ until the draft moves, or a sweep has read it.
        """
        self._sync_quietly()
        silent = self._split_off_silent(self._differences())
        self.tally["differences allowed before the sweep"] += len(silent)
        if self.chance.random() < 0.5:
            self._upstream.settle()
            self._ledger.record()
            self._sync_quietly()
            self._split_off_silent(self._differences())
        if self._differences() or self.chance.random() < 0.5:
            for turn in self.chance.choice([(None,), range(SHARES)]):
                self._sync_quietly(full=True, round=turn)
                self.tally["sweeps"] += 1
        self._require(self._differences(), "a sweep did not converge")
        sequence = self._sequence
        self._archive.requests.reset()
        failures = self._sync_once(self._errand())
        self._check()
        asked = self._archive.requests.counts()["total"] - self._hidden()
        if failures or asked != 1 or self._sequence != sequence:
            raise Divergence(f"a sync of what is fresh asked {asked} times, wrote, or failed: {failures}")
        feed = all_changes(self._mirror, source=self._source)
        nothing: dict[str, Rows] = {table: {} for table in self._rows}
        self._require(replay_problems(nothing, feed, self._rows), "the feed does not replay")
        self.tally["histories"] += 1

    # How it is done

    def _sync_once(self, errand: Errand) -> list[str]:
        return sync_once(errand, take=self._count_plan)

    def _count_plan(self, report: PartitionReport) -> None:
        """Count how the assets were read; a reading may go over from one plan to another."""
        for plan, words in PLANS.items():
            self.tally[f"plan: {plan}"] += words in report.plan

    def _sync_quietly(self, **options: Any) -> None:
        self._require(self._sync_once(self._errand(options=options)), "the quiet sync failed")
        self.tally["syncs"] += 1
        self._check()

    def _split_off_silent(self, found: list[str]) -> list[str]:
        """Return the differences of dandisets that were changed silently; there may be no others."""
        silent = [line for line in found if any(f"('{key}'" in line for key in self._upstream.silent)]
        self._require([line for line in found if line not in silent], "the quiet sync did not converge")
        return silent

    def _large(self) -> int:
        return self.chance.choices([0, 1_020, 3_010], weights=[983, 15, 2])[0]

    def _errand(self, **details: Any) -> Errand:
        credential = {"key": details.pop("key", self._key), "limits": details.pop("limits", PATIENT)}
        opening = archive_at(
            self._archive.api_url,
            published_assets=self._published_assets,
            bucket_url=self._archive.bucket_url,
            page_size=self._page_size,
            **credential,
        )
        return Errand(opening, self._url, source=self._source, **details)

    def _options(self) -> dict[str, Any]:
        chance = self.chance
        options: dict[str, Any] = {}
        if chance.random() < 0.4:
            keys = sorted(self._archive.world.dandisets)
            options |= {"partitions": tuple(chance.sample(keys, min(2, len(keys)))), "ignore_unknown": True}
        if chance.random() < 0.3:
            options |= {"full": True, "round": chance.choice([None, chance.randint(0, 9)])}
        if chance.random() < 0.2:
            options["max_records"] = chance.randint(1, 4)
        if chance.random() < 0.3:
            options["parts"] = (chance.choice(PARTS),)
        return options

    def _run(self, errand: Errand) -> None:
        self._require_torn_only(self._sync_once(errand))
        self.tally["syncs"] += 1
        self._check()

    def _require_torn_only(self, failures: list[str]) -> None:
        """Without faults nothing may fail but readings that were torn by edits, three times in a row."""
        failures = [failure for failure in failures if not failure.startswith(("TornRead", "ResourceMissing"))]
        self._require(failures, "a sync failed without a fault")

    @contextmanager
    def _edits_meanwhile(self, share: float) -> Iterator[None]:
        """Let something happen upstream before this share of the answers."""
        chance = random.Random(self.chance.random())

        def edit(kind: str, params: Mapping[str, str]) -> None:
            with self._archive.world.lock:
                if chance.random() < share:
                    self._edit(quick=True)

        self._archive.before_response = edit if share else None
        try:
            yield
        finally:
            self._archive.before_response = None

    def _edit(self, *, quick: bool) -> None:
        if name := self._upstream.happen(quick=quick):
            self._ledger.record()
            self.tally["upstream edits"] += 1
            self.tally[f"edit: {name}"] += 1

    def _killed_at_a_request(self, errand: Errand) -> SyncProcess:
        left = [self.chance.randint(1, 15)]
        started: list[SyncProcess] = []

        def kill(kind: str, params: Mapping[str, str]) -> None:
            with self._archive.world.lock:
                left[0] -= 1
                if not left[0] and started:
                    started[0].kill()

        self._archive.before_response = kill
        started.append(SyncProcess(errand))
        return started[0]

    def _count_kill(self, process: SyncProcess) -> None:
        ending = process.wait()
        self._archive.before_response = None
        self.tally["kills"] += ending.killed
        self._require_torn_only(ending.failures)

    def _check(self) -> None:
        """Check what holds at any time: every part is one true state, and the feed leads from check to check."""
        rows = held_rows(self._url, self._source)
        states = self._mirror.states(self._source)
        tokens = {key: state.token for key, state in states.items()}
        self._require(
            self._ledger.problems(rows, tokens, behind=self._upstream.until_sweep), "what is stored never was so"
        )
        changes = all_changes(self._mirror, source=self._source, after=self._sequence)
        self._require(replay_problems(self._rows, changes, rows), "the feed does not lead here")
        self._rows, self._sequence = rows, changes[-1].sequence if changes else self._sequence

    def _differences(self) -> list[str]:
        world = self._archive.world
        visible = world.snapshot(self._key, published_assets=self._published_assets)
        hidden = [identifier for identifier in world.dandisets if identifier not in visible]
        found = differences(self._url, visible, source=self._source, published_assets=self._published_assets)
        return [line for line in found if not any(f"('{key}'" in line for key in hidden)]

    def _hidden(self) -> int:
        """Return how many hidden dandisets the mirror asks about each time, since no list shows when they go."""
        states = self._mirror.states(self._source)
        return len({partition for (partition, _), state in states.items() if state.token == "hidden"})

    def _require(self, problems: list[str], what: str) -> None:
        if problems:
            raise Divergence(f"{self._source}: {what}: {'; '.join(problems[:5])}")
