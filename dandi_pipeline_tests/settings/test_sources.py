"""A sources file is read as it is meant, and what is wrong with it is one line that points at the place."""

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from dandi_pipeline.errors import ConfigurationError
from dandi_pipeline.platforms.registry import SETTINGS
from dandi_pipeline.settings import (
    ApiUrl,
    EnvironmentName,
    PlatformSettings,
    Source,
    load_sources,
    parse_sources,
    sources_schema,
)
from dandi_pipeline.settings.document import Document

ROOT = Path(__file__).parents[2]


class ArchiveSettings(PlatformSettings):
    """What a platform like the archive accepts."""

    api_url: ApiUrl | None = None
    api_key_env: EnvironmentName = "DANDI_API_KEY"
    versions: Literal["draft", "all"] = "draft"
    embargoed: bool | None = None
    max_concurrent: int = Field(default=5, ge=1)


class WikiSettings(PlatformSettings):
    """What a platform accepts that cannot do without a key."""

    token_env: EnvironmentName


REGISTRY: Mapping[str, type[PlatformSettings]] = {"dandi": ArchiveSettings, "wiki": WikiSettings}


def load(tmp_path: Path, text: str) -> tuple[Source, ...]:
    path = tmp_path / "sources.yaml"
    path.write_text(text, "utf-8")
    return load_sources(path, REGISTRY)


def test_one_word_is_enough(tmp_path: Path) -> None:
    (source,) = load(tmp_path, "sources: [platform: dandi]")
    assert (source.alias, source.platform, source.enabled) == ("dandi", "dandi", True)
    assert source.every == timedelta(minutes=15)
    assert (source.application, source.component, source.vault, source.user) == (None, None, None, None)
    assert source.settings == ArchiveSettings()


def test_everything_can_be_said(tmp_path: Path) -> None:
    text = """
    sources:
      - platform: dandi
      - alias: sand_box-2
        platform: dandi
        enabled: false
        every: daily
        application: skyflow
        component: ingest
        vault: lab.keys
        user: data@example.org
        settings:
          api_url: https://api.sandbox.dandiarchive.org/api/
          api_key_env: SANDBOX_KEY
          versions: all
          embargoed: false
          max_concurrent: 2
      - platform: wiki
        settings: {token_env: WIKI_TOKEN}
    """
    archive, sandbox, wiki = load(tmp_path, text)
    assert [archive.alias, sandbox.alias, wiki.alias] == ["dandi", "sand_box-2", "wiki"]
    assert sandbox.enabled is False
    assert sandbox.every == timedelta(days=1)
    assert (sandbox.application, sandbox.component) == ("skyflow", "ingest")
    assert (sandbox.vault, sandbox.user) == ("lab.keys", "data@example.org")
    assert sandbox.settings == ArchiveSettings(
        api_url="https://api.sandbox.dandiarchive.org/api",
        api_key_env="SANDBOX_KEY",
        versions="all",
        embargoed=False,
        max_concurrent=2,
    )
    assert wiki.settings == WikiSettings(token_env="WIKI_TOKEN")


def test_without_a_file_the_archive_is_mirrored() -> None:
    (source,) = load_sources(None, REGISTRY)
    assert (source.alias, source.platform, source.enabled) == ("dandi", "dandi", True)


def test_settings_with_every_line_commented_out_are_none(tmp_path: Path) -> None:
    (source,) = load(tmp_path, "sources:\n  - platform: dandi\n    settings:\n    #  versions: all\n")
    assert source.settings == ArchiveSettings()


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [
        ("1m", timedelta(minutes=1)),
        ("90m", timedelta(minutes=90)),
        ("6h", timedelta(hours=6)),
        ("2d", timedelta(days=2)),
        ("1w", timedelta(weeks=1)),
        ("hourly", timedelta(hours=1)),
        ("weekly", timedelta(weeks=1)),
    ],
)
def test_intervals_are_read_as_people_write_them(tmp_path: Path, spelled: str, meant: timedelta) -> None:
    (source,) = load(tmp_path, f"sources:\n  - platform: dandi\n    every: {spelled}\n")
    assert source.every == meant


def dandi(*lines: str) -> str:
    """A file whose only source has these lines below its first, which is line 2."""
    return "\n".join(["sources:", "  - platform: dandi", *(f"    {line}" for line in lines)])


