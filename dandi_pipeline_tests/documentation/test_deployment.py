"""docs/deployment.md makes a deployment that works: its files are written, its commands run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from dandi_pipeline.orchestration.assembly import Mirror
from dandi_pipeline.orchestration.instance import open_instance
from dandi_pipeline_tests.documentation.markdown import CHECKOUT, Document
from dandi_pipeline_tests.orchestration.site import Site
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world

PAGE = Document(CHECKOUT / "docs" / "deployment.md")

FILES = dict(re.findall(r"^`([\w/.]+)`[^\n]*:\n\n```\w+\n(.*?)^```$", PAGE.text, re.MULTILINE | re.DOTALL))
"""Each file of the page: its path, and what stands in it."""

WRITTEN_BY_DG = "lab/defs/mirror/defs.yaml"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder with the page's files, but for the one that `dg` writes."""
    for name, text in FILES.items():
        if name != WRITTEN_BY_DG:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
    for package in ("lab", "lab/defs"):
        (tmp_path / package / "__init__.py").touch()
    return tmp_path


def test_the_pages_deployment_mirrors_and_builds_on_it(lab: Path) -> None:
    with SimulatedArchive(generated_world(dandisets=3, assets=4)) as archive:
        site = Site(archive, lab)
        home = site.settings.dagster_home
        home.mkdir()
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n")
        told = [run(lab, site, command) for command in PAGE.commands]

    assert (lab / WRITTEN_BY_DG).read_text() == FILES[WRITTEN_BY_DG]
    listed = told[PAGE.commands.index("dg list defs")]
    assert {"file_kinds", "sync_dandi", "dandi_changes", "dandi_sweep"} <= set(re.findall(r"\w+", listed))
    with open_instance(home) as instance:
        (record,) = instance.fetch_materializations(dg.AssetKey("file_kinds"), limit=9).records
        held = instance.fetch_materializations(dg.AssetKey(["dandi", "assets"]), limit=99).records
    assert record.asset_materialization is not None
    rows = {r.partition_key: r.asset_materialization.metadata for r in held if r.asset_materialization}
    assert record.partition_key == "000001"
    assert record.asset_materialization.metadata["files"].value == rows["000001"]["dagster/partition_row_count"].value


def run(lab: Path, site: Site, command: str) -> str:
    """Run a command of the page in the deployment's folder, and return what it says."""
    tools = Path(sys.executable).parent
    environ = {**os.environ, **site.environ, "PYTHONPATH": f"{lab}:{CHECKOUT}", "COLUMNS": "200"}
    done = subprocess.run(
        [str(tools / "dg"), *command.split()[1:]], cwd=lab, env=environ, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_has_a_row_for_each_attribute_of_the_component() -> None:
    assert [cell.strip("`") for cell in PAGE.first_cells("The mirror")] == list(Mirror.model_fields)


def test_without_components_it_is_the_same(tmp_path: Path) -> None:
    (snippet,) = [block.text for block in PAGE.blocks if "build_defs" in block.text]
    names: dict[str, dg.Definitions] = {}
    exec(snippet, names)
    keys = names["defs"].resolve_asset_graph().materializable_asset_keys
    assert {key.to_user_string() for key in keys} == {"archive/dandi/assets", "archive/dandi/dandisets"}
    specs = names["defs"].resolve_all_asset_specs()
    assert {(spec.key.path[0], spec.group_name) for spec in specs} == {("archive", "mirror")}
