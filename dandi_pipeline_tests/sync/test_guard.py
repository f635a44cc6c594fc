"""What may go at once without being asked about, and what may not."""

import pytest

from dandi_pipeline.errors import MassDeletionRefused
from dandi_pipeline.sync.planning import guard_partitions, guard_records


@pytest.mark.parametrize(("going", "held"), [(597, 600), (308, 308), (1_000, 1_000), (1_001, 10_000)])
def test_true_clean_ups_pass(going: int, held: int) -> None:
    guard_records("000559", "asset", going=going, held=held)


def test_most_of_a_large_partition_going_at_once_is_refused_with_a_way_out() -> None:
    with pytest.raises(MassDeletionRefused, match=r"000559: 1,001 of 2,000 assets .*--allow-mass-deletion"):
        guard_records("000559", "asset", going=1_001, held=2_000)


def test_a_listing_of_nothing_is_refused_however_small_the_mirror() -> None:
    with pytest.raises(MassDeletionRefused, match="lists no dandiset at all"):
        guard_partitions("dandi", "dandiset", going=1, held=1, listed=0)


def test_an_empty_mirror_of_an_empty_platform_is_fine() -> None:
    guard_partitions("dandi", "dandiset", going=0, held=0, listed=0)


def test_a_fifth_of_an_archive_going_at_once_is_refused() -> None:
    guard_partitions("dandi", "dandiset", going=11, held=100, listed=89)
    with pytest.raises(MassDeletionRefused, match="no longer lists 21 of 100 dandisets"):
        guard_partitions("dandi", "dandiset", going=21, held=100, listed=79)


def test_exactly_the_limit_passes() -> None:
    guard_records("000559", "asset", going=1_000, held=1_000)
    guard_records("000559", "asset", going=1_001, held=2_002)
    guard_partitions("dandi", "dandiset", going=10, held=20, listed=10)
    guard_partitions("dandi", "dandiset", going=11, held=55, listed=44)
    for going, held in ((1_002, 2_002), (2_001, 2_001)):
        with pytest.raises(MassDeletionRefused):
            guard_records("000559", "asset", going=going, held=held)
    for going, held in ((11, 54), (12, 55)):
        with pytest.raises(MassDeletionRefused):
            guard_partitions("dandi", "dandiset", going=going, held=held, listed=held - going)
