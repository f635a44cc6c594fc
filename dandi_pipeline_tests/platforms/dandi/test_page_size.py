"""Pages get smaller where the archive cannot manage them, and larger again; a walk sees the same rows all the same."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from dandi_pipeline.http.client import Limits
from dandi_pipeline.platforms.dandi.api import MANAGED_TO_GROW, SMALLEST, Page, PageSize, Portions
from dandi_pipeline_tests.end_to_end.rig import Rig
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world

HURRIED = Limits(attempts=3, read_timeout=0.3, first_backoff=0.001, longest_backoff=0.002)


def rows_of(page: Page) -> range:
    return range((page.number - 1) * page.size, page.number * page.size)


@given(number=some.integers(1, 50), size=some.integers(1, 1000), failures=some.lists(some.booleans(), max_size=30))
def test_whatever_fails_the_portions_hold_the_rows_of_the_page_in_order(
    number: int, size: int, failures: list[bool]
) -> None:
    page, fails = Page(number, size), iter(failures)
    shown: list[int] = []
    portions = Portions(page, PageSize(1000))
    for portion in portions:
        if portion.divisible and next(fails, False):
            portions.put_back(portion)
        else:
            shown += rows_of(portion)
    assert shown == list(rows_of(page))


def test_a_page_that_was_too_much_makes_all_later_ones_half_as_large() -> None:
    size = PageSize(1000)
    size.too_much(Page(1, 1000))
    assert [(page.number, page.size) for page in Portions(Page(3, 1000), size)] == [(5, 500), (6, 500)]
    assert [(page.number, page.size) for page in Portions(Page(3, 500), size)] == [(3, 500)]


def test_failures_of_pages_that_were_under_way_together_count_once() -> None:
    size = PageSize(1000)
    for number in range(1, 6):
        size.too_much(Page(number, 1000))
    assert size.most == 500


def test_the_size_grows_back_after_so_many_answers_in_a_row() -> None:
    size = PageSize(1000)
    size.too_much(Page(1, 1000))
    size.too_much(Page(1, 500))
    for _ in range(MANAGED_TO_GROW - 1):
        size.managed(Page(1, 250))
    assert size.most == 250
    size.managed(Page(1, 250))
    assert size.most == 500
    for _ in range(2 * MANAGED_TO_GROW):
        size.managed(Page(1, 500))
    assert size.most == 1000


def test_smaller_pages_than_the_limit_prove_nothing() -> None:
    size = PageSize(1000)
    size.too_much(Page(1, 1000))
    for _ in range(5 * MANAGED_TO_GROW):
        size.managed(Page(1, 100))
    assert size.most == 500


@pytest.mark.parametrize(("size", "divisible"), [(2 * SMALLEST, True), (2 * SMALLEST - 2, False), (125, False)])
def test_pages_are_halved_into_whole_ones_that_are_worth_a_request(size: int, divisible: bool) -> None:
    assert Page(1, size).divisible is divisible


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param({"effect": "status", "status": 502}, id="502"),
        pytest.param({"effect": "status", "status": 503}, id="503"),
        pytest.param({"effect": "status", "status": 504}, id="504"),
        pytest.param({"effect": "slow_start", "seconds": 0.8}, id="timeout"),
    ],
)
def test_what_the_archive_cannot_make_in_time_is_asked_for_in_smaller_pages(
    trouble: dict[str, object], sqlite_url: str, tmp_path: Path
) -> None:
    world = generated_world(dandisets=1, large=1_300)
    with SimulatedArchive(world) as archive:
        archive.faults.add(**trouble, path="page_size=1000", kind="assets_full")  # type: ignore[arg-type]
        rig = Rig(archive, sqlite_url, tmp_path, limits=HURRIED)
        reports = rig.sync()
        assert [report.error for report in reports.values() if report.error] == []
        assert rig.differences() == []
        assert archive.faults.struck() <= 2
        served = [exchange.target for exchange in archive.requests.exchanges if "metadata=true" in exchange.target]
        assert sum("page_size=500" in target for target in served) == 3


def test_what_is_too_much_at_any_size_is_given_up_as_ever(sqlite_url: str, tmp_path: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=1, large=120)) as archive:
        archive.faults.add("status", status=503, kind="assets_full")
        (report,) = Rig(archive, sqlite_url, tmp_path, limits=HURRIED).sync().values()
        assert "in 3 attempts" in str(report.error)
        assert archive.faults.struck() == len([1000, 500, 250]) + HURRIED.attempts
