"""Parsing leaves the process as it found it."""

import gc

import orjson
import pytest

from dandi_pipeline.http.parsing import parsed


def test_the_collector_is_at_work_again_after_good_and_bad_json() -> None:
    assert parsed(b'{"a": [1]}') == {"a": [1]}
    assert gc.isenabled()
    with pytest.raises(orjson.JSONDecodeError):
        parsed(b'{"a": ')
    assert gc.isenabled()


def test_a_collector_that_was_turned_off_stays_off() -> None:
    gc.disable()
    try:
        parsed(b"[]")
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_collector_rests_meanwhile() -> None:
    body = orjson.dumps([[number] for number in range(100_000)])
    collections: list[str] = []

    def watch(phase: str, _: object) -> None:
        collections.append(phase)

    gc.callbacks.append(watch)
    try:
        parsed(body)
    finally:
        gc.callbacks.remove(watch)
    assert collections.count("start") <= 1
