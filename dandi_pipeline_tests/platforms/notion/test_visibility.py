"""What is not shared is kept and marked; what is no longer named is removed; what is misnamed is said."""

import logging

import pytest

from dandi_pipeline.errors import AccessRefused, ConfigurationError, PartitionUnknown
from dandi_pipeline.model import Gone, Hidden, Listed
from dandi_pipeline.sync.report import Outcome
from dandi_pipeline_tests.platforms.notion.conftest import NOW
from dandi_pipeline_tests.platforms.notion.rig import Rig
from dandi_pipeline_tests.simulators.notion import World

NOWHERE = "00000000-0000-4000-8000-000000000000"


def _held(rig: Rig) -> set[str]:
    return set(rig.pages())


@pytest.mark.parametrize("of_database", [False, True])
def test_an_unshared_data_source_is_kept_until_it_is_shared_again(
    rig: Rig, world: World, ids: dict[str, str], caplog: pytest.LogCaptureFixture, of_database: bool
) -> None:
    rig.sync()
    source = world.data_sources[ids["Projects"]]
    hidden = source.database_id if of_database else source.id
    world.unshare(hidden)
    with caplog.at_level(logging.WARNING):
        reports = rig.sync()
    assert reports[source.id].outcome is Outcome.HIDDEN
    assert f"{hidden}: not there or not shared" in caplog.text
    assert source.id in _held(rig)
    assert rig.sync()[source.id].outcome is Outcome.FRESH
    world.share(hidden)
    world.edit_page(next(iter(source.page_ids)), {"Budget": 1})
    assert rig.sync()[source.id].outcome is Outcome.SYNCED
    assert rig.differences_of(source.id) == []


def test_where_nothing_named_can_be_seen_nothing_is_touched(rig: Rig, world: World) -> None:
    rig.sync()
    held = _held(rig)
    for database in world.databases:
        world.unshare(database)
    with pytest.raises(AccessRefused, match="nothing that is named can be seen"):
        rig.sync()
    assert _held(rig) == held


def test_what_is_unshared_while_it_is_read_is_kept(rig: Rig, world: World, ids: dict[str, str]) -> None:
    rig.sync()
    world.rename_property(ids["Projects"], "Budget", "Money")
    queries = 0

    def unshare(kind: str, params: object) -> None:
        nonlocal queries
        queries += kind == "query"
        if queries == len(world.data_sources) + 1:  # the checks' queries, and then the first of a reading
            world.unshare(ids["Projects"])

    rig.notion.before_response = unshare
    reports = rig.sync()
    rig.notion.before_response = None
    assert reports[ids["Projects"]].outcome is Outcome.HIDDEN
    assert ids["Projects"] in _held(rig)


def test_what_is_no_longer_named_is_removed(rig: Rig, ids: dict[str, str]) -> None:
    rig.databases, rig.data_sources = [], [ids["Projects"], ids["Tasks"]]
    rig.sync()
    rig.data_sources = [ids["Tasks"]]
    assert rig.sync()[ids["Projects"]].outcome is Outcome.REMOVED
    assert _held(rig) == {ids["Tasks"]}


def test_what_a_database_no_longer_lists_is_removed(rig: Rig, world: World, ids: dict[str, str]) -> None:
    rig.sync()
    gone = world.data_sources[ids["Done tasks"]]
    with world.lock:
        world.databases[gone.database_id].data_source_ids.remove(gone.id)
        del world.data_sources[gone.id]
    assert rig.sync()[gone.id].outcome is Outcome.REMOVED
    assert gone.id not in _held(rig)


def test_a_data_source_named_twice_is_one_partition(rig: Rig, world: World, ids: dict[str, str]) -> None:
    rig.data_sources = [ids["Tasks"]]
    with rig.platform() as platform:
        listed = [item.key for item in platform.list_partitions()]
    assert sorted(listed) == sorted(world.data_sources)


def test_looking_up_tells_the_named_from_the_hidden_and_the_rest(rig: Rig, world: World, ids: dict[str, str]) -> None:
    rig.databases = [world.data_sources[ids["Tasks"]].database_id]
    rig.data_sources = [ids["Projects"], NOWHERE]
    with rig.platform() as platform:
        assert isinstance(platform.look_up(ids["Done tasks"]), Listed), "its database is named"
        assert isinstance(platform.look_up(ids["Projects"]), Listed)
        assert platform.look_up(ids["Notes 1"]) == Gone(ids["Notes 1"]), "it is there, but not named"
        assert platform.look_up(NOWHERE) == Hidden(NOWHERE)
        world.unshare(rig.databases[0])
        assert platform.look_up(ids["Done tasks"]) == Hidden(ids["Done tasks"])


