"""The choice among the ways of reading a draft, at its break-even points, and the search for what has left."""

import random

import pytest

from dandi_pipeline.errors import TornRead
from dandi_pipeline.platforms.dandi.plan import (
    FIRST_PAGES,
    FULL_SECONDS,
    PAGE_SIZE,
    PROBE,
    REQUEST_SECONDS,
    Draft,
    ReadStrategy,
    Search,
    cost_of_manifest,
    cost_of_pages,
    cost_of_singles,
    plan_fetching,
    plan_reading,
    plan_search,
)

LARGE = Draft(listed=60_000, known=60_000, recent=0)


@pytest.mark.parametrize("listed", [0, 1, 12, FIRST_PAGES[0]])
def test_a_draft_that_one_small_page_shows_is_read_in_full_known_or_not(listed: int) -> None:
    for draft in (Draft(listed), Draft(listed, known=listed, recent=0)):
        plan = plan_reading(draft)
        assert (plan.manner, plan.cost.requests) == (ReadStrategy.FULL, 1)


@pytest.mark.parametrize("listed", [100, 1_600, 60_000])
def test_a_known_draft_is_read_newest_first(listed: int) -> None:
    plan = plan_reading(Draft(listed, known=listed, recent=0))
    assert (plan.manner, plan.first_pages, plan.cost.requests) == (ReadStrategy.NEWEST, FIRST_PAGES, 1)


def test_what_was_not_stored_under_a_token_is_listed_whole() -> None:
    assert plan_reading(Draft(60_000, known=60_000)).manner is ReadStrategy.BARE


@pytest.mark.parametrize(
    ("expected", "first_pages"), [(20, (20, 100)), (21, (100,)), (100, (100,)), (101, ()), (3_000, ())]
)
def test_the_first_page_is_as_large_as_what_is_expected(expected: int, first_pages: tuple[int, ...]) -> None:
    plan = plan_reading(Draft(60_000, known=60_000, recent=expected - 10))
    assert (plan.manner, plan.first_pages) == (ReadStrategy.NEWEST, first_pages)
    assert plan.bare_pages == 2 + (expected > PAGE_SIZE) * 2


def test_a_draft_that_was_new_a_moment_ago_is_listed_whole() -> None:
    """Newest first would show nearly all of it again, and could not tell what has left."""
    assert plan_reading(Draft(60_000, known=60_000, recent=59_000)).manner is ReadStrategy.BARE


def test_newest_first_weighs_what_it_cannot_see() -> None:
    assert plan_reading(Draft(1_000, known=1_000, recent=0, undigested=900)).manner is ReadStrategy.FULL


def test_a_large_new_draft_is_read_in_full() -> None:
    assert plan_reading(Draft(60_000)).manner is ReadStrategy.FULL


def test_bare_pages_stop_paying_where_too_much_is_unknown() -> None:
    assert plan_reading(Draft(60_000, known=20_000)).manner is ReadStrategy.BARE
    assert plan_reading(Draft(60_000, known=2_000)).manner is ReadStrategy.FULL


def test_a_full_reading_that_was_asked_for_is_never_cheapened() -> None:
    for draft in (Draft(60_000), LARGE):
        assert plan_reading(draft, full=True, manifests=True).manner is ReadStrategy.FULL


def test_comparing_asks_for_metadata_of_no_whole_draft() -> None:
    assert plan_reading(Draft(10), full=True, fetch=False, manifests=True).manner is ReadStrategy.BARE
    assert plan_reading(LARGE, fetch=False).manner is ReadStrategy.NEWEST


def test_a_first_copy_uses_the_manifest_from_where_one_more_request_pays() -> None:
    def of(listed: int) -> ReadStrategy:
        return plan_reading(Draft(listed), manifests=True).manner

    break_even = next(listed for listed in range(PAGE_SIZE) if of(listed) is ReadStrategy.BULK)
    pages = cost_of_pages(break_even, PAGE_SIZE, metadata=False)
    full = cost_of_pages(break_even, PAGE_SIZE, metadata=True)
    assert (pages + cost_of_manifest(break_even)).weight < full.weight
    assert 5 < break_even < 20
    assert [of(break_even - 1), of(PAGE_SIZE)] == [ReadStrategy.FULL, ReadStrategy.BULK]


def test_a_manifest_is_of_no_use_where_most_is_known() -> None:
    assert plan_reading(Draft(100, known=60), manifests=True).manner is not ReadStrategy.BULK


def test_few_differing_assets_are_fetched_alone_and_many_by_their_page() -> None:
    whole = cost_of_pages(PAGE_SIZE, PAGE_SIZE, metadata=True)
    break_even = int(whole.weight / cost_of_singles(1).weight)
    few = [f"a{n}" for n in range(break_even)]
    many = [f"b{n}" for n in range(break_even + 1)]
    plan = plan_fetching({1: few, 2: [], 3: many}, {1: PAGE_SIZE, 2: PAGE_SIZE, 3: PAGE_SIZE})
    assert plan.pages == (3,)
    assert plan.singles == tuple(few)
    assert plan.cost.requests == 1 + break_even


def test_a_short_last_page_is_cheaper_to_read_whole() -> None:
    assert plan_fetching({7: ["x", "y"]}, {7: 10}).pages == (7,)


def test_costs_are_of_the_order_that_was_measured() -> None:
    """Seconds of the server: a full page of 1,000, a bare one, the newest 20 in full."""
    measured = {(1_000, True): 0.54, (1_000, False): 0.092, (100, False): 0.027, (100, True): 0.065, (20, True): 0.025}
    for (rows, metadata), seconds in measured.items():
        cost = cost_of_pages(rows, PAGE_SIZE, metadata=metadata)
        assert cost.server_seconds == pytest.approx(seconds, rel=0.3)
    assert cost_of_singles(1).server_seconds == REQUEST_SECONDS + FULL_SECONDS


# What has left


def test_what_has_left_is_searched_for_only_while_that_is_cheaper_than_listing_the_rest() -> None:
    assert plan_search(1, 60_000) == PROBE
    assert plan_search(1, 900) is None
    assert plan_search(1_000, 60_000) is None


@pytest.mark.parametrize("seed", range(60))
def test_the_search_finds_exactly_what_has_left(seed: int) -> None:
    chance = random.Random(seed)
    paths = sorted({f"{chance.getrandbits(40):010x}" for _ in range(chance.choice([1, 7, 40, 333]))})
    gone = set(chance.sample(paths, min(len(paths), chance.choice([1, 1, 2, 5, len(paths)]))))
    listed = [path for path in paths if path not in gone]
    search, probes = Search(paths, len(listed), chance.choice([1, 4, 10])), 0
    while number := search.next_page():
        page = listed[(number - 1) * search.size : number * search.size]
        search.take(number, [paths.index(path) for path in page], where="page")
        probes += 1
    assert search.gone == gone
    assert probes <= search.pages


def test_one_that_has_left_is_found_by_halving() -> None:
    paths = [f"{n:05d}" for n in range(60_000)]
    listed = paths[:41_234] + paths[41_235:]
    search, probes = Search(paths, len(listed), PROBE), 0
    while number := search.next_page():
        first = (number - 1) * PROBE
        search.take(number, [int(path) for path in listed[first : first + PROBE]], where="page")
        probes += 1
    assert search.gone == {"41234"}
    assert probes <= 11


def test_pages_that_are_not_in_order_end_the_search() -> None:
    search = Search(list("abcdefgh"), 6, 2)
    with pytest.raises(TornRead, match="not in order"):
        search.take(2, [3, 2], where="page")
