"""What counts as stale: every difference of tokens, whatever the clocks say, and nothing else."""

from datetime import datetime, timedelta, timezone

from dandi_pipeline.mirror import HIDDEN_TOKEN
from dandi_pipeline.model import Gone, Hidden, Listed
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.planning import (
    HIDDEN_LOOK_UPS,
    SyncPlan,
    batches,
    estimated_requests,
    plan_listed,
    plan_looked_up,
)

PARTS = ("dandisets", "assets")
NOON = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)


def listed(key: str, token: str = "t1", *, modified: datetime = NOON, count: int = 1) -> Listed:
    return Listed(key, token, f"name of {key}", modified, count, {})


def reasons(plan: SyncPlan) -> dict[str, str]:
    return {item.key: item.reason for item in plan.stale}


def test_the_same_token_is_fresh_and_any_other_is_stale_even_an_older_one() -> None:
    stored = {"1": dict.fromkeys(PARTS, "t1"), "2": dict.fromkeys(PARTS, "t9")}
    plan = plan_listed([listed("1"), listed("2"), listed("3")], stored, PARTS, SyncOptions())
    assert plan.checked == 3
    assert reasons(plan) == {"2": "changed", "3": "new"}


def test_only_the_parts_that_differ_are_read() -> None:
    stored = {"1": {"dandisets": "t1", "assets": None}}
    (item,) = plan_listed([listed("1")], stored, PARTS, SyncOptions()).stale
    assert (item.parts, item.reason) == (("assets",), "never read completely")


def test_what_is_no_longer_listed_is_asked_for() -> None:
    plan = plan_listed([], {"1": dict.fromkeys(PARTS, "t1")}, PARTS, SyncOptions())
    assert reasons(plan) == {"1": "no longer listed"}


def test_a_hidden_partition_is_asked_for_again_unless_told_not_to() -> None:
    stored = {"1": dict.fromkeys(PARTS, HIDDEN_TOKEN)}
    assert reasons(plan_listed([], stored, PARTS, SyncOptions())) == {"1": "hidden"}
    assert plan_listed([], stored, PARTS, SyncOptions(), recheck_hidden=False).keys == ()


def test_a_hidden_partition_that_is_listed_again_is_stale() -> None:
    stored = {"1": dict.fromkeys(PARTS, HIDDEN_TOKEN)}
    assert reasons(plan_listed([listed("1")], stored, PARTS, SyncOptions())) == {"1": "visible again"}


def test_since_leaves_out_what_changed_before_and_never_looks_for_deletions() -> None:
    rows = [listed("1", modified=NOON - timedelta(seconds=1)), listed("2", modified=NOON)]
    plan = plan_listed(rows, {"3": dict.fromkeys(PARTS, "t1")}, PARTS, SyncOptions(since=NOON))
    assert plan.keys == ("2",)


def test_a_full_sync_reads_what_is_fresh_too() -> None:
    stored = {"1": dict.fromkeys(PARTS, "t1")}
    assert plan_listed([listed("1")], stored, PARTS, SyncOptions(full=True)).keys == ("1",)


def test_the_longest_reading_starts_first() -> None:
    rows = [listed("1", count=5), listed("2", count=50), listed("3", count=5)]
    assert [item.key for item in plan_listed(rows, {}, PARTS, SyncOptions()).stale] == ["2", "1", "3"]


def test_a_named_partition_that_is_gone_is_removed_only_if_the_mirror_holds_it() -> None:
    stored = {"1": dict.fromkeys(PARTS, "t1")}
    plan = plan_looked_up([Gone("1"), Gone("2"), Hidden("3")], stored, PARTS, SyncOptions())
    assert reasons(plan) == {"1": "gone"}


def test_a_backlog_is_cut_into_bounded_batches_that_lose_nothing() -> None:
    keys = tuple(f"{n:06}" for n in range(1_001))
    cut = batches(keys, 250)
    assert [len(batch) for batch in cut] == [250, 250, 250, 250, 1]
    assert tuple(key for batch in cut for key in batch) == keys


def test_of_many_hidden_partitions_a_few_are_asked_for_and_all_in_time_or_in_a_full_sync() -> None:
    stored = {str(number): dict.fromkeys(PARTS, HIDDEN_TOKEN) for number in range(40)}
    asked: set[str] = set()
    for _ in range(1_000):
        keys = plan_listed([], stored, PARTS, SyncOptions()).keys
        assert len(keys) == HIDDEN_LOOK_UPS
        asked.update(keys)
    assert asked == stored.keys()
    assert len(plan_listed([], stored, PARTS, SyncOptions(full=True)).keys) == 40


def test_no_more_is_planned_than_max_records_lets_be_read() -> None:
    plan = plan_listed([listed("1", count=950)], {}, PARTS, SyncOptions())
    assert estimated_requests(plan, {}, page_size=100) == 2 + 10
    assert estimated_requests(plan, {}, page_size=100, max_records=150) == 2 + 2
