"""Three platforms, and a sources file of five sources in two applications on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from dandi_pipeline_tests.cli.conftest import Finished, Shell
from dandi_pipeline_tests.simulators import airtable as airtables
from dandi_pipeline_tests.simulators import notion as notions
from dandi_pipeline_tests.simulators.airtable import SimulatedAirtable
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world
from dandi_pipeline_tests.simulators.notion import SimulatedNotion

SOURCES = """\
sources:
  - {{platform: dandi, every: 15m, application: neuro, user: "team:data"}}
  - alias: sandbox
    platform: dandi
    enabled: false
    application: neuro
    component: trial
    vault: lab-keys
  - alias: tasks
    platform: notion
    every: 1h
    application: skyflow
    component: artefact
    vault: lab-keys
    user: "team:data"
    settings: {{api_url: "{notion}", data_sources: ["{tasks}"]}}
  - alias: notes
    platform: notion
    every: daily
    application: skyflow
    component: feature
    user: ann
    settings: {{api_url: "{notion}", data_sources: ["{notes}"]}}
  - alias: stock
    platform: airtable
    every: 6h
    application: skyflow
    component: artefact
    settings: {{api_url: "{airtable}", bases: [{{base: "{base}"}}]}}
"""


@dataclass(frozen=True)
class Estate:
    """A user's shell in the folder of that file, and the platforms that it names."""

    shell: Shell
    archive: SimulatedArchive
    notion: SimulatedNotion
    airtable: SimulatedAirtable

    def run(self, *arguments: str, **environment: str) -> Finished:
        return self.shell.run(*arguments, **{**self.credentials, **environment})

    @property
    def credentials(self) -> dict[str, str]:
        return {"NOTION_TOKEN": self.notion.token, "AIRTABLE_TOKEN": self.airtable.token}

    @property
    def sources(self) -> Path:
        """The sources file."""
        return self.shell.folder / "sources.yaml"

    def enter(self, patch: pytest.MonkeyPatch) -> None:
        """Let this process be one in the estate's folder, with its environment, until `patch` is undone."""
        patch.chdir(self.shell.folder)
        for name in ("DANDI_API_KEY", "DAGSTER_HOME", "MIRROR_DATABASE_URL", "DANDI_PIPELINE_SOURCES"):
            patch.delenv(name, raising=False)
        for name, value in self.shell.environment(**self.credentials).items():
            patch.setenv(name, value)

    def forget_requests(self) -> None:
        for platform in (self.archive, self.notion, self.airtable):
            platform.requests.reset()


@contextmanager
def estate(folder: Path) -> Iterator[Estate]:
    """Serve small platforms without limits, and write the sources file into `folder`."""
    notion_world = notions.generated_world(sources=3, pages=4)
    airtable_world = airtables.generated_world(tables=2, records=5)
    with (
        SimulatedArchive(generated_world(dandisets=4, assets=3)) as archive,
        SimulatedNotion(notion_world, limits=notions.UNLIMITED) as notion,
        SimulatedAirtable(airtable_world, limits=airtables.UNLIMITED) as airtable,
    ):
        projects, tasks, _ = notion_world.data_sources
        text = SOURCES.format(
            notion=notion.api_url,
            tasks=tasks,
            notes=projects,
            airtable=airtable.api_url,
            base=next(iter(airtable_world.bases)),
        )
        (folder / "sources.yaml").write_text(text)
        yield Estate(Shell(folder, archive.api_url), archive, notion, airtable)
