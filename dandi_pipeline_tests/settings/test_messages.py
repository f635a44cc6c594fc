"""Whatever is wrong with any key of any platform is said with the file, the line, the key, and what is accepted."""

import re
from pathlib import Path

import pytest

from dandi_pipeline.errors import ConfigurationError
from dandi_pipeline.platforms.registry import SETTINGS
from dandi_pipeline.settings import load_sources

MUST = {"airtable": ("bases", "[{base: appAAAAAAAAAAAAAA}]")}
"""What a platform does not do without."""

WRONG = ("-1", "4711471147114711", "no such thing", "[[]]", "{key: value}", "2026-01-01")

KEYS = [(platform, key) for platform, settings in SETTINGS.items() for key in settings.model_fields]


@pytest.mark.parametrize(("platform", "key"), KEYS)
def test_a_wrong_value_is_said_with_its_place_and_what_is_accepted(tmp_path: Path, platform: str, key: str) -> None:
    messages = [said(tmp_path, platform, f"{key}: {wrong}") for wrong in WRONG]
    refused = [message for message in messages if message is not None]
    assert len(refused) >= 4  # hardly any value is right for every key
    for message in refused:
        assert re.match(rf"{tmp_path}/sources\.yaml:5: '{key}'.*(expected|accepted)", message), message
        assert "\n" not in message


@pytest.mark.parametrize("platform", SETTINGS)
def test_an_unknown_key_is_said_with_all_there_are(tmp_path: Path, platform: str) -> None:
    message = said(tmp_path, platform, "page_sizes: 5")
    assert message is not None
    assert message.startswith(
        f"{tmp_path}/sources.yaml:5: unknown key 'page_sizes' (did you mean 'page_size'?); accepted:"
    )
    assert all(key in message for key in SETTINGS[platform].model_fields)


@pytest.mark.parametrize(
    ("platform", "line", "says"),
    [
        ("notion", "databases: [x]", "'databases': no. 1 is not a Notion id; expected the 32 letters and digits"),
        ("notion", "databases: [1]", "'databases', no. 1: expected text"),
        ("notion", "requests_per_minute: 601", "'requests_per_minute': expected a whole number from 1 to 600"),
        ("notion", "overlap: 1m", "'overlap': expected between 2m and 60m"),
        ("notion", "token_env: ntn_secret", "'token_env': expected the NAME of an environment variable"),
        ("airtable", "bases: []", "'bases': expected at least one base, each beginning with '- base: app…'"),
        ("airtable", "bases: [{base: x}]", "'base': expected a base's id, app…"),
        ("airtable", "bases: [{basse: x}]", "unknown key 'basse' (did you mean 'base'?); accepted: base, tables"),
        ("airtable", "bases: [{}]", "no 'base', which must be set; expected: the base's id, app…"),
        ("airtable", "bases: [{base: appAAAAAAAAAAAAAA, tables: [1]}]", "'tables', no. 1: expected text"),
        ("airtable", "calls_per_month: 0", "'calls_per_month': expected a whole number from 1 up"),
    ],
)
def test_what_lies_deeper_is_said_as_exactly(tmp_path: Path, platform: str, line: str, says: str) -> None:
    message = said(tmp_path, platform, line)
    assert message is not None
    assert message.startswith(f"{tmp_path}/sources.yaml:5: {says}")
    assert "ntn_secret" not in message


def said(folder: Path, platform: str, line: str) -> str | None:
    """Return what is said of a source with this line, the fifth of its file, among its settings; None if nothing is."""
    key, value = MUST.get(platform, ("", ""))
    must = f"{key}: {value}" if key and not line.startswith(key) else "# nothing that must be set"
    path = folder / "sources.yaml"
    path.write_text(f"sources:\n  - platform: {platform}\n    settings:\n      {must}\n      {line}\n")
    try:
        load_sources(path, SETTINGS)
    except ConfigurationError as error:
        return str(error)
    return None
