"""No list keeps a sync at it for ever: one that repeats a page, or always says that there is more, is an error."""

from collections.abc import Callable
from contextlib import closing
from itertools import count
from typing import Any

import orjson
import pytest

from dandi_pipeline.errors import ContractError, PipelineError, TornRead, UnexpectedPayload
from dandi_pipeline.http import HttpClient
from dandi_pipeline.platforms.airtable.api import AirtableApi, Question
from dandi_pipeline.platforms.dandi.api import DandiApi
from dandi_pipeline.platforms.notion.api import NotionApi
from dandi_pipeline.platforms.notion.reading import Walk
from dandi_pipeline_tests.http.scripted_server import ScriptedServer, Step, answer

MORE = "https://127.0.0.1/next"
VERSION = {
    "version": "draft",
    "name": "x",
    "asset_count": 0,
    "size": 0,
    "status": "Valid",
    "modified": "2026-01-01T00:00:00Z",
}
DANDISET = {"identifier": "000001", "embargo_status": "OPEN", "draft_version": VERSION}
ROW = {"object": "page", "id": "p1", "created_time": "2026-01-01T00:00:00.000Z", "type": "title", "title": {}}


def dandi(ask: Callable[[DandiApi], Any]) -> Callable[[HttpClient], Any]:
    return lambda client: ask(DandiApi(client, lists_embargoed=False))


def notion(ask: Callable[[NotionApi], Any]) -> Callable[[HttpClient], Any]:
    return lambda client: ask(NotionApi(client))


def airtable(client: HttpClient) -> Any:
    return list(AirtableApi(client, "app1", page_size=2).pages(Question("tbl1")))


def walked(api: NotionApi) -> Any:
    return list(Walk(api.query("d1", page_size=100), where="data source d1").pages())


LISTS = [
    pytest.param(
        dandi(lambda api: api.versions("000001")), {"count": 9999, "next": MORE, "results": [VERSION]}, 2, id="versions"
    ),
    pytest.param(
        dandi(lambda api: api.versions("000001")), {"count": 0, "next": MORE, "results": []}, 1, id="no versions"
    ),
    pytest.param(dandi(DandiApi.dandisets), {"count": 10**15, "next": MORE, "results": [DANDISET]}, 2, id="dandisets"),
    pytest.param(
        dandi(DandiApi.dandisets), {"count": 10**15, "next": None, "results": [DANDISET]}, 3, id="a huge count"
    ),
    pytest.param(notion(walked), {"has_more": True, "next_cursor": "c", "results": [ROW]}, 3, id="rows"),
    pytest.param(
        notion(lambda api: list(api.shared_data_sources())),
        {"has_more": True, "next_cursor": "c", "results": [ROW]},
        2,
        id="search",
    ),
    pytest.param(
        notion(lambda api: api.property_items("p1", "title")),
        {"has_more": True, "next_cursor": "c", "results": [ROW]},
        2,
        id="property items",
    ),
    pytest.param(airtable, {"records": [{"id": "rec1"}], "offset": "o"}, 2, id="records"),
]


@pytest.mark.parametrize(("ask", "page", "asked"), LISTS)
def test_a_page_that_comes_again_and_again_ends_the_list(
    ask: Callable[[HttpClient], Any], page: dict[str, Any], asked: int
) -> None:
    with ScriptedServer([answer(page)]) as server, closing(HttpClient(server.url, user_agent="tests")) as client:
        with pytest.raises((UnexpectedPayload, ContractError, TornRead)):
            ask(client)
        assert len(server.requests) == asked


@pytest.mark.parametrize(
    ("ask", "page"),
    [
        pytest.param(airtable, {"records": [{"id": "rec1"}], "offset": "o"}, id="records"),
        pytest.param(airtable, {"records": [], "offset": "o"}, id="no records"),
        pytest.param(notion(walked), {"has_more": True, "next_cursor": "c", "results": [ROW]}, id="rows"),
    ],
)
def test_a_cursor_that_is_always_another_ends_the_list_as_well(
    ask: Callable[[HttpClient], Any], page: dict[str, Any]
) -> None:
    cursors = count(1)

    def another(connection: Any) -> bool:
        cursor = f"c{next(cursors)}"
        changed = {name: cursor for name in ("offset", "next_cursor") if name in page}
        return answer(body=orjson.dumps({**page, **changed}))(connection)

    step: Step = another
    with ScriptedServer([step]) as server, closing(HttpClient(server.url, user_agent="tests")) as client:
        with pytest.raises(PipelineError, match="brings nothing new"):
            ask(client)
        assert len(server.requests) <= 12
