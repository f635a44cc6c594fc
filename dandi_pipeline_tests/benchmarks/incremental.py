"""What a sync costs after 0, 1, 10, 100 and 1,000 of an archive's assets were edited."""

import random
import tempfile
import time
from math import ceil
from pathlib import Path

from dandi_pipeline_tests.benchmarks.served import Copy, ServedArchive, quiet_world
from dandi_pipeline_tests.benchmarks.tables import Scale, Table
from dandi_pipeline_tests.simulators.dandi import World
from dandi_pipeline_tests.simulators.dandi.records import OPEN, Dandiset

EDITED = (0, 1, 10, 100, 1_000)

AT_A_TIME = 10
"""Assets that are edited in the same dandiset: people work on one, not on all of them."""

LARGE = {Scale.QUICK: 3_000, Scale.FULL: 60_000}
"""Assets of one large draft, of which one is edited."""

_SIZES = {Scale.QUICK: (130, 75), Scale.FULL: (240, 500)}
"""Dandisets, and about how many assets each has: a sixth of them is empty, so 8,000 or 100,000 in all."""


def measure(scale: Scale) -> Table:
    """Edit more and more, and sync each time."""
    dandisets, assets = _SIZES[scale]
    world = quiet_world(dandisets=dandisets, assets=assets)
    held = sum(len(dandiset.draft.assets) for dandiset in _editable(world))
    with ServedArchive(world) as archive, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        copy = Copy(archive, f"sqlite:///{Path(folder) / 'mirror.sqlite'}", manifests=True)
        copy.sync()
        rows = tuple(_row(copy, edited) for edited in EDITED)
        if scale is Scale.QUICK:
            copy.require_equal()
    rows += (_row_of_large(LARGE[scale]),)
    return Table(
        title="What changed, and what its sync costs",
        command=scale.command("incremental"),
        columns=("assets edited", "dandisets touched", "requests", "seconds"),
        rows=rows,
        notes=(
            f"Of {held:,} assets in {dandisets} dandisets, {AT_A_TIME} edited at a time in one dandiset; SQLite. A"
            " dandiset takes two requests, for its newest assets and its draft's row, and one for its zarrs if it has"
            " any. The last row is of an archive of its own.",
        ),
    )


def _row_of_large(assets: int) -> tuple[str, ...]:
    """Measure one edit in a draft of so many assets."""
    with (
        ServedArchive(quiet_world(dandisets=2, assets=4, large=assets)) as archive,
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
    ):
        copy = Copy(archive, f"sqlite:///{Path(folder) / 'mirror.sqlite'}", manifests=True)
        copy.sync()
        _, *row = _row(copy, 1)
    return (f"1 in a draft of {assets:,}", *row)


def _row(copy: Copy, edited: int) -> tuple[str, ...]:
    copy.archive.apply(edit, edited)
    copy.archive.asked()
    started = time.monotonic()
    copy.sync()
    seconds = time.monotonic() - started
    return (f"{edited:,}", f"{ceil(edited / AT_A_TIME):,}", f"{copy.archive.asked().requests:,}", f"{seconds:.2f}")


def edit(world: World, assets: int) -> None:
    """Edit so many assets, always the same ones for the same number."""
    chance = random.Random(assets)
    touched = chance.sample(_editable(world), ceil(assets / AT_A_TIME))
    for dandiset in touched:
        for path in chance.sample(sorted(dandiset.draft.assets), min(assets, AT_A_TIME)):
            world.edit_asset(dandiset.identifier, path, metadata={"keywords": [f"edited with {assets} others"]})


def _editable(world: World) -> list[Dandiset]:
    return [
        dandiset
        for dandiset in world.dandisets.values()
        if dandiset.embargo_status == OPEN and len(dandiset.draft.assets) >= AT_A_TIME
    ]
