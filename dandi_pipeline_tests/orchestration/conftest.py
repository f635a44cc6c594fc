"""Fixtures: an installation on a small archive, and its opened instance."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dandi_pipeline.orchestration.instance import open_instance, prepare_home
from dandi_pipeline_tests.orchestration.site import Site
from dandi_pipeline_tests.prepared import place_home
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with SimulatedArchive(generated_world(dandisets=7, assets=4)) as archive:
        place_home(tmp_path / "home")
        yield Site(archive, tmp_path)


@pytest.fixture
def instance(site: Site) -> Iterator[dg.DagsterInstance]:
    with open_instance(prepare_home(site.settings.dagster_home)) as opened:
        yield opened
