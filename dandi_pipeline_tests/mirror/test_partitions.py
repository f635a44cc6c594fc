"""What the mirror remembers of a partition: fresh, stale, hidden, failed, gone."""

from datetime import datetime, timedelta, timezone

import pytest

from dandi_pipeline.mirror import HIDDEN_TOKEN, Counts
from dandi_pipeline_tests.mirror.records import (
    ASSET,
    DANDISET,
    FRESH,
    PARTS,
    SOURCE,
    asset,
    dandiset,
    opened,
    query,
    rows_of,
    store,
    version,
)


def test_a_commit_stores_the_token_beside_the_rows(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        with mirror.session(SOURCE, "000003", PARTS) as session:
            assert session.states == {"dandisets": None, "assets": None}
            session.stage([dandiset(), version(), asset("a")])
            session.commit(run_id="run-1", tokens={"dandisets": "t1", "assets": "t2"})
        states = mirror.states(SOURCE)
    assert {key: (state.token, state.records, state.run_id) for key, state in states.items()} == {
        ("000003", "dandisets"): ("t1", 2, "run-1"),
        ("000003", "assets"): ("t2", 1, "run-1"),
    }
    synced_at = states["000003", "assets"].synced_at
    assert synced_at is not None
    assert abs(datetime.now(timezone.utc) - synced_at) < timedelta(minutes=1)


def test_a_commit_with_nothing_staged_still_stores_the_token(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, asset("a"), token="old")
        store(mirror, token="new")
        state = mirror.states(SOURCE)["000003", "assets"]
        assert (state.token, state.records) == ("new", 1)
        assert len(mirror.changes()) == 1


def test_a_commit_without_a_token_leaves_the_partition_stale(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, asset("a"))
        synced_at = mirror.states(SOURCE)["000003", "assets"].synced_at
        with mirror.session(SOURCE, "000003", PARTS) as session:
            session.stage([asset("b")])
            session.commit(run_id="run", tokens=dict.fromkeys(PARTS))
        state = mirror.states(SOURCE)["000003", "assets"]
    assert (state.token, state.records, state.synced_at) == (None, 2, synced_at)


def test_tokens_must_be_for_the_parts_of_the_session(mirror_url: str) -> None:
    with (
        opened(mirror_url) as mirror,
        mirror.session(SOURCE, "000003", ["assets"]) as session,
        pytest.raises(ValueError, match="tokens are for"),
    ):
        session.commit(run_id="run", tokens=FRESH)


def test_a_session_can_commit_more_than_once(mirror_url: str) -> None:
    with opened(mirror_url) as mirror, mirror.session(SOURCE, "000003", PARTS) as session:
        for path in ("a", "b"):
            session.stage([asset(path)])
            assert session.commit(run_id="run", tokens=FRESH) == {"asset": Counts(inserted=1)}
        state = session.states["assets"]
        assert state is not None
        assert (state.token, state.records) == ("token", 2)


def test_what_was_discarded_is_not_committed(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, asset("a"))
        with mirror.session(SOURCE, "000003", PARTS) as session:
            session.stage([asset("torn")])
            session.stage_deleted(ASSET, [("draft", "a")])
            session.discard()
            session.stage([asset("b")])
            assert session.commit(run_id="run", tokens=FRESH) == {"asset": Counts(inserted=1)}
    assert [row["path"] for row in rows_of(mirror_url, "assets")] == ["a", "b"]


def test_a_failure_is_remembered_and_the_token_stays(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, asset("a"))
        for attempt in (1, 2):
            message = f"no answer, attempt {attempt}"
            mirror.record_failure(SOURCE, "000003", ["assets"], run_id="run-2", group="transient", message=message)
        states = mirror.states(SOURCE)
        failed = states["000003", "assets"]
        assert (failed.token, failed.records, failed.attempts) == ("token", 1, 2)
        assert (failed.error_group, failed.error) == ("transient", "no answer, attempt 2")
        assert failed.failed_at is not None
        assert failed.failed_at.tzinfo is not None
        assert states["000003", "dandisets"].attempts == 0


def test_a_partition_that_only_ever_failed_has_a_state_without_token(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        mirror.record_failure(SOURCE, "000003", ["assets"], run_id="run", group="contract", message="no 'path'")
        state = mirror.states(SOURCE)["000003", "assets"]
    assert (state.token, state.generation, state.records, state.synced_at) == (None, 0, 0, None)


@pytest.mark.parametrize("clear_failure", [True, False])
def test_a_success_clears_the_failure_unless_told_otherwise(mirror_url: str, clear_failure: bool) -> None:
    with opened(mirror_url) as mirror:
        mirror.record_failure(SOURCE, "000003", PARTS, run_id="run", group="transient", message="no answer")
        with mirror.session(SOURCE, "000003", PARTS) as session:
            session.commit(run_id="run", tokens=FRESH, clear_failure=clear_failure)
        state = mirror.states(SOURCE)["000003", "assets"]
    if clear_failure:
        assert (state.attempts, state.failed_at, state.error_group, state.error) == (0, None, None, None)
    else:
        assert (state.attempts, state.error_group, state.error) == (1, "transient", "no answer")


def test_a_hidden_partition_keeps_its_rows_and_says_so(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, dandiset(), asset("a"))
        with mirror.session(SOURCE, "000003", PARTS) as session:
            session.stage([asset("half read")])
            assert session.hide(run_id="hiding") == {"dandiset": Counts(updated=1)}
            assert session.hide(run_id="again") == {}
        assert [row["visible"] for row in rows_of(mirror_url, "dandisets")] == [False]
        assert [row["path"] for row in rows_of(mirror_url, "assets")] == ["a"]
        assert {(state.token, state.visible) for state in mirror.states(SOURCE).values()} == {(HIDDEN_TOKEN, False)}
        last = mirror.changes()[-1]
    assert (last.record, last.kind, last.run_id) == ("dandiset", "update", "hiding")
    assert ((last.before or {})["visible"], (last.after or {})["visible"]) == (True, False)


def test_a_partition_that_is_shown_again_with_the_same_content_is_visible_again(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, dandiset(), asset("a"))
        with mirror.session(SOURCE, "000003", PARTS) as session:
            session.hide(run_id="hiding")
        with mirror.session(SOURCE, "000003", PARTS) as session:
            assert session.known(DANDISET) == {(): dandiset().fingerprint}
            assert session.commit(run_id="showing", tokens=FRESH) == {"dandiset": Counts(updated=1)}
        assert [row["visible"] for row in rows_of(mirror_url, "dandisets")] == [True]
        assert {state.visible for state in mirror.states(SOURCE).values()} == {True}
        assert (mirror.changes()[-1].after or {})["visible"] is True


@pytest.mark.parametrize("content", ["hash", "other"])
def test_being_shown_again_with_something_else_moved_is_one_change(mirror_url: str, content: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, dandiset("hash"))
        with mirror.session(SOURCE, "000003", PARTS) as session:
            session.hide(run_id="hiding")
            session.stage([dandiset(content, name="Renamed")])
            assert session.commit(run_id="showing", tokens=FRESH) == {"dandiset": Counts(updated=1)}
        last = mirror.changes()[-1]
    assert ((last.before or {})["visible"], (last.after or {})["visible"]) == (False, True)
    assert (last.after or {})["name"] == "Renamed"


def test_a_partition_first_seen_hidden_has_a_state_and_no_rows(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        with mirror.session(SOURCE, "000003", PARTS) as session:
            assert session.hide(run_id="hiding") == {}
        assert {state.token for state in mirror.states(SOURCE).values()} == {HIDDEN_TOKEN}
    assert rows_of(mirror_url, "dandisets") == []


def test_a_removed_partition_is_gone_with_all_its_parts(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, dandiset(), version(), asset("a"), asset("b"))
        store(mirror, dandiset(), asset("a"), partition="000004")
        with mirror.session(SOURCE, "000003", ["dandisets"]) as session:
            assert session.remove(run_id="removing") == {
                "dandiset": Counts(deleted=1),
                "version": Counts(deleted=1),
                "asset": Counts(deleted=2),
            }
            assert session.states == {"dandisets": None}
        assert {partition for partition, _ in mirror.states(SOURCE)} == {"000004"}
        assert [change.kind for change in mirror.changes()].count("delete") == 4
    assert {row["dandiset_id"] for row in query(mirror_url, "SELECT dandiset_id FROM assets")} == {"000004"}


def test_sources_do_not_see_each_other(mirror_url: str) -> None:
    with opened(mirror_url) as mirror:
        store(mirror, asset("a"))
        with mirror.session("sandbox", "000003", PARTS) as session:
            assert session.known(ASSET) == {}
            session.remove(run_id="run")
        assert mirror.states("sandbox") == {}
        assert list(mirror.known(SOURCE, "000003", ASSET)) == [("draft", "a")]
