"""The central property: whatever happened, a quiet sync shows all but what moves no time, and a quiet sweep all."""

from collections import Counter

import pytest

from dandi_pipeline_tests.platforms.notion.histories import random_history


@pytest.mark.parametrize("seed", range(24))
def test_the_mirror_converges_after_any_history(seed: int, sqlite_url: str) -> None:
    random_history(seed, sqlite_url, Counter())


@pytest.mark.parametrize("seed", range(1000, 1004))
def test_it_does_so_in_postgresql(seed: int, postgresql_url: str) -> None:
    random_history(seed, postgresql_url, Counter())
