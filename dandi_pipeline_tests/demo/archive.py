"""The whole job against a simulated DANDI Archive.

Copies an archive, changes a few things in it, copies what changed, and shows what the mirror says of it.
"""

from typing import Any

from dandi_pipeline_tests.demo.stage import Stage, title
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, World, generated_world

EDITS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("a file is added", "add_asset", {"dandiset_id": "000001", "path": "sub-new/sub-new_ecephys.nwb", "size": 4096}),
    ("a dandiset is renamed", "rename_dandiset", {"dandiset_id": "000002", "name": "Place fields, revisited"}),
    ("a dandiset is published", "publish", {"dandiset_id": "000003"}),
    ("a dandiset is created", "create_dandiset", {"name": "A new dandiset"}),
)


def show_archive(*, ui: bool) -> None:
    """Sync, edit, sync again, and show what the mirror holds."""
    with SimulatedArchive(generated_world(dandisets=12, assets=20)) as archive:
        stage = Stage(DANDI_API_URL=archive.api_url)
        _demonstrate(stage, archive.world)
        if ui:
            stage.serve_ui()


def _demonstrate(stage: Stage, world: World) -> None:
    title("1. The first sync copies everything")
    stage.run("sync")
    seen = stage.last_change()
    title("2. Meanwhile, in the archive")
    _edit(world)
    title("3. The next sync brings only what changed")
    stage.run("sync")
    title("4. The change feed says what that was")
    stage.show("SELECT sequence, partition, record, key, kind FROM changes WHERE sequence > :seen", seen=seen)
    title("5. The mirror answers in SQL: the largest formats of all drafts")
    stage.show(
        "SELECT encoding_format, count(*) AS files, sum(size) / 1000000000 AS gigabytes"
        " FROM draft_assets GROUP BY encoding_format ORDER BY gigabytes DESC"
    )
    title("6. Both syncs are runs in Dagster's history")
    stage.run("history")


def _edit(world: World) -> None:
    for what, operation, arguments in EDITS:
        getattr(world, operation)(**arguments)
        print(f"- {what}: {operation}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})")
    removed, edited, *_ = sorted(world.dandisets["000001"].draft.assets)
    world.remove_asset("000001", removed)
    print(f"- a file is removed: {removed}")
    world.edit_asset("000001", edited, metadata={"keywords": ["x"]})
    print(f"- a file's metadata is edited: {edited}")
