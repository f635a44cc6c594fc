"""What goes into the mirror comes out of it to the letter, or is refused by name."""

from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dandi_pipeline.canonical import ExactNumber
from dandi_pipeline.errors import UnexpectedPayload
from dandi_pipeline_tests.mirror.records import (
    ASSET,
    DANDISET,
    INSTANT,
    PARTS,
    SOURCE,
    VERSION,
    asset,
    dandiset,
    opened,
    query,
    rows_of,
    store,
    version,
)

HOSTILE = [
    "",
    " ",
    "'; DROP TABLE assets; --",
    'say "hi"',
    "100%",
    "%s %(name)s :name ?",
    "C:\\new\\table\\\\",
    "\\N",
    "\\.",
    "tab\there",
    "line\nbreak\r\nreturn\rend",
    "\x01\x1f\x7f\u0085\u2028\ufeff",
    "naïve façade Ångström",
    "日本語/文件.nwb",
    "🐭" * 100,
    "e\u0301 is not \u00e9",
    "x" * 1_000_000,
]

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def test_hostile_text_survives_in_every_column(mirror_url: str) -> None:
    written = {f"{number}/{text[:500]}": text for number, text in enumerate(HOSTILE)}
    with opened(mirror_url) as mirror:
        store(mirror, *(asset(path, encoding_format=text) for path, text in written.items()))
        assert {key[1] for key in mirror.known(SOURCE, "000003", ASSET)} == set(written)
        assert {change.key: (change.after or {})["encoding_format"] for change in mirror.changes()} == written
    assert {row["path"]: row["encoding_format"] for row in rows_of(mirror_url, "assets")} == written


@pytest.mark.parametrize("text", HOSTILE[:-1])
def test_hostile_text_survives_in_partition_keys_tokens_and_messages(mirror_url: str, text: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, asset("a"), partition=text, token=text)
        mirror.record_failure(SOURCE, text, ["assets"], run_id=text, group=text, message=text)
        state = mirror.states(SOURCE)[text, "assets"]
        assert (state.token, state.run_id, state.error_group, state.error) == (text, text, text, text)


def test_metadata_comes_back_as_it_was_written(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:

        @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
        @given(document=st.dictionaries(st.text(), JSON, max_size=5))
        def check(document: dict[str, Any]) -> None:
            text = orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode()
            with mirror.session(SOURCE, "000003", PARTS) as session:
                session.stage([asset("a", text, metadata=text)])
                session.commit(run_id="run", tokens=dict.fromkeys(PARTS))
            stored = query(mirror_url, "SELECT CAST(metadata AS TEXT) AS stored FROM assets")
            assert stored == [{"stored": text}]
            last = mirror.changes(after=max(0, len(mirror.changes(limit=10_000)) - 1))[-1]
            assert (last.after or {})["metadata"] == orjson.loads(text)

        check()


def test_typed_values_come_back_as_fingerprints(mirror_url: str) -> None:
    moved = "2024-02-29T23:59:59.999999Z"
    with opened(mirror_url) as mirror:
        store(mirror, dandiset(draft_modified=moved), version("0.240229.2359"), asset("a", "h", size=2**63 - 1))
        assert mirror.known(SOURCE, "000003", DANDISET) == {(): ("hash", moved)}
        assert mirror.known(SOURCE, "000003", VERSION) == {("0.240229.2359",): ("hash", INSTANT)}
        assert mirror.known(SOURCE, "000003", ASSET) == {("draft", "a"): ("h", "id of a", INSTANT, 2**63 - 1, None)}


def test_a_fingerprint_equals_the_one_of_the_record_that_was_stored(mirror_url: str) -> None:
    records = [dandiset(), version(), asset("a", sha256="f" * 64)]
    with opened(mirror_url) as mirror:
        store(mirror, *records)
        for record in records:
            assert mirror.known(SOURCE, "000003", record.kind) == {record.key: record.fingerprint}


def test_an_image_holds_the_whole_row_with_its_metadata_nested(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, dandiset(), version(), asset("a", metadata='{"digest":{"x":"\\u0000"},"n":1.50}'))
        images = {change.record: change.after for change in mirror.changes()}
    for kind, table in (("dandiset", "dandisets"), ("version", "versions"), ("asset", "assets")):
        [row] = rows_of(mirror_url, table)
        del row["source"]
        if kind == "asset":
            assert row["metadata"]["n"] == 1.5, "which a reader of the table makes of it"
            row["metadata"]["n"] = ExactNumber("1.50")
        assert images[kind] == row


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (asset("sub-1/a", blob="a\0b"), "NUL character"),
        (asset("sub-1/\0"), "NUL character"),
        (asset("sub-1/a", blob="\ud800"), "no valid Unicode"),
        (asset("sub-1/a", size=2**63), "integer beyond 64 bits"),
        (asset("sub-1/a", size=-(10**400)), "integer beyond 64 bits"),
        (asset("sub-1/" + "é" * 1000), "key of more than 2000 bytes"),
        (asset("sub-1/a", sha256="é" * 1001), "'sha256' of more than 2000 bytes"),
    ],
)
def test_what_no_database_can_hold_is_refused_by_name(mirror_url: str, record: Any, problem: str) -> None:
    with opened(mirror_url) as mirror, mirror.session(SOURCE, "000003", PARTS) as session:
        with pytest.raises(UnexpectedPayload, match=rf"dandi 000003: asset 'draft/sub-1/.*{problem}"):
            session.stage([record])
        with pytest.raises(UnexpectedPayload):
            session.stage_deleted(ASSET, [("draft", "a\0")])


def test_the_longest_allowed_key_can_be_indexed(mirror_url: str) -> None:
    path = "".join(chr(33 + (number * 7919) % 90) for number in range(1990))
    with opened(mirror_url) as mirror:
        store(mirror, asset(path))
        store(mirror, asset(path, "other"))
        assert [change.key for change in mirror.changes()] == [path, path]


def test_the_longest_allowed_values_can_be_indexed(mirror_url: str) -> None:
    endless = Random(0).randbytes(1000).hex()
    with opened(mirror_url) as mirror:
        store(mirror, asset("a", asset_id=endless, sha256=endless, blob=endless))
        mirror.complete()
    assert rows_of(mirror_url, "assets")[0]["blob"] == endless


def test_a_partition_whose_key_is_too_long_for_an_index_is_the_platforms_fault(postgresql_url: str) -> None:
    endless = Random(0).randbytes(50_000).hex()
    with opened(postgresql_url) as mirror, pytest.raises(UnexpectedPayload, match="does not fit its table: index row"):
        store(mirror, asset("a"), partition=endless)


def test_a_record_that_does_not_fit_its_table_is_the_platforms_fault(mirror_url: str) -> None:
    with opened(mirror_url) as mirror, mirror.session(SOURCE, "000003", PARTS) as session:
        session.stage([asset("a", asset_id=None)])
        with pytest.raises(UnexpectedPayload, match="does not fit its table"):
            session.commit(run_id="run", tokens=dict.fromkeys(PARTS))
    assert rows_of(mirror_url, "assets") == []
