"""One odd row, record or header is the failure of its dandiset alone; JSON is kept to the letter in both databases."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dandi_pipeline.canonical import MOST_LEVELS, canonical
from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.errors import ContractError, UnexpectedPayload
from dandi_pipeline.sync.report import Outcome
from dandi_pipeline_tests.end_to_end.rig import IMPATIENT, Rig
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, World, generated_world

ODD, EVEN = "000002", "000001"
PATH = "odd.nwb"

TO_THE_LETTER = {
    "5,000 digits": "9" * 5_000,
    "30 digits": "123456789012345678901234567890",
    "beyond a double": "1e400",
    "minus zero": "-0",
    "a trailing zero": "1.10",
    "an exponent": "1E+2",
    "half a surrogate pair": r'"\ud83d!"',
    "NUL": r'"\u0000!"',
    "300 levels": "[" * 300 + "]" * 300,
    "as deep as is kept": "[" * (MOST_LEVELS - 1) + "]" * (MOST_LEVELS - 1),
}


@contextmanager
def mirrored(url: str, folder: Path, world: World | None = None) -> Iterator[Rig]:
    with SimulatedArchive(world or generated_world(dandisets=4, assets=3)) as archive:
        rig = Rig(archive, url, folder, limits=IMPATIENT)
        rig.sync()
        yield rig


@pytest.mark.parametrize("text", TO_THE_LETTER.values(), ids=TO_THE_LETTER)
def test_metadata_is_kept_as_it_was_written(text: str, mirror_url: str, tmp_path: Path) -> None:
    with mirrored(mirror_url, tmp_path) as rig:
        rig.archive.world.add_asset(ODD, PATH, metadata={"note": "plain"})
        rig.sync()
        rig.archive.faults.add("as_written", name="note", text=text)
        rig.archive.world.edit_asset(ODD, PATH, size=7)
        assert rig.sync()[ODD].outcome is Outcome.SYNCED
        [(metadata,)] = rig.select("SELECT CAST(metadata AS TEXT) FROM draft_assets WHERE path = :path", path=PATH)
        assert f'"note":{text}' in metadata

        before = rig.last_change()
        assert not any(report.changed for report in rig.sync(full=True).values()), "what is the same has the same hash"
        assert rig.last_change() == before
        assert text in images(rig)[-1], "the whole view is read, and this row in it is to the letter"

        rig.archive.faults.clear()
        rig.archive.world.edit_asset(ODD, PATH, size=8)
        rig.sync()
        assert rig.differences() == []
        assert text in images(rig)[-2]
        with open_mirror(mirror_url) as mirror:
            changes = [change for change in mirror.changes(limit=10_000) if change.key == PATH]
        assert canonical((changes[-1].before or {})["metadata"]["note"]).decode() == text


def images(rig: Rig) -> list[str]:
    """Return what the asset was after each of its changes."""
    changes = rig.select("SELECT key, CAST(after AS TEXT) FROM changes ORDER BY sequence")
    return [after for key, after in changes if key == PATH]


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "[" * (MOST_LEVELS + 1) + "]" * (MOST_LEVELS + 1)])
def test_what_no_database_keeps_is_an_error_that_names_its_record(text: str, mirror_url: str, tmp_path: Path) -> None:
    with mirrored(mirror_url, tmp_path) as rig:
        rig.archive.world.add_asset(ODD, PATH, metadata={"note": "plain"})
        rig.archive.world.add_asset(EVEN, PATH)
        rig.archive.faults.add("as_written", name="note", text=text)
        rig.requests()
        reports = rig.sync()
        assert isinstance(reports[ODD].error, UnexpectedPayload)
        assert PATH in str(reports[ODD].error)
        assert reports[EVEN].outcome is Outcome.SYNCED
        assert rig.requests() < 15, "nothing was tried again"
        rig.archive.faults.clear()
        rig.sync()
        assert rig.differences() == []


ODD_VALUES: list[tuple[str, Any]] = [
    ("draft_version", None),
    ("draft_version", [1]),
    ("draft_version.name", None),
    ("draft_version.size", None),
    ("draft_version.size", "12"),
    ("draft_version.asset_count", None),
    ("draft_version.asset_count", 1.5),
    ("draft_version.modified", "2024-01-01T00:00:00"),
    ("draft_version.modified", None),
    ("draft_version.version", {}),
    ("embargo_status", None),
    ("most_recent_published_version", 3),
]


@pytest.mark.parametrize(("name", "value"), ODD_VALUES, ids=str)
def test_an_odd_row_of_the_list_fails_its_dandiset_alone_and_deletes_nothing(
    name: str, value: Any, sqlite_url: str, tmp_path: Path
) -> None:
    with mirrored(sqlite_url, tmp_path) as rig:
        rig.archive.world.add_asset(EVEN, PATH)
        rig.archive.faults.add("odd_row", kind="dandisets", identifier=ODD, name=name, value=value)
        reports = rig.sync()
        assert isinstance(reports[ODD].error, UnexpectedPayload)
        assert f"dandiset {ODD}" in str(reports[ODD].error)
        assert {key: report.outcome for key, report in reports.items() if key != ODD} == {EVEN: Outcome.SYNCED}
        assert rig.differences() == []
        rig.archive.faults.clear()
        assert rig.sync() == {}, "what failed was not changed, and is what it was before"


@pytest.mark.parametrize("value", [None, 17, "", "a\0b"], ids=repr)
def test_a_row_without_an_identifier_ends_the_sync_with_an_error_once_all_else_is_synced(
    value: Any, mirror_url: str, tmp_path: Path
) -> None:
    with mirrored(mirror_url, tmp_path) as rig:
        rig.archive.world.add_asset(EVEN, PATH)
        rig.archive.world.delete_dandiset("000003")
        rig.archive.faults.add("odd_row", kind="dandisets", identifier=ODD, name="identifier", value=value)
        held = rig.select("SELECT count(*) FROM assets WHERE dandiset_id IN ('000002', '000003')")
        with pytest.raises(ContractError, match=r"list of dandisets|no name of a partition"):
            rig.sync()
        assert rig.select("SELECT count(*) FROM assets WHERE path = :path", path=PATH) == [(1,)]
        assert rig.select("SELECT count(*) FROM assets WHERE dandiset_id IN ('000002', '000003')") == held
        rig.archive.faults.clear()
        rig.sync()
        assert rig.differences() == []


def test_a_dandiset_that_is_named_and_answers_oddly_fails_alone(sqlite_url: str, tmp_path: Path) -> None:
    with mirrored(sqlite_url, tmp_path) as rig:
        rig.archive.world.add_asset(EVEN, PATH)
        rig.archive.faults.add("with_value", kind="dandiset", path=f"/{ODD}/", name="draft_version")
        reports = rig.sync(partitions=(EVEN, ODD))
        assert isinstance(reports[ODD].error, UnexpectedPayload)
        assert reports[EVEN].outcome is Outcome.SYNCED
        assert rig.differences() == []


def test_a_page_past_the_end_of_a_list_that_became_shorter_reads_the_list_again(
    sqlite_url: str, tmp_path: Path
) -> None:
    world = World()
    for number in range(1_001):
        world.create_dandiset(f"Dandiset {number}")
    with SimulatedArchive(world) as archive:
        rig = Rig(archive, sqlite_url, tmp_path, limits=IMPATIENT)

        def shrink(kind: str, params: object) -> None:
            if kind == "dandisets" and rig_requests(archive) == 2:
                with world.lock:
                    world.delete_dandiset("000007")

        archive.before_response = shrink
        assert len(rig.stale()) == 1_000
        assert rig_requests(archive) == 3


def rig_requests(archive: SimulatedArchive) -> int:
    return int(archive.requests.counts()["total"])
