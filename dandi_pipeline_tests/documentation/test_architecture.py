"""What `docs/architecture.md` says of the code's structure, as far as a program can tell."""

import re
from pathlib import Path

import grimp
import pytest

import dandi_pipeline

PACKAGE = Path(dandi_pipeline.__file__).parent
PAGE = PACKAGE.parent / "docs" / "architecture.md"


@pytest.mark.parametrize("package", ["dandi_pipeline", "dandi_pipeline_tests.simulators"])
def test_no_module_imports_itself_by_way_of_others(package: str) -> None:
    graph = grimp.build_graph(package.partition(".")[0], exclude_type_checking_imports=True)
    circles = {
        (module, imported)
        for module in sorted(name for name in graph.modules if name.startswith(package))
        for imported in graph.find_modules_directly_imported_by(module)
        if module in graph.find_upstream_modules(imported)
    }
    assert circles == set()


def test_the_files_in_which_everyday_changes_begin_are_there() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## Where everyday changes begin")[2]
    rows = re.findall(r"^\| [^|]+ \| `([^`]+)`", section, flags=re.MULTILINE)
    assert len(rows) >= 20
    assert [name for name in rows if not list(PACKAGE.glob(name.replace("<name>", "*")))] == []
