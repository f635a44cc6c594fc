"""One scene and one browser for all tests here."""

from collections.abc import Iterator

import pytest

from dandi_pipeline_tests.browser.chromium import Pages, open_pages
from dandi_pipeline_tests.browser.scene import Scene, scene


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("scene")) as served:
        yield served


@pytest.fixture(scope="session")
def pages(shown: Scene) -> Iterator[Pages]:
    with open_pages(shown.url) as opened:
        yield opened
