"""Objects have exactly the fields that the contract's examples have, whatever type of property they hold."""

from collections.abc import Iterator
from typing import Any

import pytest

from dandi_pipeline_tests.simulators.notion import UNKNOWN_TYPE, UNLIMITED, SimulatedNotion, generated_world
from dandi_pipeline_tests.test_simulators.notion.asking import Asker

COMMON = {
    "object",
    "id",
    "created_time",
    "last_edited_time",
    "in_trash",
    "icon",
    "cover",
    "url",
    "public_url",
    "parent",
}
AUTHORS = {"created_by", "last_edited_by"}
PAGE = COMMON | AUTHORS | {"is_archived", "is_locked", "properties"}
DATA_SOURCE = COMMON | AUTHORS | {"title", "description", "database_parent", "is_inline", "properties"}
DATABASE = COMMON | {"title", "description", "is_inline", "is_locked", "data_sources"}

SCHEMA_FIELDS: dict[str, set[str]] = {
    "title": set(),
    "rich_text": set(),
    "number": {"format"},
    "select": {"options"},
    "multi_select": {"options"},
    "status": {"options", "groups"},
    "date": set(),
    "people": set(),
    "files": set(),
    "checkbox": set(),
    "url": set(),
    "email": set(),
    "phone_number": set(),
    "formula": {"expression"},
    "relation": {"database_id", "data_source_id", "type", "dual_property"},
    "rollup": {
        "function",
        "relation_property_name",
        "relation_property_id",
        "rollup_property_name",
        "rollup_property_id",
    },
    "unique_id": {"prefix"},
    "created_time": set(),
    "created_by": set(),
    "last_edited_time": set(),
    "last_edited_by": set(),
    "verification": set(),
    "place": set(),
    "button": set(),
    UNKNOWN_TYPE: set(),
}
VALUE_FIELDS: dict[str, set[str]] = {
    "select": {"id", "name", "color"},
    "status": {"id", "name", "color"},
    "date": {"start", "end", "time_zone"},
    "formula": {"type", "number"},
    "rollup": {"type", "number", "function"},
    "created_by": {"object", "id"},
    "last_edited_by": {"object", "id"},
    "unique_id": {"prefix", "number"},
    "verification": {"state", "date", "verified_by"},
    "place": {"lat", "lon", "name", "address", "aws_place_id", "google_place_id"},
    "button": set(),
}
ITEM_FIELDS: dict[str, list[set[str]]] = {
    "title": [{"type", "text", "annotations", "plain_text", "href"}],
    "rich_text": [
        {"type", "text", "annotations", "plain_text", "href"},
        {"type", "mention", "annotations", "plain_text", "href"},
    ],
    "multi_select": [{"id", "name", "color"}],
    "people": [{"object", "id", "name", "avatar_url", "type", "person"}, {"object", "id", "name"}],
    "files": [{"name", "type", "file"}, {"name", "type", "external"}],
    "relation": [{"id"}],
}


@pytest.fixture(scope="module")
def tasks() -> Iterator[tuple[Any, list[Any], Any]]:
    """The generated data source with every type: its schema, its pages, and its database."""
    with SimulatedNotion(generated_world(pages=20), limits=UNLIMITED) as notion, Asker(notion) as asker:
        source = next(each for each in notion.world.data_sources.values() if each.title == "Tasks")
        schema = asker.get(f"/data_sources/{source.id}").json()
        database = asker.get(f"/databases/{source.database_id}").json()
        yield schema, asker.query(source.id)["results"], database


def test_objects_have_the_contracts_fields(tasks: tuple[Any, list[Any], Any]) -> None:
    schema, pages, database = tasks
    assert schema.keys() == {*DATA_SOURCE, "request_id"}
    assert {frozenset(page) for page in pages} == {frozenset(PAGE)}
    assert database.keys() == {*DATABASE, "request_id"}


@pytest.mark.parametrize("type_name", SCHEMA_FIELDS)
def test_a_schema_describes_every_type(tasks: tuple[Any, list[Any], Any], type_name: str) -> None:
    name, described = next((name, each) for name, each in tasks[0]["properties"].items() if each["type"] == type_name)
    assert described.keys() == {"id", "name", "description", "type", type_name}
    assert described["name"] == name
    assert described[type_name].keys() == SCHEMA_FIELDS[type_name]


@pytest.mark.parametrize("type_name", SCHEMA_FIELDS)
def test_a_page_has_a_value_of_every_type(tasks: tuple[Any, list[Any], Any], type_name: str) -> None:
    values = [each for page in tasks[1] for each in page["properties"].values() if each["type"] == type_name]
    assert len(values) == 20
    fields = {"id", "type", type_name} | ({"has_more"} if type_name == "relation" else set())
    assert {frozenset(value) for value in values} == {frozenset(fields)}
    said = [value[type_name] for value in values]
    if type_name in VALUE_FIELDS:
        assert {frozenset(each) for each in said if each is not None} == {frozenset(VALUE_FIELDS[type_name])}
    if type_name in ITEM_FIELDS:
        assert {frozenset(item) for each in said for item in each} == set(map(frozenset, ITEM_FIELDS[type_name]))
