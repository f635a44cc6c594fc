"""The mutants of docs/reliability.md are those that the command tries, and each changes a line that is there."""

import subprocess
import sys
from pathlib import Path

import pytest

from dandi_pipeline_tests.mutants import MUTANTS, ROOT, Mutant, copied

RELIABILITY = ROOT / "docs" / "reliability.md"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_each_mutant_is_listed_and_changes_one_line(mutant: Mutant, tmp_path: Path) -> None:
    assert f"| {mutant.name} | `{mutant.file}` |" in RELIABILITY.read_text()
    changed = (copied(tmp_path, mutant) / "dandi_pipeline" / mutant.file).read_text()
    assert changed != (ROOT / "dandi_pipeline" / mutant.file).read_text()
    assert f"def {mutant.test.split('[')[0].rsplit('::', 1)[1]}(" in (ROOT / mutant.test.split("::")[0]).read_text()


def test_the_command_shows_a_mutant_die() -> None:
    command = [sys.executable, "-m", "dandi_pipeline_tests.mutants", "floor", "records"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.splitlines()[-1]) == (0, "1 tried, 0 survived"), run.stdout
