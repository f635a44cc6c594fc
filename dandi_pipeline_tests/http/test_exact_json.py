"""JSON comes out as it went in, whatever Python's numbers and texts can hold."""

import gzip
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dandi_pipeline.canonical import MOST_LEVELS, ExactNumber, NotJson, canonical, decoder, parsed
from dandi_pipeline.errors import UnexpectedPayload
from dandi_pipeline.http import HttpClient, Limits
from dandi_pipeline_tests.http.scripted_server import ScriptedServer, answer

NUMBERS = [
    *("0", "-0", "-0.0", "0.0", "1", "1.0", "1.10", "1e5", "1E5", "1e+5", "1e-07", "1e400", "-1e400", "1e-400", "1e22"),
    *("0.1", "0.30000000000000004", "9007199254740993.0", "9223372036854775808", "-9223372036854775809"),
    *("18446744073709551616", "123456789012345678901234567890", "9" * 5_000),
]

TEXTS = [r'"\ud83d"', r'"a\udc2db"', r'"\udc2d\ud83d"', r'"\u0000"', r'"\\ud83d"', r'"\"\\\u001f"', '"🐭é\u2028\x7f"']

NESTED = ["[" * depth + "1" + "]" * depth for depth in (254, 255, 300, MOST_LEVELS)]
NESTED += ['{"a":' * MOST_LEVELS + "1" + "}" * MOST_LEVELS]


@pytest.mark.parametrize("text", [*NUMBERS, *TEXTS, *NESTED], ids=lambda text: text[:40])
def test_a_value_is_spelled_as_it_came(text: str) -> None:
    assert canonical(parsed(text.encode())).decode() == text
    assert canonical(decoder().decode(text)).decode() == text
    if len(text) < MOST_LEVELS:
        assert canonical(parsed(f'{{"b": [{text}], "a": 1}}'.encode())).decode() == f'{{"a":1,"b":[{text}]}}'


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_both_readers_and_both_writers_agree_where_nothing_is_lost(value: object) -> None:
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    assert canonical(parsed(text)) == text
    assert canonical(parsed(b" " + text)) == text, "the exact reader"
    exact = canonical([value, ExactNumber("1.10")])
    assert exact == b"[" + text + b",1.10]", "the exact writer"


@given(
    st.recursive(st.none() | st.text(st.characters()), lambda inner: st.dictionaries(st.text(st.characters()), inner))
)
def test_any_text_survives_half_surrogates_included(value: object) -> None:
    assert parsed(canonical(value)) == parsed(json.dumps(value).encode()) == value


def test_numbers_that_python_spells_alike_are_numbers() -> None:
    assert parsed(b"[1, 1.5, 1.50, -0, 123456789012345678901]") == [
        1,
        1.5,
        ExactNumber("1.50"),
        ExactNumber("-0"),
        123456789012345678901,
    ]


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert parsed(b'\xef\xbb\xbf{"a":1}') == {"a": 1}


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a":1', b"01", b"1 2", b"\xff", b'{"a":1e}'])
def test_what_is_no_json_is_told_apart(body: bytes) -> None:
    with pytest.raises(NotJson):
        parsed(body)


def test_what_the_mirror_cannot_keep_is_refused_by_name() -> None:
    deep = b"[" * (MOST_LEVELS + 1) + b"]" * (MOST_LEVELS + 1)
    with pytest.raises(UnexpectedPayload, match="asset 'a': nests deeper than 500 levels"):
        canonical(parsed(deep), where="asset 'a'")
    with pytest.raises(UnexpectedPayload, match="asset 'a': holds NaN"):
        canonical(parsed(b'{"x":NaN}'), where="asset 'a'")
    with pytest.raises(UnexpectedPayload, match="nests deeper than can be read"):
        parsed(b"[" * 100_000)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "X-GZIP"])
def test_both_names_of_gzip_are_taken(encoding: str) -> None:
    body = answer(body=gzip.compress(b"\xef\xbb\xbf[1e400]"), Content_Encoding=encoding)
    with ScriptedServer([body]) as server, HttpClient(server.url, user_agent="tests") as client:
        assert client.get_json("x").payload == [ExactNumber("1e400")]


@pytest.mark.parametrize("body", [b"[" * 5_000 + b"]" * 5_000])
def test_what_nests_too_deep_is_asked_for_once(body: bytes) -> None:
    limits = Limits(attempts=3, first_backoff=0.01)
    with ScriptedServer([answer(body=body)]) as server, HttpClient(server.url, user_agent="t", limits=limits) as client:
        with pytest.raises(UnexpectedPayload, match=r"/x: nests deeper than can be read"):
            client.get_json("x")
        assert client.traffic.requests == 1
