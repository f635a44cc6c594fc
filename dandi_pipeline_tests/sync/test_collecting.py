"""The collector is patient while anybody syncs, and as it was before when nobody does any more."""

import gc
from contextlib import ExitStack

import orjson

from dandi_pipeline.sync.workers import OBJECTS, rare_collections

PAGE = orjson.dumps([[number] for number in range(OBJECTS // 2)])


def collections_of_parsing() -> int:
    before = gc.get_stats()[0]["collections"]
    parsed = orjson.loads(PAGE)
    assert parsed
    return int(gc.get_stats()[0]["collections"]) - int(before)


def test_a_page_is_parsed_without_a_collection() -> None:
    with rare_collections():
        gc.collect()
        assert collections_of_parsing() == 0
    gc.collect()
    assert collections_of_parsing() > 0


def test_the_last_to_end_leaves_it_as_the_first_found_it() -> None:
    usual = gc.get_threshold()
    first, second = ExitStack(), ExitStack()
    first.enter_context(rare_collections())
    second.enter_context(rare_collections())
    first.close()
    assert gc.get_threshold() == (OBJECTS, *usual[1:])
    second.close()
    assert gc.get_threshold() == usual
