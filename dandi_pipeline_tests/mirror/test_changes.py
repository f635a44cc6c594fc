"""The change feed and the counts tell exactly what happened, whatever happened."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dandi_pipeline.mirror import Change, Counts, Mirror
from dandi_pipeline.model import Key, Record, RecordKind
from dandi_pipeline_tests.mirror.records import (
    ASSET,
    DANDISET,
    FRESH,
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

PUBLISHED = "0.240229.2359"
TABLES = {"dandiset": "dandisets", "version": "versions", "asset": "assets"}
KINDS = (DANDISET, VERSION, ASSET)


def test_each_kind_of_change_is_counted_by_itself(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, asset("same"), asset("edited"), asset("moved"), asset("gone"))
        with mirror.session(SOURCE, "000003", PARTS) as session:
            session.stage([asset("new"), asset("edited", "other"), asset("moved", asset_id="another"), asset("same")])
            session.stage_deleted(ASSET, [("draft", "gone"), ("draft", "never was")])
            counts = session.commit(run_id="run", tokens=FRESH)
    assert counts == {"asset": Counts(inserted=1, updated=1, deleted=1, touched=1)}


def test_an_unchanged_record_is_never_rewritten(postgresql_url: str) -> None:
    with opened(postgresql_url) as mirror:
        store(mirror, asset("a"))
        before = query(postgresql_url, "SELECT CAST(xmin AS TEXT) AS written FROM assets")
        store(mirror, asset("a"))
    assert query(postgresql_url, "SELECT CAST(xmin AS TEXT) AS written FROM assets") == before


def test_a_touched_record_is_stored_without_an_entry_in_the_feed(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, dandiset(), asset("a"))
        store(mirror, dandiset(draft_modified="2025-01-01T00:00:00.000000Z"), asset("a", asset_id="another"))
        assert [change.kind for change in mirror.changes()] == ["insert", "insert"]
        assert mirror.known(SOURCE, "000003", DANDISET) == {(): ("hash", "2025-01-01T00:00:00.000000Z")}
    assert [row["asset_id"] for row in rows_of(mirror_url, "assets")] == ["another"]


def test_the_record_staged_last_counts(mirror_url: str) -> None:
    with opened(mirror_url) as mirror, mirror.session(SOURCE, "000003", PARTS) as session:
        session.stage([dandiset("1"), asset("a", "1"), asset("a", "2")])
        session.stage([asset("a", "3"), dandiset("2")])
        assert session.commit(run_id="run", tokens=FRESH) == {
            "dandiset": Counts(inserted=1),
            "asset": Counts(inserted=1),
        }
        assert mirror.known(SOURCE, "000003", ASSET)["draft", "a"][0] == "3"
        assert mirror.known(SOURCE, "000003", DANDISET)[()][0] == "2"


def test_a_key_names_its_version_unless_that_is_the_draft(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, dandiset(), version(PUBLISHED), asset("sub/a"), asset("sub/a", version=PUBLISHED))
        assert {(change.record, change.key) for change in mirror.changes()} == {
            ("dandiset", "000003"),
            ("version", PUBLISHED),
            ("asset", "sub/a"),
            ("asset", f"{PUBLISHED}/sub/a"),
        }


def test_records_whose_feed_keys_look_alike_are_told_apart(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, asset("a", "1", version=PUBLISHED), asset(f"{PUBLISHED}/a", "2"))
        store(mirror, asset(f"{PUBLISHED}/a", "3"))
        store(mirror, asset("a", "4", version=PUBLISHED))
        after = [((change.after or {})["version"], (change.after or {})["content_hash"]) for change in mirror.changes()]
    assert sorted(after) == [(PUBLISHED, "1"), (PUBLISHED, "4"), ("draft", "2"), ("draft", "3")]


def test_what_was_deleted_stays_readable(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, asset("a", metadata='{"species":"mouse"}'))
        with mirror.session(SOURCE, "000003", PARTS) as session:
            session.stage_deleted(ASSET, [("draft", "a")])
            session.commit(run_id="cleaning", tokens=FRESH)
        last = mirror.changes()[-1]
    assert (last.kind, last.run_id, last.after) == ("delete", "cleaning", None)
    assert (last.before or {})["metadata"] == {"species": "mouse"}


def test_a_first_copy_stores_no_metadata_twice(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, dandiset(), version(), asset("a"))
    assert query(mirror_url, "SELECT count(*) AS images FROM change_log WHERE before IS NOT NULL") == [{"images": 0}]


def test_a_reader_resumes_where_it_stopped_and_sees_one_source(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, asset("a"), asset("b"))
        with mirror.session("sandbox", "000003", PARTS) as session:
            session.stage([asset("c")])
            session.commit(run_id="run", tokens=FRESH)
        [first] = mirror.changes(limit=1)
        rest = mirror.changes(after=first.sequence)
        assert [change.source for change in rest] == [SOURCE, "sandbox"]
        assert [change.key for change in mirror.changes(source="sandbox")] == ["c"]


# -- any history ------------------------------------------------------------------------------------------------------

paths = st.sampled_from(["a", "b", "c"])
hashes = st.sampled_from(["1", "2"])
beside = st.sampled_from(["x", "y"])

staged = st.one_of(
    st.builds(lambda content, name: dandiset(content, name=name), hashes, beside),
    st.builds(
        lambda name, content, doi: version(name, content, doi=doi),
        st.sampled_from(["draft", PUBLISHED]),
        hashes,
        beside,
    ),
    st.builds(
        lambda path, content, name, blob: asset(path, content, version=name, blob=blob),
        paths,
        hashes,
        st.sampled_from(["draft", PUBLISHED]),
        beside,
    ),
)
deleted = st.one_of(
    st.tuples(st.just(VERSION), st.sampled_from([("draft",), (PUBLISHED,)])),
    st.tuples(st.just(ASSET), st.tuples(st.sampled_from(["draft", PUBLISHED]), paths)),
    st.tuples(st.just(DANDISET), st.just(())),
)
sessions = st.tuples(
    st.lists(staged, max_size=8),
    st.lists(deleted, max_size=4),
    st.sampled_from(["commit"] * 6 + ["discard", "hide", "remove"]),
)


@dataclass
class Expected:
    """What a partition must hold and what a session must count: the same rules, over plain dictionaries."""

    records: dict[tuple[str, Key], Record] = field(default_factory=dict)
    hidden: bool = False

    def commit(self, records: list[Record], gone: list[tuple[RecordKind, Key]]) -> dict[str, Counts]:
        counts = {kind.name: Counts() for kind in KINDS}
        shown = self.hidden and ("dandiset", ()) in self.records and (DANDISET, ()) not in gone
        self.hidden = False
        for kind, key in set(gone):
            if self.records.pop((kind.name, key), None):
                counts[kind.name] += Counts(deleted=1)
        for (kind_name, key), record in {(record.kind.name, record.key): record for record in records}.items():
            counts[kind_name] += _difference(self.records.get((kind_name, key)), record)
            self.records[kind_name, key] = record
        if shown:
            counts["dandiset"] = Counts(updated=1)
        return _counted(counts)

    def hide(self) -> dict[str, Counts]:
        shown = not self.hidden and ("dandiset", ()) in self.records
        self.hidden = True
        return {"dandiset": Counts(updated=1)} if shown else {}

    def remove(self) -> dict[str, Counts]:
        counts = {kind.name: Counts() for kind in KINDS}
        for kind_name, _ in self.records:
            counts[kind_name] += Counts(deleted=1)
        self.records.clear()
        self.hidden = False
        return _counted(counts)


def _difference(old: Record | None, new: Record) -> Counts:
    if old is None:
        return Counts(inserted=1)
    if old.content_hash != new.content_hash:
        return Counts(updated=1)
    return Counts(touched=int(old.columns != new.columns))


def _counted(counts: dict[str, Counts]) -> dict[str, Counts]:
    return {kind: count for kind, count in counts.items() if count != Counts()}


def test_any_history_replays_from_the_feed_to_the_present(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:

        @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(history=st.lists(sessions, min_size=1, max_size=6))
        def check(history: list[tuple[list[Record], list[tuple[RecordKind, Key]], str]]) -> None:
            partition = uuid.uuid4().hex
            start = max((change.sequence for change in mirror.changes(limit=100_000)), default=0)
            expected = Expected()
            for records, gone, ending in history:
                _run(mirror, partition, expected, records, gone, ending)
            changes = mirror.changes(after=start, limit=100_000)
            _assert_each_image_follows_from_the_last(changes)
            tables = _present(mirror_url, partition)
            assert _fold(changes) == tables
            assert set(tables) == set(expected.records)
            for identity, record in expected.records.items():
                _assert_row_is_of(tables[identity], record, visible=not expected.hidden)
            _assert_states_count_the_rows(mirror, partition, tables)

        check()


def _run(
    mirror: Mirror,
    partition: str,
    expected: Expected,
    records: list[Record],
    gone: list[tuple[RecordKind, Key]],
    ending: str,
) -> None:
    with mirror.session(SOURCE, partition, PARTS) as session:
        session.stage(records)
        for kind, key in gone:
            session.stage_deleted(kind, [key])
        if ending == "commit":
            counts = session.commit(run_id="run", tokens=FRESH)
            assert _counted(dict(counts)) == expected.commit(records, gone)
        elif ending == "hide":
            assert session.hide(run_id="run") == expected.hide()
        elif ending == "remove":
            assert session.remove(run_id="run") == expected.remove()
        else:
            session.discard()


def _identity(kind: str, row: dict[str, Any]) -> tuple[str, Key]:
    columns = {"dandiset": (), "version": ("version",), "asset": ("version", "path")}[kind]
    return kind, tuple(row[column] for column in columns)


def _fold(changes: Iterable[Change]) -> dict[tuple[str, Key], dict[str, Any]]:
    present: dict[tuple[str, Key], dict[str, Any]] = {}
    for change in changes:
        if change.after is None:
            del present[_identity(change.record, change.before or {})]
        else:
            present[_identity(change.record, change.after)] = change.after
    return present


def _present(url: str, partition: str) -> dict[tuple[str, Key], dict[str, Any]]:
    present = {}
    for kind, table in TABLES.items():
        for row in rows_of(url, table, partition=partition):
            del row["source"]
            present[_identity(kind, row)] = row
    return present


def _assert_each_image_follows_from_the_last(changes: Iterable[Change]) -> None:
    last: dict[tuple[str, Key], dict[str, Any] | None] = {}
    for change in changes:
        identity = _identity(change.record, change.after or change.before or {})
        assert change.before == last.get(identity)
        assert change.kind == _kind_of(change)
        last[identity] = change.after


def _kind_of(change: Change) -> str:
    if change.before is None:
        return "insert"
    return "delete" if change.after is None else "update"


def _assert_row_is_of(row: dict[str, Any], record: Record, *, visible: bool) -> None:
    shown = {**record.columns, "visible": visible} if record.kind == DANDISET else record.columns
    assert {name: row[name] for name in shown} == shown
    assert row["content_hash"] == record.content_hash


def _assert_states_count_the_rows(
    mirror: Mirror, partition: str, tables: dict[tuple[str, Key], dict[str, Any]]
) -> None:
    states = mirror.states(SOURCE)
    for part in PARTS:
        rows = [kind for kind in KINDS if kind.part == part for name, _ in tables if name == kind.name]
        state = states.get((partition, part))
        assert (state.records if state else 0) == len(rows)
