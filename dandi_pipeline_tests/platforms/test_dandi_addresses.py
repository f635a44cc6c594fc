"""Which archive an address means, and which dandiset an identifier: in every spelling, and never another archive's."""

from pathlib import Path

import pytest

from dandi_pipeline.errors import ConfigurationError
from dandi_pipeline.http import LocalBudgets
from dandi_pipeline.platforms.dandi.platform import DandiPlatform
from dandi_pipeline.platforms.registry import SETTINGS, open_platform
from dandi_pipeline.settings import Settings, load_sources


def archive(api_url: str) -> DandiPlatform:
    """Return the archive of the default source at this address; nothing is sent to it."""
    settings = Settings.from_environment({"DANDI_API_URL": api_url}, Path.cwd())
    platform = open_platform(load_sources(None, SETTINGS)[0], settings, LocalBudgets())
    assert isinstance(platform, DandiPlatform)
    return platform


@pytest.mark.parametrize(
    "api_url",
    [
        "https://api.dandiarchive.org/api",
        "https://api.dandiarchive.org/api/",
        "HTTPS://API.DandiArchive.org/api",
        "https://api.dandiarchive.org:443/api",
        "https://api.dandiarchive.org//api",
    ],
)
def test_every_spelling_of_the_archive_s_address_has_its_bulk_files(api_url: str) -> None:
    platform = archive(api_url)
    assert platform._manifests is not None
    assert str(platform._client.base_url) == "https://api.dandiarchive.org/api"
    platform.close()


def test_another_port_or_path_is_another_archive() -> None:
    for api_url in ("https://api.dandiarchive.org:8443/api", "https://api.dandiarchive.org/API", "http://[::1]:80/api"):
        platform = archive(api_url)
        assert platform._manifests is None
        platform.close()


@pytest.mark.parametrize(
    "site", ["https://dandiarchive.org", "https://www.dandiarchive.org/dandiset", "https://gui.dandiarchive.org/#/"]
)
def test_a_web_site_is_no_api(site: str) -> None:
    with pytest.raises(ConfigurationError, match=r"web site; its API is https://api\.dandiarchive\.org/api|fragment"):
        archive(site)


@pytest.mark.parametrize(
    "text",
    [
        "3",
        "000003",
        " DANDI:000003 ",
        "dandi:3",
        "DANDI:000003/draft",
        "DANDI:000003/0.210812.1448",
        "000003/draft",
        "https://identifiers.org/DANDI:000003",
        "https://dandiarchive.org/dandiset/000003",
        "https://dandiarchive.org/dandiset/000003/draft/files?location=sub-1",
        "https://gui.dandiarchive.org/#/dandiset/000003/0.210812.1448",
        "https://API.dandiarchive.org/api/dandisets/000003/versions/draft/",
    ],
)
def test_a_dandiset_is_understood_in_every_spelling(text: str) -> None:
    platform = archive("https://api.dandiarchive.org/api")
    assert platform.partition_key(text) == "000003"
    platform.close()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "EMBER-DANDI:000003",
            "names a dandiset of EMBER-DANDI, and this source mirrors https://api.dandiarchive.org/api",
        ),
        ("LINC:000003/draft", "names a dandiset of LINC"),
        ("https://sandbox.dandiarchive.org/dandiset/000003", "of sandbox.dandiarchive.org.*write 000003 alone"),
        ("https://lincbrain.org/dandiset/3", "of lincbrain.org"),
        ("000003/latest", "is not a dandiset identifier"),
        ("../../evil?x=1", "is not a dandiset identifier"),
        ("٣", "is not a dandiset identifier"),
    ],
)
def test_what_names_another_archive_or_nothing_is_refused(text: str, said: str) -> None:
    platform = archive("https://api.dandiarchive.org/api")
    with pytest.raises(ConfigurationError, match=said):
        platform.partition_key(text)
    platform.close()


def test_another_archive_s_own_address_is_understood_there() -> None:
    platform = archive("https://api.sandbox.dandiarchive.org/api")
    assert platform.partition_key("https://sandbox.dandiarchive.org/dandiset/000003/draft") == "000003"
    with pytest.raises(ConfigurationError, match=r"names a dandiset of dandiarchive\.org"):
        platform.partition_key("https://dandiarchive.org/dandiset/000003")
    platform.close()
