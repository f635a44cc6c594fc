"""What a platform has from `ItemsPlatform`: a consistent reading or none, a rate for each token, clear refusals."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
from pydantic import Field

from dandi_pipeline.errors import ConfigurationError, ContractError, CredentialRejected, TornRead, WrongAddress
from dandi_pipeline.http import LocalBudgets, RateBudget, RateLimit, path
from dandi_pipeline.http.payload import mappings, text
from dandi_pipeline.instants import moment_of
from dandi_pipeline.model import Complete, Hidden, Listed, Observed, ReadRequest, Record, Settled
from dandi_pipeline.platforms.items import ITEM, ITEMS, Columns, ItemsPlatform, ItemsSettings, Json, items_of, token_of
from dandi_pipeline.settings import EnvironmentName, Settings, Source
from dandi_pipeline.sync.workers import RequestWorkers
from dandi_pipeline_tests.http.scripted_server import ScriptedServer, Step, answer

SHELF = {"id": "s1", "title": "Shelf", "updated_at": "2026-03-01T09:00:00Z", "books": 2}
BOOKS = [{"id": "b1", "lent": "2026-03-01T10:00:00+01:00"}, {"id": "b2", "lent": "last week", "pages": 12}]


class LibrarySettings(ItemsSettings):
    """A library that allows three requests a second."""

    RATE = 3
    token_env: EnvironmentName = Field(default="LIBRARY_TOKEN", description="The NAME of the token's variable")


class Library(ItemsPlatform):
    """Shelves of books, all on one page, unless it is so careless as to ask for page after page."""

    turns_pages_for_ever = False

    description = items_of("library", partition_noun="shelf")
    columns: ClassVar[Columns] = {"lent": "instant", "pages": "integer"}

    def partitions(self) -> Iterator[Listed]:
        yield from map(listed, mappings(self.client.get_json("shelves").payload, "results", where="shelves"))
        while self.turns_pages_for_ever:
            yield from map(listed, mappings(self.client.get_json("shelves").payload, "results", where="shelves"))

    def partition(self, key: str) -> Listed:
        return listed(self.client.get_json(path("shelves", key)).payload)

    def pages(self, listed: Listed) -> Iterator[Sequence[Record]]:
        while True:
            rows = mappings(
                self.client.get_json(path("shelves", listed.key, "books")).payload, "results", where="books"
            )
            yield [self.item(row, key=text(row, "id", where="a book")) for row in rows]
            if not self.turns_pages_for_ever:
                return


def listed(row: Json) -> Listed:
    return Listed(row["id"], token_of(row), row["title"], moment_of(row["updated_at"]), row["books"], row)


class NotedBudgets:
    """Hands out budgets, and notes for which limits."""

    def __init__(self) -> None:
        self.limits: list[RateLimit] = []

    def budget(self, *limits: RateLimit) -> RateBudget:
        self.limits += limits
        return LocalBudgets().budget()


@contextmanager
def library(*steps: Step) -> Iterator[Library]:
    """Open a library that answers as scripted."""
    with ScriptedServer(steps) as server, closing(opened(server.url)) as platform:
        yield platform


def opened(url: str, budgets: NotedBudgets | None = None, **environ: str) -> Library:
    source = Source(alias="library", platform="library", settings=LibrarySettings(api_url=url))
    return Library.open(source, Settings.from_environment(environ, Path("/nowhere")), budgets or NotedBudgets())


def read(platform: Library) -> list[Any]:
    with RequestWorkers(1) as workers, workers.share() as share:
        return list(platform.read(listed(SHELF), ReadRequest([ITEMS], {"item": {}}, {ITEMS: None}, share)))


def test_a_reading_is_settled_under_the_token_that_held_before_and_after_it() -> None:
    with library(answer({"results": BOOKS}), answer(SHELF)) as platform:
        *_, observed, complete, settled = read(platform)
    assert isinstance(observed, Observed)
    assert (complete, settled) == (Complete(ITEM), Settled(token_of(SHELF), (ITEMS,)))


def test_an_item_keeps_its_json_to_the_letter_and_its_cells_as_they_are_read() -> None:
    with library(answer({"results": BOOKS}), answer(SHELF)) as platform:
        (observed,) = [each for each in read(platform) if isinstance(each, Observed)]
    first, second = observed.records
    assert [orjson.loads(record.metadata or "") for record in (first, second)] == BOOKS
    assert orjson.loads(str(first.columns["cells"])) == {"lent": "2026-03-01T09:00:00.000000Z"}
    assert orjson.loads(str(second.columns["cells"])) == {"lent": "last week", "pages": 12}


@pytest.mark.parametrize(
    ("books", "afterwards"),
    [
        pytest.param(BOOKS, answer({**SHELF, "updated_at": "2026-03-01T09:00:01Z"}), id="edited meanwhile"),
        pytest.param(BOOKS, answer({"error": "not there"}, status=404), id="gone meanwhile"),
        pytest.param(BOOKS, answer(status=403), id="hidden meanwhile"),
        pytest.param(BOOKS[:1], answer(SHELF), id="one too few"),
    ],
)
def test_a_torn_reading_is_never_complete(books: list[Any], afterwards: Step) -> None:
    with library(answer({"results": books}), afterwards) as platform, pytest.raises(TornRead):
        read(platform)


@pytest.mark.parametrize("body", [b"<h1>Not Found</h1>", b"null", b""])
def test_a_404_that_is_no_answer_of_the_api_is_no_partition_gone(body: bytes) -> None:
    with library(answer(status=404, body=body)) as platform, pytest.raises(WrongAddress):
        platform.look_up("s1")


def test_a_list_that_shifts_while_it_is_read_is_read_again() -> None:
    with library(answer({"results": [SHELF, SHELF]}), answer({"results": [SHELF]})) as platform:
        assert [each.key for each in platform.list_partitions()] == ["s1"]
    with library(answer({"results": [SHELF, SHELF]})) as platform, pytest.raises(ContractError, match="shelf twice"):
        platform.list_partitions()


def test_what_is_refused_is_hidden_and_a_refused_token_is_named_by_its_variable() -> None:
    with library(answer(status=403)) as platform:
        assert platform.look_up("s1") == Hidden("s1")
    with library(answer(status=401)) as platform, pytest.raises(CredentialRejected, match="from LIBRARY_TOKEN"):
        platform.look_up("s1")


def test_a_key_is_some_text() -> None:
    with library(answer()) as platform:
        assert platform.partition_key(" s1 ") == "s1"
        with pytest.raises(ConfigurationError, match="is not a shelf"):
            platform.partition_key(" ")


def test_the_rate_is_shared_by_those_with_the_same_token_which_it_does_not_tell() -> None:
    budgets = NotedBudgets()
    for token in ("secret-1", "secret-1", "secret-2"):
        opened("http://127.0.0.1:9", budgets, LIBRARY_TOKEN=token).close()
    first, second, third = budgets.limits
    assert first == second != third
    assert (first.requests, first.seconds) == (3, 1)
    assert "secret" not in first.key


@pytest.mark.parametrize("books", [BOOKS, []])
def test_a_platform_that_turns_pages_for_ever_reads_none_twice(books: list[Any]) -> None:
    with library(answer({"results": books})) as platform:
        platform.turns_pages_for_ever = True
        with pytest.raises(ContractError, match="brings nothing new"):
            read(platform)


def test_a_platform_that_lists_for_ever_shows_none_twice() -> None:
    with library(answer({"results": [SHELF]})) as platform:
        platform.turns_pages_for_ever = True
        with pytest.raises(ContractError, match="shelf twice"):
            platform.list_partitions()
