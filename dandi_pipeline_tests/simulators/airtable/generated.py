"""A believable made-up account: a laboratory's bases with tables of every type of field, the same for the same seed."""

import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from .instants import Clock
from .world import COLLABORATOR, World

STARTED = datetime(2025, 3, 1, 9, 30, tzinfo=timezone.utc)
"""When the first records were made."""

UNKNOWN_TYPE = "holographicSketch"
"""A type that no documentation names: new ones appear at any time."""

_TABLES_PER_BASE = 3
_LONGEST_PAUSE = 8_000.0
"""Seconds between two records."""
_TOPICS = ("Sessions", "Subjects", "Probes", "Protocols", "Reagents", "Imaging", "Surgeries", "Datasets")
_REGIONS = ("visual cortex", "hippocampus CA1", "cerebellum", "µ-opioid núcleus", "striatum")
_STATUSES = ("Todo", "In progress", "Done")
_INSTANT_RESULT = {"type": "dateTime", "options": {"timeZone": "utc"}}


def generated_world(*, tables: int = 4, records: int = 40, seed: int = 0, clock: Clock | None = None) -> World:
    """Return an account of `tables` tables, at most three a base, with about `records` records each.

    Each base has one small table "Labs" more, to which the others link. About a third of the records was edited
    after they were created. The clock ends where it started.
    """
    world = World(seed=seed, clock=clock)
    chance = random.Random(seed)
    present = world.clock.now()
    world.clock.set(min(STARTED, present))
    pause = min(_LONGEST_PAUSE, (present - world.clock.now()).total_seconds() / (tables * records + 1))
    for number in range(tables):
        if number % _TABLES_PER_BASE == 0:
            base_id = world.add_base(f"Lab notebook {number // _TABLES_PER_BASE + 1}")
            labs = _labs(world, base_id)
        name = _TOPICS[number % len(_TOPICS)] + (f" {number // len(_TOPICS) + 1}" if number >= len(_TOPICS) else "")
        table_id = world.add_table(base_id, name, _fields(labs), description=f"{name} of the laboratory")
        _lookups(world, table_id, labs)
        for row in range(records):
            record_id = _record(world, table_id, labs, row, chance)
            world.clock.advance(chance.random() * pause)
            if chance.random() < 0.35:
                world.edit_record(table_id, record_id, {"Notes": f"Checked the {chance.choice(_REGIONS)} once more."})
    world.clock.set(present)
    return world


def _labs(world: World, base_id: str) -> str:
    table_id = world.add_table(base_id, "Labs", [{"name": "Rate", "type": "currency", "options": {"symbol": "€"}}])
    for name, rate in (("Hodgkin", 120.5), ("Levi-Montalcini", 99), ("Ramón y Cajal", 80)):
        world.add_record(table_id, {"Name": name, "Rate": rate})
    return table_id


def _fields(labs: str) -> list[dict[str, Any]]:
    """One field of each type there is, but for those that `_lookups` adds."""
    choices = [{"id": f"sel{name.replace(' ', ''):0<14}", "name": name, "color": "blueLight2"} for name in _STATUSES]
    fields: list[tuple[str, str, Mapping[str, Any]]] = [
        ("Notes", "multilineText", {}),
        ("Report", "richText", {}),
        ("Contact", "email", {}),
        ("Website", "url", {}),
        ("Phone", "phoneNumber", {}),
        ("Trials", "number", {"precision": 0}),
        ("Cost", "currency", {"precision": 2, "symbol": "€"}),
        ("Yield", "percent", {"precision": 1}),
        ("Length", "duration", {"durationFormat": "h:mm:ss"}),
        ("Quality", "rating", {"max": 5, "icon": "star", "color": "yellowBright"}),
        ("Reviewed", "checkbox", {"icon": "check", "color": "greenBright"}),
        ("Status", "singleSelect", {"choices": choices}),
        ("Tags", "multipleSelects", {"choices": choices}),
        ("Planned", "date", {"dateFormat": {"name": "iso", "format": "YYYY-MM-DD"}}),
        ("Recorded", "dateTime", {"timeZone": "utc"}),
        ("Owner", "singleCollaborator", {}),
        ("Team", "multipleCollaborators", {}),
        ("Barcode", "barcode", {}),
        ("Files", "multipleAttachments", {"isReversed": False}),
        ("Lab", "multipleRecordLinks", {"linkedTableId": labs, "isReversed": False, "prefersSingleRecordLink": False}),
        ("Sketch", UNKNOWN_TYPE, {"depth": 3}),
        ("Open", "button", {}),
        ("Summary", "aiText", {"prompt": ["Summarise"]}),
        ("Origin", "externalSyncSource", {"choices": []}),
        ("Created", "createdTime", {"result": _INSTANT_RESULT}),
        ("Last modified", "lastModifiedTime", {"isValid": True, "referencedFieldIds": [], "result": _INSTANT_RESULT}),
        ("Created by", "createdBy", {}),
        ("Modified by", "lastModifiedBy", {}),
        ("Number", "autoNumber", {}),
    ]
    return [{"name": name, "type": type, "options": dict(options)} for name, type, options in fields]


