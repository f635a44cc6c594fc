"""A target and filters mean the sources that a reader of the sources file would expect, or say why not."""

from pathlib import Path

import pytest

from dandi_pipeline.cli.sources import Selection
from dandi_pipeline.errors import ConfigurationError
from dandi_pipeline.platforms.registry import SETTINGS
from dandi_pipeline.settings import Source, load_sources

SOURCES = """
sources:
  - {platform: dandi, application: Neuro, user: "team:data"}
  - {alias: sandbox, platform: dandi, enabled: false, application: skyflow, component: ingest}
  - {alias: notion, platform: notion, application: skyflow, component: artefact, vault: lab-keys, user: ann}
  - {alias: notes, platform: notion, application: notes, component: feature}
  - alias: stock
    platform: airtable
    application: skyflow
    component: artefact
    settings: {bases: [{base: appAAAAAAAAAAAAAA}]}
"""

NAMED = """
sources:
  - {platform: dandi, application: My App, vault: The Lab, vault_id: v-17, user: ann, user_id: "4711"}
  - {alias: other, platform: dandi, application: my other app, vault: v-18, user: bob}
"""


@pytest.fixture
def sources(tmp_path: Path) -> tuple[Source, ...]:
    (tmp_path / "sources.yaml").write_text(SOURCES)
    return load_sources(tmp_path / "sources.yaml", SETTINGS)


@pytest.mark.parametrize(
    ("selection", "aliases"),
    [
        (Selection(), ["dandi", "notion", "notes", "stock"]),
        (Selection("all"), ["dandi", "notion", "notes", "stock"]),
        (Selection("airtable"), ["stock"]),
        (Selection("skyflow"), ["notion", "stock"]),
        (Selection("SkyFlow"), ["notion", "stock"]),
        (Selection("stock"), ["stock"]),
        (Selection("notes"), ["notes"]),
        (Selection("dandi"), ["dandi"]),  # the platform and the source: but for a disabled one they are the same
        (Selection("sandbox"), ["sandbox"]),
        (Selection(source="sandbox"), ["sandbox"]),
        (Selection(platform="dandi"), ["dandi"]),
        (Selection(app="skyflow"), ["notion", "stock"]),
        (Selection(component="artefact"), ["notion", "stock"]),
        (Selection(vault="lab-keys"), ["notion"]),
        (Selection(user="team:data"), ["dandi"]),
        (Selection(app="skyflow", component="artefact", platform="notion"), ["notion"]),
        (Selection("skyflow", platform="airtable"), ["stock"]),
        (Selection("all", platform="notion", only_enabled=True), ["notion", "notes"]),
    ],
)
def test_a_selection_means(sources: tuple[Source, ...], selection: Selection, aliases: list[str]) -> None:
    assert [source.alias for source in selection.of(sources)] == aliases


@pytest.mark.parametrize(
    "selection",
    [
        Selection("my-app"),
        Selection("My App"),
        Selection(app="my-app"),
        Selection(app="MY APP"),
        Selection(vault="the lab"),
        Selection(vault="v-17"),
        Selection(user="4711"),
        Selection(user="Ann"),
    ],
    ids=str,
)
def test_an_application_is_meant_by_its_slug_too_a_vault_and_a_user_by_their_ids(
    tmp_path: Path, selection: Selection
) -> None:
    (tmp_path / "sources.yaml").write_text(NAMED)
    named = load_sources(tmp_path / "sources.yaml", SETTINGS)
    assert [source.alias for source in selection.of(named)] == ["dandi"]


@pytest.mark.parametrize(
    ("selection", "says"),
    [
        (
            Selection("notion"),
            "'notion' is ambiguous: the platform, --platform notion: notion, notes; the source, --source notion: ",
        ),
        (Selection("notoin"), "unknown target 'notoin' (did you mean 'notion'?); accepted: Neuro, airtable, all, "),
        (Selection(platform="airtabel"), "unknown --platform 'airtabel' (did you mean 'airtable'?); accepted: "),
        (Selection(component="x"), "unknown --component 'x'; accepted: artefact, feature, ingest"),
        (Selection("notes", platform="airtable"), "no source matches notes --platform airtable; dandi-pipeline list"),
        (Selection("sandbox", only_enabled=True), "disabled: sandbox; in sources.yaml, enable"),
        (Selection(component="ingest"), "disabled: sandbox; in sources.yaml, enable"),
    ],
)
def test_what_means_nothing_or_too_much_is_said(sources: tuple[Source, ...], selection: Selection, says: str) -> None:
    with pytest.raises(ConfigurationError) as e:
        selection.of(sources)
    assert str(e.value).startswith(says)


def test_a_label_that_no_source_has_is_said_to_be_had_by_none() -> None:
    with pytest.raises(ConfigurationError, match="--vault keys: no source has any"):
        Selection(vault="keys").of(load_sources(None, SETTINGS))
