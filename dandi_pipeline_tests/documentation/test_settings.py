"""docs/operating.md tells every setting that there is, with its default, and no other."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from dandi_pipeline.platforms.dandi.settings import DandiSettings
from dandi_pipeline.platforms.registry import PLATFORMS
from dandi_pipeline.settings import Settings, Source
from dandi_pipeline_tests.documentation.markdown import CHECKOUT, Document

OPERATING = Document(CHECKOUT / "docs" / "operating.md")
NAME = re.compile(r"`([A-Za-z_]+)`")


def test_every_environment_variable_is_told() -> None:
    source = (CHECKOUT / "dandi_pipeline" / "settings" / "environment.py").read_text(encoding="utf-8")
    read = {*re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', source), DandiSettings().api_key_env}
    assert {"DANDI_API_URL", "MIRROR_DATABASE_URL", "DAGSTER_HOME"} <= read
    assert names("Settings") == read
    assert names("sources.yaml") == {*Source.model_fields, *DandiSettings.model_fields}


def test_every_platform_is_told() -> None:
    (row,) = [line for line in OPERATING.section("sources.yaml").splitlines() if line.startswith("| `platform`")]
    assert set(NAME.findall(row)) == {"platform", *PLATFORMS}


def test_the_defaults_told_are_those_in_force() -> None:
    settings = Settings.from_environment({}, Path("/nowhere"))
    section = OPERATING.section("Settings")
    assert f"| `{settings.dandi_api_url}` |" in section
    assert settings.mirror_database_url == f"sqlite:///{settings.dagster_home / 'mirror.sqlite'}"
    assert settings.dagster_home.name == ".dagster_home"
    for name, default in defaults():
        assert re.search(rf"^\| `{name}` \|.*\| `{default}` \|$", OPERATING.text, re.MULTILINE), name


def defaults() -> Iterator[tuple[str, str]]:
    """Yield the settings of a DANDI source that have a default of their own, as a file would spell it."""
    plain: Mapping[str, object] = DandiSettings().model_dump()
    for name, value in plain.items():
        if value is not None:
            yield name, str(value).lower() if isinstance(value, bool) else str(value)


def names(heading: str) -> set[str]:
    cells = OPERATING.first_cells(heading)
    return {name for cell in cells for name in NAME.findall(cell)}
