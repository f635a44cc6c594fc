"""A preview foresees edits at the price of a sync, a verification everything; neither writes."""

from contextlib import closing

import pytest

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.report import PartitionReport, Tally
from dandi_pipeline_tests.platforms.notion.rig import Rig
from dandi_pipeline_tests.simulators.notion import World


def _preview(rig: Rig, **options: object) -> dict[str, PartitionReport]:
    with closing(rig.open_platform()) as platform, open_mirror(rig.url) as mirror:
        sync = Sync("notion", platform, mirror, SyncOptions(**options))  # type: ignore[arg-type]
        return {report.partition: report for report in sync.preview(sync.plan())}


@pytest.fixture
def edited(rig: Rig, world: World, ids: dict[str, str]) -> Rig:
    """A mirror behind by an edit, a new page and a trashed one."""
    rig.page_size = 4
    rig.sync()
    rig.settle()
    first, second, *_ = world.data_sources[ids["Done tasks"]].page_ids
    world.edit_page(first, {"Closed": "2026-11-20"})
    world.trash_page(second)
    world.add_page(ids["Done tasks"], {"Name": "New"})
    rig.asked()
    return rig


def test_a_preview_foresees_edits_at_the_price_of_a_sync(edited: Rig, ids: dict[str, str]) -> None:
    before = edited.changes()
    (report,) = _preview(edited).values()
    assert report.partition == ids["Done tasks"]
    assert (report.tallies["page"].added, report.tallies["page"].updated) == (1, 1)
    assert edited.asked()["query"] == 4 + 1, "a look at the newest edit of each, and one page of rows"
    assert edited.changes() == before


def test_a_preview_foresees_that_a_renamed_property_changes_every_page(edited: Rig, ids: dict[str, str]) -> None:
    edited.world.rename_property(ids["Projects"], "Name", "Title")
    tally = _preview(edited)[ids["Projects"]].tallies["page"]
    assert (tally.checked, tally.updated) == (12, 12)
    assert edited.sync()[ids["Projects"]].tallies["page"] == tally


def test_a_verification_finds_what_moves_no_time(edited: Rig, ids: dict[str, str]) -> None:
    reports = _preview(edited, full=True)
    assert reports[ids["Done tasks"]].tallies["page"] == Tally(checked=12, added=1, updated=1, deleted=1, unchanged=10)
    assert reports[ids["Projects"]].tallies["page"] == Tally(checked=12, unchanged=12)
