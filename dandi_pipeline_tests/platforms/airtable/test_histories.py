"""The central promise, over random histories: after any of them, a sync and a sweep leave the mirror equal."""

from collections import Counter

import pytest

from dandi_pipeline_tests.platforms.airtable.histories import random_history


@pytest.mark.parametrize("seed", range(24))
def test_no_history_leaves_a_divergence(sqlite_url: str, seed: int) -> None:
    random_history(seed, sqlite_url, Counter(), steps=25)


@pytest.mark.parametrize("seed", range(1_000, 1_004))
def test_no_history_leaves_a_divergence_on_postgresql(postgresql_url: str, seed: int) -> None:
    random_history(seed, postgresql_url, Counter(), steps=25)
