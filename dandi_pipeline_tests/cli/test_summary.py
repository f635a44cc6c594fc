"""The closing block says what happened, in the shape that scripts have come to know."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from dandi_pipeline.cli.output import byte_size, summary
from dandi_pipeline.errors import PlatformFailing, UnexpectedPayload
from dandi_pipeline.http import Traffic
from dandi_pipeline.sync.report import Outcome, PartitionReport, Problem, SyncReport, Tally


def report(problems: Sequence[Problem] = (), incomplete: Sequence[Problem] = ()) -> SyncReport:
    return SyncReport(
        run_id="0a1b",
        scope="all",
        duration_seconds=1125.5,
        partition_noun="dandiset",
        record_noun="asset",
        partitions=Tally(checked=500, added=3, updated=12, deleted=1),
        failed=len(problems),
        records=Tally(checked=45670, added=20, updated=1203, deleted=7, unchanged=44447),
        traffic=Traffic(requests=871, bytes_received=12_345_678),
        problems=problems,
        incomplete=incomplete,
    )


def test_a_clean_sync_closes_with_the_known_block() -> None:
    assert summary(report()) == (
        "\n"
        "==================================================\n"
        "SYNC SUMMARY\n"
        "==================================================\n"
        "Duration: 1125.50 seconds\n"
        "Dandisets checked: 500\n"
        "Dandisets updated: 12\n"
        "Dandisets added: 3\n"
        "Dandisets deleted: 1\n"
        "Dandisets failed: 0\n"
        "Assets checked: 45670\n"
        "Assets updated: 1203\n"
        "Assets added: 20\n"
        "Assets deleted: 7\n"
        "Assets unchanged: 44447\n"
        "Requests: 871\n"
        "Data received: 12.3 MB\n"
        "Errors: 0\n"
        "Sync completed successfully"
    )


def test_every_failed_dandiset_is_named_with_who_acts_and_why() -> None:
    failed = [
        PartitionReport("000003", "", Outcome.FAILED, error=PlatformFailing("GET …/assets/: 502 six times; try later")),
        PartitionReport("000108", "", Outcome.INCOMPLETE, error=UnexpectedPayload("no\n'modified' \x1b[31m; stopped")),
    ]
    closing = summary(report(problems=[Problem.of(each) for each in failed])).split("\n")
    assert closing[-4:] == [
        "Errors: 2",
        "Sync completed with 2 errors:",
        "  000003 (transient): GET …/assets/: 502 six times; try later",
        r"  000108 (contract): no 'modified' \x1b[31m; stopped",
    ]


def test_one_error_is_not_several() -> None:
    failed = [PartitionReport("000003", "", Outcome.FAILED, error=PlatformFailing("502"))]
    assert "Sync completed with 1 error:" in summary(report(problems=[Problem.of(each) for each in failed])).split("\n")


def test_a_dandiset_cut_short_says_that_it_stays_stale_and_why() -> None:
    cut = [PartitionReport("000026", "", Outcome.INCOMPLETE, warning="cut short at 10 by --max-assets: it stays stale")]
    closing = summary(report(incomplete=[Problem.of(each) for each in cut])).split("\n")
    assert closing[-3:] == [
        "1 dandiset read in part, to be synced again:",
        "  000026: cut short at 10 by --max-assets: it stays stale",
        "Sync completed successfully",
    ]


def test_a_dry_run_says_that_nothing_was_written() -> None:
    assert summary(report(), dry_run=True).endswith("\nDry run completed successfully; nothing was written")


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_sizes_are_decimal(count: int, shown: str) -> None:
    assert byte_size(count) == shown


def test_what_came_through_of_a_failed_dandiset_is_told_behind_its_error() -> None:
    failed = PartitionReport("000002", "", Outcome.FAILED, ("assets",), error=UnexpectedPayload("page 1 is odd"))
    assert failed.outline == "failed: page 1 is odd"
    added = replace(failed, kept=("dandisets",), tallies={"dandiset": Tally(checked=1, added=1)})
    assert added.outline == "failed: page 1 is odd; its dandisets came through: 1 dandiset added"
    assert replace(failed, kept=("dandisets",)).outline.endswith("; its dandisets came through: nothing changed")
