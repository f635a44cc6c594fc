"""Whatever the service answers, what is stored is right, and what must not be asked again is not."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from dandi_pipeline.errors import (
    AccessRefused,
    ContractError,
    CredentialRejected,
    PlatformFailing,
    PlatformUnreachable,
    UnexpectedPayload,
    WrongAddress,
)
from dandi_pipeline.sync.report import Outcome
from dandi_pipeline_tests.end_to_end.equality import plain_engine
from dandi_pipeline_tests.platforms.notion.rig import IMPATIENT, Rig
from dandi_pipeline_tests.simulators.notion import SimulatedNotion, World

PASSING: list[dict[str, Any]] = [
    {"effect": "status", "status": 429, "retry_after": 0},
    {"effect": "status", "status": 529, "retry_after": 0},
    {"effect": "status", "status": 500},
    {"effect": "status", "status": 502},
    {"effect": "status", "status": 503},
    {"effect": "status", "status": 504},
    {"effect": "status", "status": 409, "kind": "query"},
    {"effect": "reset"},
    {"effect": "cut_body"},
    {"effect": "cut_gzip"},
    {"effect": "html"},
]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: " ".join(str(value) for value in fault.values()))
def test_what_passes_is_waited_for(rig: Rig, notion: SimulatedNotion, fault: dict[str, Any]) -> None:
    notion.faults.add(**fault, times=3)
    rig.sync()
    assert notion.faults.struck() >= 3
    assert rig.differences() == []


@pytest.mark.parametrize("slow_above", [60, 30, 10])
def test_a_query_too_heavy_is_asked_for_fewer_rows(
    rig: Rig, world: World, notion: SimulatedNotion, ids: dict[str, str], slow_above: int
) -> None:
    for number in range(150):
        world.add_page(ids["Projects"], {"Name": str(number)})
    notion.behaviour.slow_above = slow_above
    rig.sync()
    assert rig.differences() == []


def test_a_query_too_heavy_for_any_size_fails_and_deletes_nothing(
    rig: Rig, notion: SimulatedNotion, ids: dict[str, str]
) -> None:
    rig.sync()
    held = rig.pages()
    notion.behaviour.slow_above = 5
    rig.asked()
    report = rig.sweep()[ids["Projects"]]
    assert report.outcome is Outcome.FAILED
    assert isinstance(report.error, PlatformFailing)
    assert rig.pages() == held
    assert rig.asked()["query"] == 4 + 4 * 6, "six attempts a data source, after the checks"


@pytest.mark.parametrize("kind", ["data_source", "query", "page", "property_item", "database"])
@pytest.mark.parametrize("effect", ["html", "reset"])
def test_trouble_for_good_deletes_nothing(
    rig: Rig, world: World, notion: SimulatedNotion, ids: dict[str, str], kind: str, effect: str
) -> None:
    rig.sync()
    held = rig.pages()
    world.trash_page(next(iter(world.data_sources[ids["Tasks"]].page_ids)))
    notion.faults.add(effect, kind=kind)
    with suppress(PlatformFailing, PlatformUnreachable):  # where the check itself fails
        rig.sweep()
    if kind != "property_item":  # which only pages with long values need
        assert rig.pages() == held
    notion.faults.clear()
    rig.sweep()
    assert rig.differences() == []


def test_a_blocked_connection_asks_once_and_stops(rig: Rig, notion: SimulatedNotion) -> None:
    rig.sync()
    notion.limiter.block(notion.token)
    rig.asked()
    rig.databases = rig.databases or list(rig.world.databases)[:1]
    with pytest.raises(CredentialRejected, match="asking again makes it worse"):
        rig.sync()
    assert notion.requests.counts()["total"] == 1


def test_a_refused_token_names_where_it_comes_from(rig: Rig, notion: SimulatedNotion) -> None:
    notion.token = "ntn_wrong"
    with pytest.raises(CredentialRejected, match="set NOTION_TOKEN to the token of a Notion connection") as refused:
        rig.sync()
    assert "ntn_wrong" not in str(refused.value)


def test_a_missing_capability_is_named(rig: Rig, notion: SimulatedNotion) -> None:
    notion.faults.add("status", status=403)
    with pytest.raises(AccessRefused, match="nothing that is named can be seen"):
        rig.sync()


def test_a_refused_request_is_not_repeated(rig: Rig, notion: SimulatedNotion, ids: dict[str, str]) -> None:
    rig.databases, rig.data_sources = [], [ids["Projects"]]
    notion.faults.add("status", status=400, kind="query")
    assert isinstance(rig.sync()[ids["Projects"]].error, ContractError)
    assert rig.asked()["query"] == 1


@pytest.mark.parametrize("missing", ["has_more", "results", "next_cursor"])
def test_a_list_without_what_it_always_has_is_refused(
    rig: Rig, world: World, notion: SimulatedNotion, ids: dict[str, str], missing: str
) -> None:
    notion.faults.add("without_field", name=missing, kind="query")
    errors = {key: report.error for key, report in rig.sync().items()}
    assert errors.keys() == world.data_sources.keys()
    for error in errors.values():
        assert isinstance(error, UnexpectedPayload)
        assert missing in str(error)


@pytest.mark.parametrize(
    "fault",
    [
        {"effect": "status", "status": 503, "kind": "query"},
        {"effect": "status", "status": 500, "kind": "data_source"},
        {"effect": "without_field", "name": "last_edited_time", "kind": "query"},
        {"effect": "without_field", "name": "title", "kind": "data_source"},
    ],
    ids=lambda fault: f"{fault['effect']} {fault['kind']}",
)
def test_a_data_source_that_cannot_be_looked_at_fails_alone_and_stays_stale(
    rig: Rig, world: World, notion: SimulatedNotion, ids: dict[str, str], fault: dict[str, Any]
) -> None:
    rig.sync()
    world.edit_page(next(iter(world.data_sources[ids["Done tasks"]].page_ids)), {"Closed": "2026-11-20"})
    notion.faults.add(**fault, path=ids["Projects"])
    reports = rig.sync()
    assert reports.keys() == {ids["Projects"], ids["Done tasks"]}
    assert isinstance(reports[ids["Projects"]].error, PlatformFailing | UnexpectedPayload)
    assert reports[ids["Done tasks"]].outcome is Outcome.SYNCED
    assert ids["Projects"] in rig.stale()
    notion.faults.clear()
    assert rig.differences() == []


def test_a_page_without_what_it_always_has_fails_its_data_source_alone(
    rig: Rig, notion: SimulatedNotion, ids: dict[str, str]
) -> None:
    rig.sync()
    held = rig.pages()
    notion.faults.add("without_field", name="url", kind="query", path=ids["Projects"])
    reports = rig.sweep()
    assert isinstance(reports[ids["Projects"]].error, UnexpectedPayload)
    assert reports[ids["Tasks"]].outcome is Outcome.SYNCED
    assert rig.pages() == held


def test_a_pause_is_heeded_once_for_all(rig: Rig, notion: SimulatedNotion) -> None:
    rig.limits = replace(IMPATIENT, first_backoff=0.001)
    notion.faults.add("status", status=429, retry_after=1, times=1)
    rig.sync()
    assert rig.differences() == []
    assert notion.requests.counts()["rate_limited"] == 1


@pytest.mark.parametrize(
    ("name", "value"), [("title", None), ("title", [3]), ("last_edited_time", 5), ("properties", 7)]
)
def test_an_odd_data_source_fails_alone(
    rig: Rig, world: World, notion: SimulatedNotion, ids: dict[str, str], name: str, value: object
) -> None:
    rig.sync()
    for data_source in ("Projects", "Tasks"):
        world.add_page(ids[data_source], {"Name": "new"})
    odd = ids["Tasks"]
    notion.faults.add("odd_row", path=odd, identifier=odd, name=name, value=value)
    reports = rig.sync()
    assert {key for key, report in reports.items() if report.error} == ({odd} if name != "last_edited_time" else set())
    assert reports[ids["Projects"]].outcome is Outcome.SYNCED
    notion.faults.clear()
    rig.settle()
    assert rig.differences() == []


def test_a_database_that_answers_oddly_deletes_nothing_and_is_an_error(rig: Rig, notion: SimulatedNotion) -> None:
    rig.sync()
    held = rig.pages()
    notion.faults.add("with_value", kind="database", name="data_sources", value=None)
    with pytest.raises(UnexpectedPayload, match="data_sources"):
        rig.sync()
    assert rig.pages() == held
    notion.faults.clear()
    rig.settle()
    assert rig.differences() == []


@pytest.mark.parametrize("text", ["1e400", "1.10", "123456789012345678901234567890", "-0"])
def test_a_number_is_kept_as_it_was_written_and_fails_no_view(
    mirror_url: str, notion: SimulatedNotion, text: str
) -> None:
    rig = Rig(notion, mirror_url)
    notion.faults.add("as_written", kind="query", name="number", text=text)
    assert {report.outcome for report in rig.sync().values()} == {Outcome.SYNCED}
    with plain_engine(mirror_url).connect() as connection:
        views = connection.execute(sa.text("SELECT view_name FROM shapes")).scalars().all()
        for view in views:
            connection.execute(sa.text(f'SELECT * FROM "{view}"')).all()
        pages = connection.execute(sa.text("SELECT CAST(metadata AS TEXT) FROM notion_pages")).scalars().all()
    assert any(f'"number":{text}' in page for page in pages)


@pytest.mark.parametrize(("text", "group"), [(r'"\ud83d"', None), (r'"a\u0000"', None), ("1e200000", "contract")])
def test_what_jsonb_refuses_is_replaced_in_cells_or_names_its_page(
    mirror_url: str, notion: SimulatedNotion, text: str, group: str | None
) -> None:
    rig = Rig(notion, mirror_url)
    name = "number" if group else "phone_number"
    notion.faults.add("as_written", kind="query", name=name, text=text)
    errors = [report.error for report in rig.sync().values() if report.error]
    assert {error.group for error in errors} == ({group} if group else set())
    assert all("page" in str(error) for error in errors)
    with plain_engine(mirror_url).connect() as connection:
        for view in connection.execute(sa.text("SELECT view_name FROM shapes")).scalars().all():
            connection.execute(sa.text(f'SELECT * FROM "{view}"')).all()


@pytest.mark.parametrize("status", [403, 404])
def test_a_page_that_is_not_notion_s_answer_hides_and_deletes_nothing(
    rig: Rig, notion: SimulatedNotion, ids: dict[str, str], status: int
) -> None:
    """What does not exist or is not shared Notion says as JSON; a proxy's page says nothing of it."""
    rig.sync()
    rig.databases, rig.data_sources = [], list(ids.values())
    rig.sync()
    held = rig.select("SELECT page_id, content_hash FROM notion_pages ORDER BY page_id")
    notion.faults.add("html", status=status)
    for named in ((), (ids["Projects"],)):
        reports = rig.sync(partitions=named)
        assert {type(report.error) for report in reports.values()} == {WrongAddress}
        assert rig.select("SELECT page_id, content_hash FROM notion_pages ORDER BY page_id") == held
        assert {token for (token,) in rig.select("SELECT token FROM partitions")}.isdisjoint({"hidden"})
