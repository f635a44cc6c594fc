"""A Notion source says what it mirrors in a few lines, and what is wrong with them is one line too."""

from pathlib import Path
from typing import Any

import pytest

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.errors import ConfigurationError, CredentialRejected
from dandi_pipeline.http import LocalBudgets
from dandi_pipeline.platforms.notion.platform import NotionPlatform, open_notion, rate_limit
from dandi_pipeline.platforms.registry import SETTINGS
from dandi_pipeline.settings import Settings, Source, load_sources
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline_tests.platforms.notion.rig import Rig
from dandi_pipeline_tests.simulators.notion import TOKEN, SimulatedNotion, World


def _load(folder: Path, **settings: Any) -> Source:
    path = folder / "sources.yaml"
    lines = [f"      {name}: {value}" for name, value in settings.items()]
    path.write_text("\n".join(["sources:", "  - platform: notion", "    settings:", *lines, ""]), "utf-8")
    (source,) = load_sources(path, SETTINGS)
    return source


def _open(source: Source, **environ: str) -> NotionPlatform:
    return open_notion(source, Settings.from_environment(environ, Path.cwd()), LocalBudgets())


def test_a_source_of_two_lines_is_enough(
    tmp_path: Path, rig: Rig, notion: SimulatedNotion, world: World, ids: dict[str, str]
) -> None:
    database = world.data_sources[ids["Tasks"]].database_id.replace("-", "").upper()
    source = _load(tmp_path, databases=f"[{database}]", data_sources=f"[{ids['Projects']}]", api_url=notion.api_url)
    platform = _open(source, NOTION_TOKEN=TOKEN)
    try:
        with open_mirror(rig.url) as mirror:
            sync = Sync("notion", platform, mirror, SyncOptions())
            reports = list(sync.run(sync.plan(), "run"))
    finally:
        platform.close()
    assert {report.partition for report in reports} == {ids["Projects"], ids["Tasks"], ids["Done tasks"]}
    assert rig.pages().keys() == {ids["Projects"], ids["Tasks"], ids["Done tasks"]}
    assert TOKEN.encode() not in (tmp_path / "mirror.sqlite").read_bytes()


def test_a_token_that_is_not_set_is_named_when_notion_is_asked(
    tmp_path: Path, notion: SimulatedNotion, ids: dict[str, str]
) -> None:
    source = _load(
        tmp_path,
        data_sources=f"[{ids['Tasks']}]",
        api_url=notion.api_url,
        token_env="LAB_NOTION",
        requests_per_minute=7,
    )
    platform = _open(source)
    with pytest.raises(CredentialRejected, match="set LAB_NOTION to the token of a Notion connection"):
        platform.list_partitions()
    platform.close()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (
            "data_sources",
            f"[{'4' * 8}-{'a' * 24}, tasks]",
            "'data_sources': no. 2 is not a Notion id; expected the 32 letters",
        ),
        ("databases", "[https://www.notion.so/Tasks]", "not a Notion id"),
        ("overlap", "1m", "'overlap': expected between 2m and 60m"),
        ("overlap", "2h", "'overlap': expected between 2m and 60m"),
        ("token_env", "ntn_secret", "the NAME of an environment variable"),
        ("requests_per_minute", "601", "'requests_per_minute': expected a whole number from 1 to 600"),
        ("page_size", "101", "'page_size': expected a whole number from 1 to 100"),
        ("data_source", "[]", "did you mean 'data_sources'?"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(tmp_path: Path, key: str, value: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        _load(tmp_path, **{key: value})
    assert said in str(refused.value)
    assert f"{tmp_path / 'sources.yaml'}:4: " in str(refused.value)
    assert "ntn_secret" not in str(refused.value)


@pytest.mark.parametrize("requests_per_minute", [180, 600, 100, 7, 1])
def test_the_rate_is_notions_under_a_name_that_hides_the_token(requests_per_minute: int) -> None:
    limit = rate_limit(TOKEN, requests_per_minute)
    assert (limit.requests, limit.seconds) == (requests_per_minute, 60)
    assert TOKEN not in limit.key
    assert limit.key != rate_limit("ntn_other", requests_per_minute).key
