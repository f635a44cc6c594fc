"""The choice between full pages, bare pages and single assets, at its break-even points."""

import pytest

from dandi_pipeline.platforms.dandi.plan import (
    BARE_COST,
    FULL_COST,
    MANIFEST_ASSET_COST,
    MANIFEST_COST,
    PAGE_SIZE,
    SINGLE_COST,
    SMALL_PAGES,
    Manner,
    plan_fetching,
    plan_reading,
)


@pytest.mark.parametrize("known", [0, 10, PAGE_SIZE * SMALL_PAGES])
def test_a_small_draft_is_read_in_full_known_or_not(known: int) -> None:
    plan = plan_reading(known=known, listed=PAGE_SIZE * SMALL_PAGES, full=False, fetch=True, manifests=False)
    assert (plan.manner, plan.requests) == (Manner.FULL, SMALL_PAGES)


def test_an_empty_draft_costs_one_page() -> None:
    assert plan_reading(known=0, listed=0, full=False, fetch=True, manifests=False).requests == 1


def test_a_large_known_draft_is_listed_bare() -> None:
    plan = plan_reading(known=60_000, listed=60_000, full=False, fetch=True, manifests=False)
    assert (plan.manner, plan.requests) == (Manner.BARE, 60)


def test_a_large_new_draft_is_read_in_full() -> None:
    assert plan_reading(known=0, listed=60_000, full=False, fetch=True, manifests=False).manner is Manner.FULL


def test_bare_pages_stop_paying_where_too_much_is_unknown() -> None:
    listed = 60_000
    break_even = int(listed * (FULL_COST - BARE_COST) / FULL_COST)
    below = plan_reading(known=listed - break_even + 1_000, listed=listed, full=False, fetch=True, manifests=False)
    above = plan_reading(known=listed - break_even - 1_000, listed=listed, full=False, fetch=True, manifests=False)
    assert (below.manner, above.manner) == (Manner.BARE, Manner.FULL)


def test_a_full_reading_that_was_asked_for_is_never_cheapened() -> None:
    plan = plan_reading(known=0, listed=60_000, full=True, fetch=True, manifests=True)
    assert plan.manner is Manner.FULL


def test_comparing_never_asks_for_metadata() -> None:
    plan = plan_reading(known=0, listed=10, full=True, fetch=False, manifests=True)
    assert plan.manner is Manner.BARE


def test_few_differing_assets_are_fetched_alone_and_many_by_their_page() -> None:
    break_even = int(PAGE_SIZE * FULL_COST / SINGLE_COST)
    few = [f"a{n}" for n in range(break_even)]
    many = [f"b{n}" for n in range(break_even + 1)]
    plan = plan_fetching({1: few, 2: [], 3: many}, {1: PAGE_SIZE, 2: PAGE_SIZE, 3: PAGE_SIZE})
    assert plan.pages == (3,)
    assert plan.singles == tuple(few)
    assert plan.requests == 1 + break_even


def test_a_short_last_page_is_cheaper_to_read_whole() -> None:
    assert plan_fetching({7: ["x", "y"]}, {7: 10}).pages == (7,)


def test_a_first_copy_uses_the_manifest_from_where_one_more_request_pays() -> None:
    break_even = int(MANIFEST_COST / (FULL_COST - BARE_COST - MANIFEST_ASSET_COST))
    few = plan_reading(known=0, listed=break_even, full=False, fetch=True, manifests=True)
    more = plan_reading(known=0, listed=break_even + 1, full=False, fetch=True, manifests=True)
    assert (few.manner, more.manner) == (Manner.FULL, Manner.BULK)
    assert more.requests == 1


def test_a_manifest_is_of_no_use_where_most_is_known() -> None:
    assert plan_reading(known=60, listed=100, full=False, fetch=True, manifests=True).manner is Manner.FULL