ACCEPTED = (
    "accepted: alias, application, component, enabled, every, platform, settings, sweep, user, user_id, vault, vault_id"
)
NOT_AN_INTERVAL = "not an interval; accepted: a number and a unit (15m, 6h, 2d, 1w), hourly, daily, weekly"

WRONG = {
    "misspelled platform key": (
        "sources:\n\n  - platfrom: dandi",
        3,
        f"unknown key 'platfrom' (did you mean 'platform'?); {ACCEPTED}",
    ),
    "misspelled key": (dandi("enabeld: true"), 3, f"unknown key 'enabeld' (did you mean 'enabled'?); {ACCEPTED}"),
    "key like no other": (dandi("x: 1"), 3, f"unknown key 'x'; {ACCEPTED}"),
    "misspelled setting": (
        dandi("settings:", "  version: all"),
        4,
        "unknown key 'version' (did you mean 'versions'?);"
        " accepted: api_key_env, api_url, embargoed, keep_alive, max_concurrent, page_size, pool_size, versions",
    ),
    "unknown platform": (
        "sources:\n  - alias: a\n    platform: dandy",
        3,
        "unknown platform 'dandy' (did you mean 'dandi'?); accepted: dandi, wiki",
    ),
    "no platform": ("sources:\n  - alias: a", 2, "no 'platform', which must be set; accepted: dandi, wiki"),
    "platform is no text": ("sources:\n  - platform: [1]", 2, "unknown platform '[1]'; accepted: dandi, wiki"),
    "setting that must be set": ("sources:\n  - platform: wiki", 2, "no 'token_env', which must be set"),
    "wrong choice": (
        dandi("settings:", "  versions: al"),
        4,
        "'versions': expected 'draft' or 'all' (did you mean 'all'?)",
    ),
    "number out of range": (
        dandi("settings:", "  max_concurrent: 0"),
        4,
        "'max_concurrent': expected a whole number from 1 up",
    ),
    "yes for a number": (
        dandi("settings:", "  max_concurrent: true"),
        4,
        "'max_concurrent': expected a whole number",
    ),
    "not an address": (
        dandi("settings:", "  api_url: dandiarchive.org"),
        4,
        "'api_url': not an address; expected https://host/path",
    ),
    "not an interval": (dandi("every: 5 minutes"), 3, f"'every': {NOT_AN_INTERVAL}"),
    "a bare number": (dandi("every: 15"), 3, f"'every': {NOT_AN_INTERVAL}"),
    "never": (dandi("every: 0m"), 3, f"'every': {NOT_AN_INTERVAL}"),
    "text for a switch": (dandi("enabled: maybe"), 3, "'enabled': expected true or false"),
    "a switch for text": (
        dandi("alias: no"),
        3,
        "'alias': expected text (put a number, date or yes/no in quotes)",
    ),
    "capitals in an alias": (
        dandi("alias: Dandi"),
        3,
        "'alias': expected lower-case letters, digits, '_' and '-' only, at most 63",
    ),
    "empty alias": (
        dandi("alias: ''"),
        3,
        "'alias': expected lower-case letters, digits, '_' and '-' only, at most 63",
    ),
    "not a name": (
        dandi("vault: '--'"),
        3,
        "'vault': expected a name of at most 63 characters, with a letter a-z or a digit, such as my-app or My App",
    ),
    "not an id": (
        dandi("vault_id: a b"),
        3,
        "'vault_id': expected an id: at most 63 letters, digits, '_', '-' and '.'",
    ),
    "not a user": (
        dandi("user: a b"),
        3,
        "'user': expected an e-mail address, 'team:name' or a plain name",
    ),
    "settings that are a list": (
        dandi("settings: [1]"),
        3,
        "'settings': expected keys and values, indented below it",
    ),
    "the first of two errors": (dandi("every: x", "settings: {versions: 3}"), 3, "'every': not an interval"),
    "the first of two, the other way round": (dandi("settings: {versions: 3}", "every: x"), 3, "'versions': expected"),
    "alias taken": (
        "sources:\n  - platform: dandi\n  - alias: dandi\n    platform: wiki\n    settings: {token_env: A}",
        3,
        "alias 'dandi' is taken by the source in line 2; give each source an 'alias' of its own",
    ),
    "alias that Dagster could not tell apart": (
        "sources:\n  - platform: dandi\n    alias: a-b\n  - platform: dandi\n    alias: a_b",
        5,
        "alias 'a_b' is taken by the source in line 3; give each source an 'alias' of its own",
    ),
    "key given twice": (dandi("every: 1h", "", "every: 2h"), 5, "'every' is already set in line 3"),
    "setting given twice": (
        dandi("settings:", "  versions: all", "  versions: draft"),
        5,
        "'versions' is already set in line 4",
    ),
    "a source that is a word": (
        "sources:\n  - dandi",
        2,
        "a source must be keys and values, such as 'platform: dandi'",
    ),
    "no sources": ("sources:\n", 1, "'sources' must list at least one source, each beginning with '- platform:'"),
    "empty list": ("\nsources: []", 2, "'sources' must list at least one source, each beginning with '- platform:'"),
    "sources that are no list": (
        "sources:\n  platform: dandi",
        1,
        "'sources' must list at least one source, each beginning with '- platform:'",
    ),
    "empty file": ("", 1, "expected 'sources:' and a list of sources below it"),
    "only a list": ("- platform: dandi", 1, "expected 'sources:' and a list of sources below it"),
    "another word on top": (
        "sources:\n  - platform: dandi\nsource: 1",
        3,
        "unknown key 'source' (did you mean 'sources'?); accepted: sources",
    ),
    "tab": (
        "sources:\n\t- platform: dandi",
        2,
        "not valid YAML: while scanning for the next token, found character '\\t' that cannot start any token",
    ),
    "open quote": (
        "sources:\n  - platform: 'dandi\n",
        3,
        "not valid YAML: while scanning a quoted scalar, found unexpected end of stream",
    ),
    "two documents": (
        "sources:\n  - platform: dandi\n---\nx: 1",
        3,
        "not valid YAML: expected a single document in the stream, but found another document",
    ),
    "endless structure": ("sources: &a [*a]", 1, "not valid YAML: anchors and aliases (&, *) are not supported"),
    "own tag": (dandi("alias: !python/name:os.system x"), 3, "not a plain value; put it in quotes"),
    "impossible date": (dandi("alias: 2026-02-31"), 3, "not a plain value; put it in quotes"),
    "list for a key": (dandi("[a]: 1"), 3, "a key must be plain text"),
    "control character": ("sources: \x01", 1, "not valid YAML: it holds characters that YAML does not allow"),
}


