"""What a reading adds, updates, deletes and leaves alone."""

import pytest

from dandi_pipeline.errors import TornRead
from dandi_pipeline.model import Complete, Fingerprint, Key, Observed, Outdated, Record, RecordKind, Unchanged
from dandi_pipeline.sync.reading import Comparison
from dandi_pipeline.sync.report import Tally

KIND = RecordKind("asset", "assets", key=("version", "path"), fingerprint=("modified",))


def record(path: str, content: str = "c1", modified: str = "m1") -> Record:
    return Record(KIND, ("draft", path), {"modified": modified}, "{}", content)


class Reading:
    """A comparison with what it staged."""

    def __init__(self, known: dict[Key, Fingerprint]) -> None:
        self.staged: list[Record] = []
        self.comparison = Comparison("000003", {"asset": known}, self.staged.extend)


def test_each_record_is_new_different_touched_or_unchanged() -> None:
    reading = Reading({("draft", path): ("c1", "m1") for path in ("same", "edited", "touched", "gone")})
    reading.comparison.take(
        Observed([record("same"), record("edited", "c2"), record("touched", modified="m2"), record("new")])
    )
    reading.comparison.take(Complete(KIND, ("draft",)))
    assert [item.key[1] for item in reading.staged] == ["edited", "touched", "new"]
    assert list(reading.comparison.gone()) == [(KIND, [("draft", "gone")])]
    assert reading.comparison.tallies() == {"asset": Tally(checked=4, added=1, updated=1, deleted=1, unchanged=2)}


def test_nothing_is_gone_unless_the_listing_was_complete() -> None:
    reading = Reading({("draft", "a"): ("c1", "m1")})
    reading.comparison.take(Observed([record("b")]))
    assert list(reading.comparison.gone()) == []


def test_completeness_is_that_of_the_prefix_alone() -> None:
    reading = Reading({("draft", "a"): ("c1", "m1"), ("0.1", "a"): ("c1", "m1")})
    reading.comparison.take(Complete(KIND, ("draft",)))
    assert list(reading.comparison.gone()) == [(KIND, [("draft", "a")])]


def test_a_record_shown_twice_means_that_the_pages_moved() -> None:
    reading = Reading({})
    reading.comparison.take(Observed([record("a")]))
    with pytest.raises(TornRead, match="listed twice"):
        reading.comparison.take(Observed([record("a")]))


def test_a_comparison_without_content_counts_what_would_change() -> None:
    reading = Reading({("draft", "a"): ("c1", "m1"), ("draft", "b"): ("c1", "m1")})
    reading.comparison.take(Unchanged(KIND, [("draft", "a")]))
    reading.comparison.take(Outdated(KIND, [("draft", "b"), ("draft", "c")]))
    assert reading.comparison.tallies() == {"asset": Tally(checked=3, added=1, updated=1, unchanged=1)}
    assert reading.staged == []
