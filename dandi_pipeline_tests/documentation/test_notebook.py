"""The notebook of twelve questions runs from its first cell to its last, and each draws its plot."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from dandi_pipeline.query.questions import QUESTIONS
from dandi_pipeline_tests.documentation.markdown import CHECKOUT
from dandi_pipeline_tests.end_to_end.rig import Rig
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world

NOTEBOOK = CHECKOUT / "docs" / "notebooks" / "questions.ipynb"


def read_notebook() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def test_twelve_questions_are_answered_and_drawn(mirror_url: str, tmp_path: Path, monkeypatch: Any) -> None:
    with SimulatedArchive(generated_world(dandisets=8, assets=8)) as archive:
        Rig(archive, mirror_url, tmp_path).sync()
    monkeypatch.setenv("MIRROR_DATABASE_URL", mirror_url)
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    notebook = read_notebook()
    if sys.platform == "win32":
        asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())  # type: ignore[attr-defined]
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    asked = {number for cell in code for number in re.findall(r'query\.ask\("(Q\d\d)"\)', cell.source)}
    assert len(asked) == 12
    assert asked <= set(QUESTIONS)
    for cell in code[1:]:
        assert any("image/png" in output.get("data", {}) for output in cell.outputs), cell.source


@pytest.mark.parametrize("word", ["/work/", "/tmp/"])
def test_the_notebook_is_kept_without_its_outputs(word: str) -> None:
    notebook = read_notebook()
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    assert word not in NOTEBOOK.read_text(encoding="utf-8")
