"""All three platforms at once: five sources in two applications, kept in sync from one file.

Lists and plans them, syncs them all, edits something on each platform, syncs what is due, and shows what changed and
how healthy it all is.
"""

import time
from contextlib import ExitStack
from dataclasses import dataclass

from dandi_pipeline_tests.demo.stage import FOLDER, Stage, narrate, title, wait_until
from dandi_pipeline_tests.simulators import airtable as airtables
from dandi_pipeline_tests.simulators import dandi as archives
from dandi_pipeline_tests.simulators import notion as notions
from dandi_pipeline_tests.simulators.airtable import SimulatedAirtable
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive
from dandi_pipeline_tests.simulators.notion import SimulatedNotion

SOURCES = """\
sources:
  - platform: dandi
    application: neuro
    every: 1m
    user: team:data
    settings:
      api_url: {archive}
  - alias: planning
    platform: notion
    application: neuro
    component: projects
    every: 1m
    settings:
      api_url: {notion}
      data_sources: [{projects}, {tasks}]
  - alias: notes
    platform: notion
    application: office
    every: daily
    settings:
      api_url: {notion}
      data_sources: [{notes}]
  - alias: notebook
    platform: airtable
    application: neuro
    component: experiments
    every: 1m
    settings:
      api_url: {airtable}
      bases: [{{base: {notebook}}}]
  - alias: stock
    platform: airtable
    application: office
    every: daily
    settings:
      api_url: {airtable}
      bases: [{{base: {stock}}}]
"""

INTERVAL = 60.0
"""Seconds of the shortest interval that a source can have."""


@dataclass(frozen=True)
class Platforms:
    """The three simulated platforms."""

    archive: SimulatedArchive
    notion: SimulatedNotion
    airtable: SimulatedAirtable

    @property
    def sources(self) -> str:
        """The file that lists what is to be mirrored of them."""
        projects, tasks, _, notes = self.notion.world.data_sources
        notebook, stock = self.airtable.world.bases
        return SOURCES.format(
            archive=self.archive.api_url,
            notion=self.notion.api_url,
            airtable=self.airtable.api_url,
            projects=projects,
            tasks=tasks,
            notes=notes,
            notebook=notebook,
            stock=stock,
        )

    def edit(self) -> None:
        """Change something on each, and say what."""
        self._edit_archive()
        self._edit_workspace()
        self._edit_base()

    def _edit_archive(self) -> None:
        world = self.archive.world
        world.add_asset("000001", "sub-new/sub-new_ecephys.nwb", size=4096)
        print("- DANDI: dandiset 000001 gets a file, sub-new/sub-new_ecephys.nwb")
        removed = min(world.dandisets["000002"].draft.assets)
        world.remove_asset("000002", removed)
        print(f"- DANDI: dandiset 000002 loses one, {removed}")

    def _edit_workspace(self) -> None:
        world = self.notion.world
        projects, tasks, *_ = world.data_sources
        project = next(iter(world.data_sources[projects].page_ids))
        world.edit_page(project, {"Name": "Electrode array, second try", "Budget": 12_000})
        print("- Notion: a project gets another name and a larger budget")
        world.add_page(tasks, {"Name": "Order the probes", "Estimate": 3, "Project": [project]})
        print("- Notion: a task is added, 'Order the probes'")

    def _edit_base(self) -> None:
        world = self.airtable.world
        notebook, _ = world.bases.values()
        sessions = next(table for table in notebook.tables.values() if table.name == "Sessions")
        first, second, *_ = sessions.records
        world.edit_record(sessions.id, first, {"Status": "Done", "Trials": 321})
        world.edit_record(sessions.id, second, {"Status": "Done"})
        print("- Airtable: two recordings of the table 'Sessions' are done")


def show_platforms(*, ui: bool) -> None:
    """Sync all, edit each, sync what is due, and show what came of it."""
    with ExitStack() as served:
        platforms = Platforms(
            served.enter_context(SimulatedArchive(archives.generated_world(dandisets=8, assets=10))),
            served.enter_context(SimulatedNotion(notions.generated_world(pages=12))),
            served.enter_context(SimulatedAirtable(airtables.generated_world(tables=4, records=25))),
        )
        file = FOLDER / "sources.yaml"
        file.write_text(platforms.sources, encoding="utf-8")
        stage = Stage(
            DANDI_PIPELINE_SOURCES=str(file),
            NOTION_TOKEN=platforms.notion.token,
            AIRTABLE_TOKEN=platforms.airtable.token,
        )
        _demonstrate(stage, platforms)
        if ui:
            stage.serve_ui()


def _demonstrate(stage: Stage, platforms: Platforms) -> None:
    title(f"1. Five sources on three platforms, as {FOLDER}/sources.yaml lists them")
    narrate(platforms.sources)
    stage.run("list")
    title("2. What a sync would do, and how long it would take at each platform's rate")
    stage.run("sync", "--dry-run")
    title("3. The first sync copies everything, the sources side by side")
    stage.run("sync", "all", "--no-progress")
    synced = time.monotonic()
    seen = stage.last_change()
    title("4. Each table of Notion and Airtable is a view, with the names that its users gave")
    stage.show('SELECT "Name", "Status", "Budget"\nFROM planning_projects\nORDER BY "Budget" DESC LIMIT 5')
    stage.show('SELECT "Status", count(*) AS recordings, sum("Trials") AS trials\nFROM notebook_sessions\nGROUP BY 1')
    title("5. Meanwhile, on the platforms")
    platforms.edit()
    title("6. The next sync asks only the sources that are due, and brings only what changed")
    wait_until(synced + INTERVAL, "three of the sources are due every minute, the other two once a day")
    stage.run("sync", "--only-due", "--dry-run")
    print()
    stage.run("sync", "--only-due", "--no-progress")
    title("7. One change feed tells it all, with every row as it was before and after")
    stage.show(
        "SELECT sequence, source, record, kind, coalesce(json_extract(after, '$.title'), key) AS what\n"
        "FROM changes\n"
        "WHERE sequence > :seen",
        seen=seen,
    )
    stage.show(
        "SELECT json_extract(before, '$.title') AS before, json_extract(after, '$.title') AS after\n"
        "FROM changes\n"
        "WHERE sequence > :seen AND source = 'planning' AND record = 'page' AND kind = 'update'",
        seen=seen,
    )
    title("8. What is held of each source, and whether all is well")
    stage.run("inspect")
    print()
    stage.run("health")
