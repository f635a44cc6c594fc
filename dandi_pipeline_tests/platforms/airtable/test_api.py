"""Answers that the simulated account never gives: lists that do not end, schemas without a date."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import orjson
import pytest

from dandi_pipeline.errors import UnexpectedPayload
from dandi_pipeline.http import HttpClient
from dandi_pipeline.platforms.airtable.api import AirtableApi, IteratorLost, Question, refusals
from dandi_pipeline_tests.http.scripted_server import ScriptedServer, Step, answer

QUESTION = Question("tbl1", "TRUE()", ["fld1"])


@contextmanager
def answering(*steps: Step) -> Iterator[tuple[AirtableApi, ScriptedServer]]:
    with ScriptedServer(steps) as server:
        client = HttpClient(server.url, user_agent="tests", refusal=refusals("TOKEN", has_token=False))
        with closing(client):
            yield AirtableApi(client, "app1", page_size=2), server


def page(*record_ids: str, **more: Any) -> Step:
    return answer({"records": [{"id": record_id} for record_id in record_ids], **more})


LOST = answer({"error": {"type": "LIST_RECORDS_ITERATOR_NOT_AVAILABLE"}}, status=422)


def shown(api: AirtableApi) -> list[list[str]]:
    return [[row["id"] for row in rows] for rows in api.pages(QUESTION)]


def test_a_page_is_asked_for_in_the_body_the_same_but_for_its_offset() -> None:
    with answering(page("rec1", "rec2", offset="itr/rec2"), page("rec3")) as (api, server):
        assert shown(api) == [["rec1", "rec2"], ["rec3"]]
    first, second = (orjson.loads(request.body) for request in server.requests)
    assert set(server.targets) == {"/app1/tbl1/listRecords"}
    assert first == {
        "filterByFormula": "TRUE()",
        "fields": ["fld1"],
        "returnFieldsByFieldId": True,
        "pageSize": 2,
    }
    assert second == {**first, "offset": "itr/rec2"}


def test_a_list_begun_anew_shows_each_record_once() -> None:
    steps = page("rec1", "rec2", offset="a"), LOST, page("rec2", "rec4", offset="b"), page("rec1", "rec3")
    with answering(*steps) as (api, _):
        assert shown(api) == [["rec1", "rec2"], ["rec4"], ["rec3"]]


def test_a_list_is_begun_three_times_at_most() -> None:
    with answering(*[page("rec1", offset="a"), LOST] * 3) as (api, server):
        with pytest.raises(IteratorLost, match="expired on the server"):
            shown(api)
        assert len(server.requests) == 6


def test_a_page_that_leads_to_itself_ends_the_list_with_an_error() -> None:
    steps = page("rec1", offset="a"), page("rec2", offset="a")
    with answering(*steps) as (api, _), pytest.raises(UnexpectedPayload, match="leads to a page that was read before"):
        shown(api)


@pytest.mark.parametrize("payload", [{"records": [], "offset": 7}, {"records": [{"fields": {}}]}, {"rows": []}, []])
def test_a_page_of_another_shape_is_refused(payload: Any) -> None:
    where = "records of table app1/tbl1"
    with answering(answer(payload)) as (api, _), pytest.raises(UnexpectedPayload, match=where):
        shown(api)


def test_a_schema_without_a_date_is_refused() -> None:
    with answering(answer({"tables": []})) as (api, _), pytest.raises(UnexpectedPayload, match="no Date"):
        api.schema()
