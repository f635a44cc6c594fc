"""Fills a workspace with made-up but believable data sources, the same ones for the same seed."""

import random
from datetime import datetime, timezone
from typing import Any

from dandi_pipeline_tests.simulators.clock import Clock

from .records import DataSource, Page
from .world import World

STARTED = datetime(2026, 1, 5, 9, 30, 12, 345678, tzinfo=timezone.utc)

UNKNOWN_TYPE = "telemetry"
"""A property type that no client has heard of."""

_THINGS = ["Electrode", "Größenvergleich", "海馬 slice", "Bug bash", "Consent form", "Señal check", "Surgery 🐭"]
_TAGS = ["api", "urgent", "ephys", "histology", "paper"]
_KINDS = ["Bug", "Feature", "Chore"]
_PLACE = {"lat": 40.7, "lon": -74.0, "name": "NYC", "address": None, "aws_place_id": None, "google_place_id": None}
_STAGES = ["Not started", "In progress", "Done"]


def generated_world(*, sources: int = 4, pages: int = 30, seed: int = 0, clock: Clock | None = None) -> World:
    """Return a workspace of `sources` data sources with `pages` pages each.

    The first holds projects; the second tasks, with a property of every type, related to projects both ways; the
    third shares the tasks' database; the fourth is a wiki with the projects among its rows. Any more are plain lists.
    """
    world = World(seed=seed, clock=Clock(STARTED))
    chance = random.Random(seed)
    world.add_user("Łucja Nowak", email="lucja@example.org")
    world.add_user("Reviewers", group=True)
    made: list[DataSource] = []
    for number in range(sources):
        made.append(_add_source(world, made, number))
        for _ in range(pages):
            world.clock.advance(chance.randint(5, 40_000))
            _add_page(world, made, made[-1], chance)
    world.clock = clock or Clock()
    return world


def _add_source(world: World, made: list[DataSource], number: int) -> DataSource:
    if number == 0:
        properties: dict[str, Any] = {"Budget": "number", "Status": {"type": "status", "options": _STAGES}}
        return world.add_data_source("Projects", properties=properties)
    if number == 1:
        source = world.add_data_source("Tasks", properties=_every_type(made[0]))
        relation = next(prop for prop in made[0].properties.values() if prop.name == "Tasks")
        details = {"relation": relation.name, "target": "Estimate", "function": "sum"}
        world.add_property(made[0].id, "Work", "rollup", **details)
        return source
    if number == 2:
        return world.add_data_source("Done tasks", database_id=made[1].database_id, properties={"Closed": "date"})
    source = world.add_data_source(f"Notes {number - 2}", properties={"Text": "rich_text", "Files": "files"})
    if number == 3:
        world.put_in_wiki(source.id, made[0].id)
    return source


def _every_type(projects: DataSource) -> dict[str, Any]:
    return {
        "Notes": "rich_text",
        "Estimate": "number",
        "Kind": {"type": "select", "options": _KINDS},
        "Tags": {"type": "multi_select", "options": _TAGS},
        "Stage": {"type": "status", "options": _STAGES},
        "Due": "date",
        "Owner": "people",
        "Files": "files",
        "Done": "checkbox",
        "Link": "url",
        "Mail": "email",
        "Phone": "phone_number",
        "Score": {"type": "formula", "expression": 'prop("Estimate") * 2'},
        "Project": {"type": "relation", "to": projects.id, "twin": "Tasks"},
        "Total": {"type": "rollup", "relation": "Project", "target": "Budget", "function": "sum"},
        "Created": "created_time",
        "Author": "created_by",
        "Edited": "last_edited_time",
        "Editor": "last_edited_by",
        "ID": {"type": "unique_id", "prefix": "TASK"},
        "Checked": "verification",
        "Where": "place",
        "Go": "button",
        "Signal": UNKNOWN_TYPE,
    }


def _add_page(world: World, made: list[DataSource], source: DataSource, chance: random.Random) -> Page:
    title = f"{chance.choice(_THINGS)} {chance.randint(1, 999)}"
    if source is made[0]:
        status = chance.choice(_STAGES)
        return world.add_page(source.id, {"Name": title, "Budget": chance.randint(1, 90) * 100, "Status": status})
    if len(made) > 1 and source is made[1]:
        return world.add_page(source.id, {"Name": title, **_task(world, made[0], chance)})
    if len(made) > 2 and source is made[2]:
        return world.add_page(source.id, {"Name": title, "Closed": _day(chance)})
    return world.add_page(source.id, {"Name": title, "Text": "As discussed.", "Files": [{"name": "notes.pdf"}]})


def _task(world: World, projects: DataSource, chance: random.Random) -> dict[str, Any]:
    owners = [user.id for user in world.users.values() if user.kind != "bot"]
    related = chance.sample(list(projects.page_ids), k=min(len(projects.page_ids), chance.randint(0, 3)))
    return {
        "Notes": ["See ", {"page": world.home.id}, " and ask ", {"user": world.author.id}],
        "Estimate": chance.choice([None, 0.5, 1, 3, 8]),
        "Kind": chance.choice([None, *_KINDS]),
        "Tags": chance.sample(_TAGS, k=chance.randint(0, 3)),
        "Stage": chance.choice(_STAGES),
        "Due": {"start": _day(chance), "end": None},
        "Owner": chance.sample(owners, k=chance.randint(0, len(owners))),
        "Files": [{"name": "a.pdf"}, {"name": "b", "url": "https://example.org/b.png"}],
        "Done": chance.random() < 0.3,
        "Link": chance.choice([None, "https://example.org/"]),
        "Mail": "x@example.org",
        "Project": related,
        "Checked": {"state": "unverified", "date": None, "verified_by": None},
        "Where": dict(_PLACE),
        "Signal": {"level": chance.randint(1, 9), "samples": [0.1, 0.2]},
    }


def _day(chance: random.Random) -> str:
    return f"2026-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}"