def test_one_named_data_source_can_be_synced_alone(rig: Rig, ids: dict[str, str]) -> None:
    reports = rig.sync(partitions=(ids["Tasks"],))
    assert list(reports) == [ids["Tasks"]]
    with pytest.raises(PartitionUnknown):
        rig.sync(partitions=(NOWHERE,))


def test_ids_are_taken_with_and_without_dashes(rig: Rig, ids: dict[str, str]) -> None:
    with rig.platform() as platform:
        assert platform.partition_key(ids["Tasks"].replace("-", "").upper()) == ids["Tasks"]
        with pytest.raises(ConfigurationError, match="'tasks' is not a Notion id"):
            platform.partition_key("tasks")


def test_a_source_that_names_nothing_says_what_to_do(rig: Rig) -> None:
    rig.databases = []
    with pytest.raises(ConfigurationError, match="list their ids under 'settings:'"):
        rig.sync()


@pytest.mark.parametrize("alone", [False, True])
def test_the_pages_of_a_trashed_data_source_are_kept_and_marked(
    rig: Rig, world: World, ids: dict[str, str], caplog: pytest.LogCaptureFixture, alone: bool
) -> None:
    source = ids["Projects"]
    if alone:
        rig.databases, rig.data_sources = [], [source]
    rig.sync()
    rig.settle()
    before = rig.pages()[source]
    world.trash_data_source(source)
    with caplog.at_level(logging.WARNING):
        assert rig.sync()[source].outcome is Outcome.SYNCED
    assert f"{source} (Projects) is in Notion's trash" in caplog.text
    marks = "SELECT DISTINCT in_trash FROM notion_pages WHERE data_source_id = :source"
    assert [bool(mark) for (mark,) in rig.select(marks, source=source)] == [True]
    assert rig.pages()[source] == before
    assert rig.select("SELECT DISTINCT page_in_trash FROM notion_projects")[0][0]
    rig.sweep()
    assert rig.pages()[source] == before
    assert rig.stale() == ()
    world.restore_data_source(source)
    rig.settle()
    assert [bool(mark) for (mark,) in rig.select(marks, source=source)] == [False]
    assert rig.differences_of(source) == []
    updates = [change for change in rig.changes() if change[:2] == ("update", "page")]
    assert len(updates) == 2 * len(before), "the feed tells of each mark, and of its end"


def test_a_database_without_data_sources_is_told(rig: Rig, world: World, caplog: pytest.LogCaptureFixture) -> None:
    empty = world.add_database("Empty").id
    with caplog.at_level(logging.WARNING):
        rig.sync()
    assert f"database {empty} holds no data source, so nothing of it is mirrored" in caplog.text


def test_a_missing_capability_is_told_as_such(rig: Rig, world: World) -> None:
    rig.sync()
    held = _held(rig)
    world.connections[rig.notion.token].reads_content = False
    with pytest.raises(AccessRefused, match=r"restricted_resource: .* lacks a capability: let it read content") as told:
        rig.sync()
    assert "not shared" not in str(told.value)
    assert "request_id" not in str(told.value)
    assert _held(rig) == held


def test_what_is_asked_for_twice_is_the_same_though_each_answer_has_an_id_of_its_own(rig: Rig) -> None:
    rig.sync()
    rig.settle()
    before = rig.changes()
    rig.sweep()
    assert rig.changes() == before
    assert not any("request_id" in str(schema) for schema in [*rig.schemas().values(), *rig.pages().values()])


def test_search_suggests_what_could_be_named(rig: Rig, world: World, ids: dict[str, str]) -> None:
    world.hide_from_search(ids["Notes 1"])
    with rig.platform() as platform:
        assert platform.suggestions() == {ids[title]: title for title in ("Projects", "Tasks", "Done tasks")}


@pytest.mark.parametrize("refused_cursors", [0, 2])
def test_pages_hidden_from_the_connection_do_not_hide_the_newest_edit(
    rig: Rig, world: World, ids: dict[str, str], refused_cursors: int
) -> None:
    rig.databases, rig.data_sources = [], [ids["Projects"]]
    for number in range(5):
        world.unshare(world.add_page(ids["Projects"], {"Name": str(number)}).id)
    rig.sync()
    rig.settle()
    refusals = [None] * refused_cursors

    def refuse(kind: str, params: object) -> None:
        if kind == "query" and refusals:
            refusals.pop()
            rig.notion.expire_cursors()

    world.clock.set(NOW.replace(minute=10))  # before the hidden pages' time, and long after the last visible edit
    seen = next(iter(world.data_sources[ids["Projects"]].page_ids))
    world.edit_page(seen, {"Budget": 5})
    rig.notion.before_response = refuse
    rig.sync()
    rig.notion.before_response = None
    assert rig.pages()[ids["Projects"]][seen]["properties"]["Budget"]["number"] == 5
