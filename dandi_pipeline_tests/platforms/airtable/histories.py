"""Random histories of an account and its mirror, the same for the same seed."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from dandi_pipeline.errors import PipelineError
from dandi_pipeline_tests.end_to_end.sync_process import Errand, SyncProcess
from dandi_pipeline_tests.platforms.airtable.equality import Difference
from dandi_pipeline_tests.platforms.airtable.rig import ALIAS, Rig, small_world
from dandi_pipeline_tests.simulators.airtable import UNLIMITED, SimulatedAirtable
from dandi_pipeline_tests.simulators.airtable.cells import modified
from dandi_pipeline_tests.simulators.airtable.field_types import COMPUTED_TYPES
from dandi_pipeline_tests.simulators.airtable.model import Field, Table
from dandi_pipeline_tests.soak.divergence import Divergence

STEPS = 30
PAUSES = (0.2, 0.9, 5.0, 70.0, 595.0, 3_000.0, 40_000.0, 700_000.0, 2_500_000.0)
"""Seconds between two steps, up to a month."""

FAULTS: Mapping[str, Mapping[str, Any]] = {
    "429": {"effect": "status", "status": 429},
    "500": {"effect": "status", "status": 500},
    "502": {"effect": "status", "status": 502},
    "503": {"effect": "status", "status": 503},
    "expired list": {
        "effect": "status",
        "status": 422,
        "type": "LIST_RECORDS_ITERATOR_NOT_AVAILABLE",
        "kind": "records",
    },
    "refused formula": {
        "effect": "status",
        "status": 422,
        "type": "INVALID_FILTER_BY_FORMULA",
        "kind": "records",
        "times": 1,
    },
    "missing field": {"effect": "without_field", "name": "records", "kind": "records", "times": 1},
    "reset": {"effect": "reset"},
    "cut body": {"effect": "cut_body", "at": 0.5},
    "html": {"effect": "html"},
}


def random_history(seed: int, url: str, tally: Counter[str], *, steps: int = STEPS) -> None:
    """Play one history on a fresh database, counting what happens; raise `Divergence` where the mirror is wrong.

    After every sync that went through, only what Airtable lets no query see may differ, and nothing of a record
    that was made or edited since a sync was last tried. After a sweep nothing may.
    """
    chance = random.Random(seed)
    world = small_world(seed=seed, tables=chance.choice([1, 2, 4]), records=chance.randint(1, 6))
    world.set_blank_when_never_edited(chance.random() < 0.5)
    with SimulatedAirtable(world, limits=UNLIMITED, seed=seed) as airtable:
        rig = Rig(url, airtable, page_size=chance.choice([2, 3, 5, 100]))
        History(rig, chance, tally).play(steps)
    tally["histories"] += 1


class History:
    """One history, step by step."""

    def __init__(self, rig: Rig, chance: random.Random, tally: Counter[str]) -> None:
        self._rig = rig
        self._tally = tally
        self._world = rig.world
        self._chance = chance
        self._tried: datetime | None = None
        self._names = 0
        self._retyped: Counter[str] = Counter()

    def play(self, steps: int) -> None:
        """Take steps, syncs among them, then let things come to rest and sweep."""
        for _ in range(steps):
            self._take(_STEPS)
            if self._chance.random() < 0.4:
                self._world.clock.advance(self._chance.choice(PAUSES))
        self._rig.airtable.faults.clear()
        self._rig.airtable.before_response = None
        for base in self._rig.bases:
            self._world.grant_base(base)
        self._require(self.sync(), "the last sync failed though nothing was in its way")
        self._require(self.sweep(), "the last sweep failed though nothing was in its way")
        self._require(not self._rig.stale(), "what was swept is stale")

    def _take(self, steps: Mapping[Callable[["History"], object], float]) -> None:
        step = self._chance.choices(tuple(steps), tuple(steps.values()))[0]
        step(self)
        if step not in _SYNCS:
            self._tally["upstream edits"] += 1
            self._tally[f"edit: {step.__name__.replace('_', ' ')}"] += 1

    # Steps of the mirror

    def sync(self) -> bool:
        """Sync, see that only what nobody could see is missing, and return whether the sync went through."""
        before = self._tried
        if not self._succeeds():
            return False
        for difference in self._rig.differences():
            excuse = self._excuse(difference, before)
            self._require(bool(excuse), str(difference))
            self._tally["differences allowed before the sweep"] += 1
            self._tally[f"allowed: {excuse}"] += 1
        return True

    def sweep(self) -> bool:
        """Sweep, see that nothing is missing, and return whether the sweep went through."""
        if not self._succeeds(full=True):
            return False
        for difference in self._rig.differences():
            raise Divergence(f"after a sweep: {difference}")
        self._retyped.clear()
        return True

    def sync_while_it_changes(self) -> None:
        """Sync while records are edited between any two requests; nothing can be said of the mirror until later."""

        def change(kind: str, query: Mapping[str, str]) -> None:
            if kind == "records" and self._chance.random() < 0.5:
                self._take(_QUICK)

        self._rig.airtable.before_response = change
        self._succeeds(full=self._chance.random() < 0.3)
        self._rig.airtable.before_response = None

    def sync_in_trouble(self) -> None:
        """Sync while something is wrong; nothing can be said of the mirror until later."""
        name = self._chance.choice(tuple(FAULTS))
        self._rig.airtable.faults.add(**FAULTS[name], probability=0.3)
        self._succeeds(full=self._chance.random() < 0.3)
        self._tally[f"fault: {name}"] += self._rig.airtable.faults.struck()
        self._rig.airtable.faults.clear()

    def sync_and_kill(self) -> None:
        """Start a sync in a process of its own, which is killed at some statement if it gets that far."""
        options = {"allow_mass_deletion": True, "full": self._chance.random() < 0.3}
        died_after = self._chance.randint(1, 60)
        errand = Errand(self._rig.opening(), self._rig.url, source=ALIAS, options=options, die_after=died_after)
        ending = SyncProcess(errand).wait()
        self._tally["syncs"] += 1
        self._tally["kills"] += ending.killed
        self._tried = self._world.clock.now()

    def _succeeds(self, **options: Any) -> bool:
        """Sync; return whether that went through, and count it if so, or as one that failed."""
        kind = "sweeps" if options.get("full") else "syncs"
        try:
            reports = self._rig.sync(allow_mass_deletion=True, **options)
        except PipelineError:
            self._tally[f"{kind} that failed"] += 1
            return False
        finally:
            self._tried = self._world.clock.now()
        failed = any(report.error for report in reports.values())
        self._tally[f"{kind} that failed" if failed else kind] += 1
        return not failed

    def _excuse(self, difference: Difference, before: datetime | None) -> str:
        """Return why a difference may be there until the next sweep, "" if it may not.

        Retyping empties cells without a new time on their records, and only the schema tells of it: of a field that
        was retyped to and fro not even that.
        """
        if self._table(difference.table).misfilters:
            return "the table's filter does not work"
        if self._retyped[difference.field] > 1:
            return "a field was retyped to and fro"
        seen = before is None or self._touched_since(before, difference)
        return difference.silent if not seen else ""

    def _touched_since(self, moment: datetime, difference: Difference) -> bool:
        record = self._table(difference.table).records.get(difference.record)
        if record is None:
            return False
        return max(record.created, modified(self._world, record) or record.created) > moment

    def _table(self, key: str) -> Table:
        return self._world.table(key.partition("/")[2])

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            raise Divergence(what)

    # Steps of the account

    def add_record(self) -> None:
        table = self._any_table()
        fields = [field for field in table.fields.values() if field.type not in COMPUTED_TYPES]
        chosen = self._chance.sample(fields, min(3, len(fields)))
        self._world.add_record(table.id, {field.id: self._value(field) for field in chosen})

    def edit(self) -> None:
        table = self._any_table()
        fields = [field for field in table.fields.values() if field.type not in COMPUTED_TYPES]
        if table.records:
            field = self._chance.choice(fields)
            self._world.edit_record(table.id, self._any_record(table), {field.id: self._value(field)})

    def edit_many(self) -> None:
        table = self._any_table()
        for record_id in list(table.records):
            self._world.edit_record(table.id, record_id, {table.primary_field_id: self._name()})

    def delete(self) -> None:
        table = self._any_table()
        if table.records:
            self._world.delete_record(table.id, self._any_record(table))

    def recompute(self) -> None:
        table = self._any_table()
        fields = [field for field in table.fields.values() if field.type in ("formula", "rollup")]
        if table.records and fields:
            value = self._chance.choice([1.5, 2, "text", {"error": "#ERROR!"}, {"specialValue": "NaN"}, None])
            self._world.recompute(table.id, self._any_record(table), self._chance.choice(fields).id, value)

    def add_field(self) -> None:
        type, options = self._chance.choice(_NEW_FIELDS)
        self._world.add_field(self._any_table().id, self._name(), type, options)

    def rename_field(self) -> None:
        table = self._any_table()
        self._world.rename_field(table.id, self._chance.choice(list(table.fields)), self._name())

    def retype_field(self) -> None:
        table = self._any_table()
        plain = [field for field in table.fields.values() if field.type in _RETYPED]
        if plain:
            field = self._chance.choice(plain)
            self._world.retype_field(table.id, field.id, self._chance.choice(_RETYPED))
            self._retyped[field.id] += 1

    def remove_field(self) -> None:
        table = self._any_table()
        others = [field_id for field_id in table.fields if field_id != table.primary_field_id]
        if others:
            self._world.remove_field(table.id, self._chance.choice(others))

    def add_table(self) -> None:
        table = self._world.add_table(self._chance.choice(self._rig.bases), self._name(), [{"name": "Count"}])
        self._world.add_record(table, {"Name": "first"})

    def rename_table(self) -> None:
        self._world.rename_table(self._any_table().id, self._chance.choice(["Labs", self._name()]))

    def remove_table(self) -> None:
        if sum(len(self._world.bases[base].tables) for base in self._rig.bases) > len(self._rig.bases) + 1:
            self._world.remove_table(self._any_table().id)

    def misfilter(self) -> None:
        table = self._any_table()
        self._world.misfilter(table.id, not table.misfilters)

    def revoke_or_grant(self) -> None:
        base = self._chance.choice(self._rig.bases)
        self._chance.choice((self._world.revoke_base, self._world.grant_base))(base)

    def _any_table(self) -> Table:
        return self._chance.choice([t for base in self._rig.bases for t in self._world.bases[base].tables.values()])

    def _any_record(self, table: Table) -> str:
        return self._chance.choice(list(table.records))

    def _name(self) -> str:
        self._names += 1
        return f"{self._chance.choice(['Ω', 'a b', 'Name', 'x;--'])} {self._names}"

    def _value(self, field: Field) -> Any:
        if field.type == "multipleRecordLinks":
            linked = list(self._world.table(field.options["linkedTableId"]).records)
            return self._chance.sample(linked, min(len(linked), self._chance.randint(0, 2)))
        return self._chance.choice(_VALUES.get(field.type, (None, self._name())))


_RETYPED = ("singleLineText", "number", "date", "dateTime", "checkbox", "singleSelect")
_NEW_FIELDS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("number", {"precision": 2}),
    ("dateTime", {"timeZone": "utc"}),
    ("checkbox", {}),
    ("formula", {"isValid": True, "formula": "1", "result": {"type": "number"}}),
    ("lastModifiedTime", {"isValid": True, "referencedFieldIds": [], "result": {"type": "dateTime"}}),
)
_VALUES: Mapping[str, tuple[Any, ...]] = {
    "number": (None, 0, 7, -1.5),
    "checkbox": (True, False),
    "date": (None, "2026-02-28"),
    "dateTime": (None, "2026-02-28T12:00:00.000Z"),
    "multipleSelects": ([], ["Todo"], ["Todo", "Done"]),
    "multipleAttachments": ([], [{"filename": "a.png", "size": 1, "type": "image/png", "width": 4}]),
    "singleCollaborator": (None, {"id": "usr1", "name": "Levi"}),
    "multipleCollaborators": ([], [{"id": "usr1", "name": "Levi"}]),
    "barcode": (None, {"text": "42"}),
}

_STEPS: Mapping[Callable[[History], object], float] = {
    History.sync: 8,
    History.sweep: 2,
    History.sync_while_it_changes: 1,
    History.sync_in_trouble: 2,
    History.sync_and_kill: 1,
    History.add_record: 5,
    History.edit: 10,
    History.edit_many: 1,
    History.delete: 3,
    History.recompute: 3,
    History.add_field: 0.7,
    History.rename_field: 0.7,
    History.retype_field: 0.7,
    History.remove_field: 0.7,
    History.add_table: 0.4,
    History.rename_table: 0.4,
    History.remove_table: 0.3,
    History.misfilter: 0.5,
    History.revoke_or_grant: 0.7,
}

_QUICK: Mapping[Callable[[History], object], float] = {History.edit: 1, History.add_record: 1, History.delete: 1}

_SYNCS = frozenset(
    {History.sync, History.sweep, History.sync_while_it_changes, History.sync_in_trouble, History.sync_and_kill}
)
