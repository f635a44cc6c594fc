"""One scene and one browser for all tests here, which are left out where there is no browser.

`make test` needs no more than Python; asked for by their folder's name, the tests fail without a browser. The gate
in `.ci/run` gets one first.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dandi_pipeline_tests.browser.chromium import HOW_TO_GET_IT, Pages, installed, open_pages
from dandi_pipeline_tests.browser.scene import Scene, scene

HERE = Path(__file__).parent


def _left_out(config: pytest.Config) -> bool:
    asked_for = any(
        HERE in (path := Path(argument.partition("::")[0]).resolve()).parents or path == HERE
        for argument in config.invocation_params.args
        if not argument.startswith("-")
    )
    return installed() is None and not asked_for


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    return True if _left_out(config) else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if _left_out(config):
        terminalreporter.write_line(f"The browser tests were left out. {HOW_TO_GET_IT}")


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("scene")) as served:
        yield served


@pytest.fixture(scope="session")
def pages(shown: Scene) -> Iterator[Pages]:
    with open_pages(shown.url) as opened:
        yield opened
