"""Lists end: by number, cursor or Link header, and with an error where a platform always says that there is more."""

from collections.abc import Sequence
from contextlib import closing
from itertools import count
from typing import Any

import pytest

from dandi_pipeline.errors import ConfigurationError, ContractError, UnexpectedPayload
from dandi_pipeline.http import HttpClient, follow, next_link, path, payload
from dandi_pipeline_tests.http.scripted_server import ScriptedServer, answer

Pages = Sequence[tuple[list[Any], Any]]


def followed(pages: Pages, **options: Any) -> tuple[list[Any], int]:
    """Follow a list whose last page comes again and again; return its rows, and how many pages were asked for."""
    asked = count(1)

    def page(_: Any) -> tuple[list[Any], Any]:
        return pages[min(next(asked), len(pages)) - 1]

    rows = [row for page_rows in follow(page, 0, where="list", **options) for row in page_rows]
    return rows, next(asked) - 1


def test_a_list_ends_where_nothing_follows() -> None:
    assert followed([([1, 2], "a"), ([3], "b"), ([], None)]) == ([1, 2, 3], 3)
    assert followed([([], None)]) == ([], 1)


@pytest.mark.parametrize(
    ("pages", "asked"),
    [
        pytest.param([([1], "a"), ([2], "a")], 2, id="the same position"),
        pytest.param([([1], "a"), ([2], "b"), ([3], "a")], 3, id="a position of before"),
        pytest.param([([1], "a"), ([1], "b")], 2, id="the same rows"),
        pytest.param([([1, 2], "a"), ([3], "b"), ([2, 1], "c")], 3, id="rows of before"),
        pytest.param([([1], "a"), ([], "b")], 2, id="no rows"),
        pytest.param([([], "a")], 1, id="no rows at all"),
    ],
)
def test_a_list_without_end_ends_at_the_first_page_that_brings_nothing_new(pages: Pages, asked: int) -> None:
    requests = count(1)

    def page(_: Any) -> tuple[list[Any], Any]:
        return pages[min(next(requests), len(pages)) - 1]

    with pytest.raises(UnexpectedPayload, match=r"^list: after .* rows a page .* does not end"):
        list(follow(page, 0, where="list"))
    assert next(requests) - 1 == asked


def test_empty_pages_are_passed_over_where_a_platform_is_known_to_have_them() -> None:
    assert followed([([1], "a"), ([], "b"), ([], "c"), ([2], None)], empty=2)[0] == [1, 2]
    with pytest.raises(UnexpectedPayload):
        followed([([1], "a"), ([], "b"), ([], "c"), ([2], None)], empty=1)
    with pytest.raises(UnexpectedPayload):
        followed([([1], "a"), ([1], "b"), ([2], None)], empty=2)
    assert followed([([1, 1], "a"), ([1], "b"), ([2], None)], empty=2, repeating=True)[0] == [1, 1, 1, 2]


def test_a_bare_list_is_followed_by_its_link_header() -> None:
    """As GitHub's, GitLab's and many others' are: rows alone in the body, and where they go on in a header."""
    with ScriptedServer([]) as server:
        link = f'<{server.url}/api/rows?page=2&per=1>; rel="next last", <{server.url}/api/rows>; rel="first"'
        server.steps = [
            answer([{"id": 1}], Link=link),
            answer([{"id": 2}], Link=f'<{server.url}/api/rows>; rel="prev"'),
        ]
        with closing(HttpClient(f"{server.url}/api", user_agent="tests")) as client:

            def page(where: str) -> tuple[Sequence[Any], str | None]:
                answered = client.get_json(where)
                return payload.rows(answered.payload, where=answered.where), next_link(answered)

            assert list(follow(page, "rows", where="rows")) == [[{"id": 1}], [{"id": 2}]]
        assert server.targets == ["/api/rows", "/api/rows?page=2&per=1"]


def test_a_link_to_another_host_is_not_followed() -> None:
    elsewhere = answer([{"id": 1}], Link='<https://evil.example/rows>; rel="next"')
    with ScriptedServer([elsewhere]) as server, closing(HttpClient(server.url, user_agent="tests")) as client:
        following = next_link(client.get_json("rows"))
        assert following is not None
        with pytest.raises(ContractError, match="away from"):
            client.get_json(following)


@pytest.mark.parametrize(
    ("payload_given", "told"),
    [({"results": []}, "is an object, expected an array"), ([{}, 3], "has an integer at 1, expected only objects")],
)
def test_what_is_no_list_of_objects_is_told(payload_given: Any, told: str) -> None:
    with pytest.raises(UnexpectedPayload, match=f"^rows: {told}"):
        payload.rows(payload_given, where="rows")


HOSTILE = ("../../evil?x=1", "a/b", "a?b=c", "a#b", "%2e%2e", "a b", "é", "..;/x")


@pytest.mark.parametrize("key", HOSTILE)
def test_a_key_stays_one_segment_of_the_path(key: str) -> None:
    with ScriptedServer([answer({})]) as server, closing(HttpClient(f"{server.url}/api", user_agent="tests")) as client:
        client.get_json(path("boards", key, "items"), {"page": 1})
        (target,) = server.targets
    assert target.startswith("/api/boards/")
    assert target.endswith("/items?page=1")
    assert target.count("/") == 4
    assert "#" not in target


@pytest.mark.parametrize("key", [".", ".."])
def test_a_key_that_no_path_can_name_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError, match="is no key"):
        path("boards", key)


@pytest.mark.parametrize("target", ["../x", "boards/../../evil?x=1", "boards/%2e%2E/x", "boards/./x"])
def test_what_leads_upward_is_never_asked_even_where_a_platform_forgets_to_quote(target: str) -> None:
    with ScriptedServer([answer({})]) as server, closing(HttpClient(f"{server.url}/api", user_agent="tests")) as client:
        for where in (target, f"{server.url}/api/{target}"):
            with pytest.raises(ContractError, match="leads out of"):
                client.get_json(where)
        assert server.targets == []