def _lookups(world: World, table_id: str, labs: str) -> None:
    """Add the fields that are built on others."""
    table, rate = world.table(table_id), world.table(labs).field("Rate")
    link, cost, trials = (table.field(name).id for name in ("Lab", "Cost", "Trials"))
    through = {"isValid": True, "recordLinkFieldId": link}
    looked_up = {**through, "fieldIdInLinkedTable": rate.id, "result": {"type": "currency", "options": rate.options}}
    world.add_field(table_id, "Lab count", "count", through)
    world.add_field(table_id, "Lab rates", "multipleLookupValues", looked_up)
    world.add_field(table_id, "Lab total", "rollup", {**looked_up, "result": {"type": "number"}})
    formula = {"formula": f"{{{cost}}}/{{{trials}}}", "referencedFieldIds": [cost, trials]}
    world.add_field(table_id, "Cost per trial", "formula", {"isValid": True, **formula, "result": {"type": "number"}})


def _record(world: World, table_id: str, labs: str, row: int, chance: random.Random) -> str:
    """Add a record that leaves about every fourth cell empty, and have it computed."""
    cells = {name: value for name, value in _cells(world, labs, row, chance).items() if chance.random() > 0.25}
    record_id = world.add_record(table_id, {"Name": f"Recording {row + 1}", **cells})
    _compute(world, table_id, record_id, cells, chance)
    return record_id


def _cells(world: World, labs: str, row: int, chance: random.Random) -> dict[str, Any]:
    recorded = STARTED + timedelta(minutes=chance.randint(0, 400_000))
    person = {"id": COLLABORATOR, **world.users[COLLABORATOR]}
    return {
        "Notes": f"Electrodes in the {chance.choice(_REGIONS)}.\nSee the protocol.",
        "Report": "**Stable** for _two_ hours\n",
        "Contact": "rosalind@example.org",
        "Website": "https://example.org/sessions",
        "Phone": "+49 30 1234567",
        "Trials": chance.choice([0, chance.randint(1, 900)]),
        "Cost": round(chance.random() * 1_000, 2),
        "Yield": chance.randint(0, 100) / 100,
        "Length": chance.randint(60, 9_000),
        "Quality": chance.randint(1, 5),
        "Reviewed": chance.random() < 0.5,
        "Status": chance.choice(_STATUSES),
        "Tags": chance.sample(_STATUSES, chance.randint(0, 2)),
        "Planned": recorded.date().isoformat(),
        "Recorded": recorded.strftime("%Y-%m-%dT%H:%M:00.000Z"),
        "Owner": person,
        "Team": [person],
        "Barcode": {"type": "upce", "text": f"{row:08d}"},
        "Files": _files(row, chance),
        "Lab": chance.sample(list(world.table(labs).records), chance.randint(0, 2)),
        "Sketch": {"strokes": [[0, row], [1, 2]]},
    }


def _files(row: int, chance: random.Random) -> Sequence[Mapping[str, Any]]:
    picture = {"filename": f"trace-{row}.png", "size": 2_048, "type": "image/png", "width": 640, "height": 480}
    table = {"filename": f"spikes-{row}.csv", "size": chance.randint(10, 2**33), "type": "text/csv"}
    return [picture, table][: chance.randint(0, 2)]


def _compute(world: World, table_id: str, record_id: str, cells: Mapping[str, Any], chance: random.Random) -> None:
    rates = chance.choice([219.5, {"error": "#ERROR!"}, 0])
    summary = {"state": "generated", "isStale": False, "value": "A stable recording."}
    world.recompute(table_id, record_id, "Lab total", rates)
    world.recompute(table_id, record_id, "Cost per trial", _quotient(cells.get("Cost", 0), cells.get("Trials", 0)))
    world.recompute(table_id, record_id, "Open", {"label": "Open", "url": f"https://example.org/{record_id}"})
    world.recompute(table_id, record_id, "Summary", chance.choice([summary, {"state": "error", "errorType": "quota"}]))
    world.recompute(table_id, record_id, "Origin", {"id": "selOrigin00000001", "name": "Legacy", "color": "gray"})


def _quotient(dividend: float, divisor: float) -> Any:
    """Divide as a formula does: what has no number as its result is an object."""
    if divisor:
        return round(dividend / divisor, 4)
    return {"specialValue": "Infinity" if dividend else "NaN"}
