"""docs/operating.md tells every setting that there is, with its default, and no other."""

import re
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from dandi_pipeline.platforms.registry import SETTINGS
from dandi_pipeline.settings import PRESETS, PlatformSettings, Settings, Source
from dandi_pipeline_tests.documentation.markdown import CHECKOUT, Document

OPERATING = Document(CHECKOUT / "docs" / "operating.md")
NAME = re.compile(r"`([A-Za-z_]+)`")
EVERY_PLATFORM = PlatformSettings.model_fields


def test_every_environment_variable_is_told() -> None:
    source = (CHECKOUT / "dandi_pipeline" / "settings" / "environment.py").read_text(encoding="utf-8")
    read = {*re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', source), *credentials()}
    assert {"DANDI_API_URL", "MIRROR_DATABASE_URL", "DAGSTER_HOME", "NOTION_TOKEN"} <= read
    assert set(table(OPERATING.section("Settings"))) == read


def credentials() -> set[str]:
    """Return the variables that hold credentials where a source names no others."""
    return {
        str(field.default)
        for model in SETTINGS.values()
        for name, field in model.model_fields.items()
        if name.endswith("_env")
    }


def test_every_platform_is_told() -> None:
    (row,) = [line for line in OPERATING.section("sources.yaml").splitlines() if line.startswith("| `platform`")]
    assert set(NAME.findall(row)) == {"platform", *SETTINGS}


def test_every_key_of_a_source_is_told() -> None:
    assert set(table(OPERATING.section("sources.yaml").split("Every platform has")[0])) == set(Source.model_fields)


def test_the_settings_of_every_platform_are_told() -> None:
    told = table(OPERATING.section("sources.yaml").split("Every platform has")[1].split("\nFor `platform")[0])
    assert set(told) == set(EVERY_PLATFORM)
    for name in set(told) - {"page_size"}:
        assert told[name] == spelled(EVERY_PLATFORM[name])


@pytest.mark.parametrize("platform", SETTINGS)
def test_a_platforms_own_settings_are_told_with_the_defaults_in_force(platform: str) -> None:
    block = OPERATING.section("sources.yaml").split(f"\nFor `platform: {platform}`")[1].split("\nFor `platform")[0]
    own = {name: field for name, field in SETTINGS[platform].model_fields.items() if name not in EVERY_PLATFORM}
    told = table(block)
    assert set(told) == set(own)
    assert {name: told[name] for name in own if spelled(own[name])} == {
        name: spelled(field) for name, field in own.items() if spelled(field)
    }


def test_the_defaults_told_of_the_environment_are_those_in_force() -> None:
    settings = Settings.from_environment({}, Path("/nowhere"))
    told = table(OPERATING.section("Settings"))
    assert told["DANDI_API_URL"] == f"`{settings.dandi_api_url}`"
    assert settings.mirror_database_url == f"sqlite:///{settings.dagster_home / 'mirror.sqlite'}"
    assert settings.dagster_home.name == ".dagster_home"


def test_the_presets_are_told() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \|$", OPERATING.section("Rates"), re.MULTILINE)
    assert {name: (int(pool), int(at_once)) for name, pool, at_once in rows} == {
        name: (preset.pool_size, preset.max_concurrent) for name, preset in PRESETS.items()
    }


def table(text: str) -> dict[str, str]:
    """Return the last cell of each row of a text's tables, by each name in its first."""
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:3] == "| `"]
    return {name: row[-1] for row in rows for name in NAME.findall(row[0])}


def spelled(field: FieldInfo) -> str:
    """Return a default as a document would spell it; "" where it has to be told in words."""
    if field.is_required():
        return "must be set"
    default = field.default
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`" if isinstance(default, str | int) else ""
