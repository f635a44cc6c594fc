"""Each question is one short text for both databases, and answers as a brute force over the raw JSON does."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from dandi_pipeline.query.questions import QUESTIONS
from dandi_pipeline_tests.documentation.generated_pages import pages
from dandi_pipeline_tests.documentation.markdown import CHECKOUT
from dandi_pipeline_tests.end_to_end.rig import CORPUS, Rig
from dandi_pipeline_tests.questions.brute_force import answers
from dandi_pipeline_tests.questions.odd_world import edit, odd_world
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive
from dandi_pipeline_tests.simulators.dandi.corpus import corpus_world

RECORDED = CORPUS.parent / "questions" / "answers.json"
SQL_BLOCK = re.compile(r"^### (Q\d\d) .*?\n\n```sql\n(.*?)\n```\n", re.DOTALL | re.MULTILINE)
EDITS = 50


def shown() -> dict[str, str]:
    """Return the texts as the document shows them."""
    return dict(SQL_BLOCK.findall((CHECKOUT / "docs" / "questions.md").read_text(encoding="utf-8")))


def test_the_document_shows_the_twenty_texts() -> None:
    assert list(shown()) == [f"Q{number:02d}" for number in range(1, 21)]
    assert shown() == {number: question.sql for number, question in QUESTIONS.items()}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_a_page_that_is_made_from_the_code_is_as_the_code_says(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == pages()[page], (
        "write it anew: python -m dandi_pipeline_tests.documentation.generated_pages"
    )


@pytest.mark.parametrize("number", QUESTIONS)
def test_a_text_is_short_and_reads_no_json(number: str) -> None:
    text = shown()[number]
    assert len(text.splitlines()) <= 10
    assert len(text) <= 700
    assert "json" not in text.lower()
    assert "metadata" not in text


def test_every_question_answers_as_the_raw_metadata_does(mirror_url: str, tmp_path: Path) -> None:
    world = odd_world(tmp_path / "corpus", seed=11, assets=100)
    with SimulatedArchive(world) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        assert all(report.error is None for report in rig.sync().values())
        expect(rig)
        assert [number for number, rows in answers(world.snapshot()).items() if not rows] == []


def test_and_so_it_does_after_each_of_many_edits(mirror_url: str, tmp_path: Path) -> None:
    chance = random.Random(70)
    world = odd_world(tmp_path / "corpus", seed=7, assets=12)
    with SimulatedArchive(world) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        rig.sync()
        for number in range(EDITS):
            edited = edit(world, chance)
            assert all(report.error is None for report in rig.sync(partitions=[edited]).values())
            if number % 10 == 9:
                expect(rig)


def test_published_versions_that_are_mirrored_as_well_change_no_answer(mirror_url: str, tmp_path: Path) -> None:
    world = odd_world(tmp_path / "corpus", seed=5, assets=15)
    with SimulatedArchive(world) as archive:
        rig = Rig(archive, mirror_url, tmp_path, versions="all")
        rig.sync()
        assert rig.select("SELECT COUNT(*) FROM published_files")[0][0] > 0
        expect(rig)


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded answers are not at hand")
def test_every_question_answers_real_metadata_as_recorded(mirror_url: str, tmp_path: Path) -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    world = corpus_world(CORPUS)
    with SimulatedArchive(world) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        rig.sync()
        forced = answers(world.snapshot())
        for number, question in QUESTIONS.items():
            assert list(question.columns) == recorded[number]["columns"]
            assert_same(number, forced[number], recorded[number]["rows"])
            assert_same(number, asked(rig, number), recorded[number]["rows"])


def expect(rig: Rig) -> None:
    """Require every answer to be what the archive's raw metadata says."""
    expected = answers(rig.archive.world.snapshot())
    for number in QUESTIONS:
        assert_same(number, asked(rig, number), expected[number])


def asked(rig: Rig, number: str) -> list[list[Any]]:
    return [list(row) for row in rig.select(QUESTIONS[number].sql)]


def assert_same(number: str, found: list[list[Any]], expected: list[list[Any]]) -> None:
    """Compare rows, order and types; ages to a millionth of a day."""
    assert len(found) == len(expected), (number, found[:5], expected[:5])
    for row, wanted in zip(found, expected, strict=True):
        assert [type(value) for value in row] == [type(value) for value in wanted], (number, row, wanted)
        for value, other in zip(row, wanted, strict=True):
            close = abs(value - other) < 1e-6 if isinstance(value, float) else value == other
            assert close, (number, row, wanted)