@pytest.mark.parametrize(("text", "line", "told"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_one_line_that_points_at_it(tmp_path: Path, text: str, line: int, told: str) -> None:
    with pytest.raises(ConfigurationError) as e:
        load(tmp_path, text)
    message = str(e.value)
    assert message.startswith(f"{tmp_path / 'sources.yaml'}:{line}: {told}")
    assert "\n" not in message


@pytest.mark.parametrize(
    "secret", ["0123456789abcdef0123456789abcdef01234567", "secret_AbC123", "ntn_123456", "patAbC.123", "A B"]
)
def test_a_secret_where_a_name_belongs_is_refused_without_being_shown(tmp_path: Path, secret: str) -> None:
    for key in ("api_key_env", "api_key"):
        with pytest.raises(ConfigurationError) as e:
            load(tmp_path, dandi("settings:", f"  {key}: '{secret}'"))
        assert secret not in str(e.value)
        assert re.search(r":4: ('api_key_env': expected the NAME|unknown key 'api_key')", str(e.value))


def test_what_code_lists_is_read_like_a_file() -> None:
    (source,) = parse_sources([{"platform": "dandi", "every": "6h", "settings": {"versions": "all"}}], REGISTRY)
    assert source.every == timedelta(hours=6)


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([{"platform": "dandi", "every": "soon"}], "the sources that were given:3: 'every': not an interval"),
        ([{"platform": "dandi", "every": timedelta(hours=6)}], "cannot represent an object 6:00:00; write values as"),
        ({"platform": "dandi"}, "the sources that were given:2: a source must be keys and values"),
    ],
)
def test_what_code_lists_wrongly_is_told_in_one_line(entries: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(told)) as caught:
        parse_sources(entries, REGISTRY)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.yaml: cannot be read \(No such file"):
        load_sources(tmp_path / "absent.yaml", REGISTRY)
    (tmp_path / "latin.yaml").write_bytes("sources: é".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"latin\.yaml: is not text in UTF-8"):
        load_sources(tmp_path / "latin.yaml", REGISTRY)


@given(st.text(st.sampled_from("sources:platform dandi-[]{}'\"\n#&*!|>%@,?0\t"), max_size=60))
def test_no_text_makes_anything_but_sources_or_one_line(text: str) -> None:
    try:
        Document(text, "sources.yaml")
    except ConfigurationError as error:
        message = str(error)
    else:
        return
    assert re.fullmatch(r"sources\.yaml:\d+: [^\n]+", message)


class TestTheFileAtTheRoot:
    def test_it_mirrors_the_archive(self) -> None:
        (source,) = load_sources(ROOT / "sources.yaml", SETTINGS)
        assert (source.alias, source.platform, source.enabled) == ("dandi", "dandi", True)

    def test_its_examples_work_when_they_are_uncommented(self, tmp_path: Path) -> None:
        text = (ROOT / "sources.yaml").read_text("utf-8")
        top, body = text.split("sources:\n", 1)
        uncommented = re.sub(r"^( *)# ", r"\1", body, flags=re.MULTILINE)
        (tmp_path / "sources.yaml").write_text(f"{top}sources:\n{uncommented}", "utf-8")
        sources = load_sources(tmp_path / "sources.yaml", SETTINGS)
        archive, planning, notebook, sandbox = sources
        assert {source.platform for source in sources} == set(SETTINGS)
        assert archive.settings.versions == "all"
        assert planning.settings.databases == ["0f1a2b3c-4d5e-6f70-8192-a3b4c5d6e7f8"]
        assert notebook.settings.bases[0].tables == ["Sessions", "Subjects"]
        assert (sandbox.alias, sandbox.enabled, sandbox.settings.max_concurrent) == ("sandbox", False, 2)


class TestSchema:
    def test_editors_learn_every_key_and_what_it_means(self) -> None:
        definitions = sources_schema(REGISTRY)["$defs"]
        for name in ("DandiSource", "WikiSource"):
            properties = definitions[name]["properties"]
            assert set(properties) == set(Source.model_fields)
            assert all(described["description"] for described in properties.values())
            assert definitions[name]["additionalProperties"] is False
        assert definitions["DandiSource"]["properties"]["settings"]["$ref"] == "#/$defs/ArchiveSettings"
        assert definitions["ArchiveSettings"]["properties"]["versions"]["enum"] == ["draft", "all"]

    def test_only_what_the_loader_requires_is_required(self) -> None:
        definitions = sources_schema(REGISTRY)["$defs"]
        assert definitions["DandiSource"]["required"] == ["platform"]
        assert definitions["WikiSettings"]["required"] == ["token_env"]

    @pytest.mark.parametrize(("spelled", "valid"), [("15m", True), ("daily", True), ("0m", False), ("5x", False)])
    def test_it_and_the_loader_agree_on_intervals(self, tmp_path: Path, spelled: str, valid: bool) -> None:
        every = sources_schema(REGISTRY)["$defs"]["DandiSource"]["properties"]["every"]
        assert bool(re.search(every["pattern"], spelled)) is valid
        assert re.search(every["pattern"], every["default"])
        if valid:
            assert load(tmp_path, dandi(f"every: {spelled}"))

    def test_the_file_that_editors_read_knows_what_the_loader_knows(self) -> None:
        text = (ROOT / "sources.yaml").read_text("utf-8")
        (name,) = re.findall(r"^# yaml-language-server: \$schema=(.+)$", text, re.MULTILINE)
        written = json.loads((ROOT / name).read_text("utf-8"))
        assert _described(written) == _described(sources_schema(SETTINGS)), (
            "run python -m dandi_pipeline_tests.documentation.sources_schema"
        )


def _described(schema: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return what is said of each key of each definition: pydantic's versions word the rest differently."""
    return {
        name: {key: value.get("description", "") for key, value in definition["properties"].items()}
        for name, definition in schema["$defs"].items()
    }
