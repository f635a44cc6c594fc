"""Dandisets are found by the words of their drafts, the same ones in both databases, and at once after a sync."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dandi_pipeline.mirror.texts import texts_of, words_of
from dandi_pipeline.query import Connection, connect
from dandi_pipeline_tests.end_to_end.rig import Rig
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, World

DANDISETS: dict[str, dict[str, Any]] = {
    "Place cells of the hippocampus": {
        "description": "Recordings while rats ran.",
        "keywords": ["navigation"],
        "contributor": [{"schemaKey": "Person", "name": "Buzsáki, György"}],
    },
    "Sharp waves": {
        "description": "What hippocampal cells do in sleep; see also a place.",
        "about": [{"schemaKey": "Anatomy", "name": "CA1", "identifier": "UBERON:0003881"}],
    },
    "Grids": {"about": {"schemaKey": "Anatomy", "name": "hippocampal formation"}, "keywords": "entorhinal"},
    "Odours": {"description": "\0 half \ud83d of a pair", "keywords": [None, 7, {"name": "not a word"}]},
}


@pytest.fixture
def rig(mirror_url: str, tmp_path: Path) -> Iterator[Rig]:
    world = World()
    for name, metadata in DANDISETS.items():
        storable = {key: value for key, value in metadata.items() if name != "Odours" or key != "description"}
        world.create_dandiset(name, metadata=storable)
    with SimulatedArchive(world) as archive:
        rig = Rig(archive, mirror_url, tmp_path)
        rig.sync()
        yield rig


@pytest.fixture
def mirror(rig: Rig) -> Iterator[Connection]:
    with connect(rig.url) as opened:
        yield opened


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("hippocampus", {"Place cells of the hippocampus"}),
        ("hippocamp*", {"Place cells of the hippocampus", "Sharp waves", "Grids"}),
        ("HIPPOCAMP* -sleep", {"Place cells of the hippocampus", "Grids"}),
        ("cell", {"Place cells of the hippocampus", "Sharp waves"}),
        ("place cells", {"Place cells of the hippocampus", "Sharp waves"}),
        ('"place cells"', {"Place cells of the hippocampus"}),
        ('"hippocampus recordings"', set()),
        ("buzsaki", {"Place cells of the hippocampus"}),
        ("György", {"Place cells of the hippocampus"}),
        ("entorhinal", {"Grids"}),
        ("0003881", {"Sharp waves"}),
        ("nowhere", set()),
        ("", set()),
        ("-sleep", set()),
        ("* ' \" ) OR (", set()),
        ('"" - ** NEAR(', set()),
    ],
)
def test_words_find_the_dandisets_that_have_all_of_them(mirror: Connection, text: str, names: set[str]) -> None:
    assert set(mirror.search(text)["name"]) == names


def test_the_best_comes_first_with_where_it_was_found(mirror: Connection) -> None:
    found = mirror.search("place")
    assert list(found["name"]) == ["Place cells of the hippocampus", "Sharp waves"]
    assert list(found["found_in"]) == ["name", "description"]
    assert "see also a place" in found["excerpt"][1]
    assert found["rank"].is_monotonic_decreasing
    assert len(mirror.search("hippocamp*", limit=1)) == 1


def test_the_index_follows_every_sync(rig: Rig, mirror: Connection) -> None:
    world = rig.archive.world
    world.rename_dandiset("000001", "Something else entirely")
    world.delete_dandiset("000003")
    world.create_dandiset("The hippocampus anew")
    rig.sync(allow_mass_deletion=True)
    assert set(mirror.search("hippocamp*")["name"]) == {"Sharp waves", "The hippocampus anew"}
    assert set(mirror.search("entirely")["dandiset_id"]) == {"000001"}


def test_what_is_no_text_is_passed_over() -> None:
    found = texts_of({"name": None, "description": "a\0b\ud83d", "keywords": {"x": 1}, "about": 7, "contributor": [[]]})
    assert found == {"name": "", "description": "a b?", "keywords": "", "about": "", "contributors": ""}
    assert texts_of(["no", "object"])["name"] == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Neurons, studies & axes", ["neuron", "study", "axe"]),
        ("hippocampus' CA1-region", ["hippocampus", "ca1", "region"]),
        ("Übergang ﬁeld STRASSE straße", ["ubergang", "field", "strasse", "strasse"]),
        ("海馬 θ-waves", ["海馬", "θ", "wave"]),
        ("x" * 300, ["x" * 100]),
    ],
)
def test_words_are_compared_without_case_accents_and_plurals(text: str, words: list[str]) -> None:
    assert words_of(text) == words
