"""Whatever goes wrong on the way: nothing wrong is stored, nothing valid is lost, and one quiet sync makes it good."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.errors import (
    AccessRefused,
    ConfigurationError,
    ContractError,
    CredentialRejected,
    PipelineError,
    PlatformFailing,
    PlatformUnreachable,
    ResourceMissing,
    TornRead,
    TransientError,
    UnexpectedPayload,
    WrongAddress,
)
from dandi_pipeline.http.client import Unintelligible
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.report import Outcome, PartitionReport
from dandi_pipeline_tests.end_to_end.equality import TABLES, Rows, expected_rows, held_rows, same
from dandi_pipeline_tests.end_to_end.rig import IMPATIENT, Rig
from dandi_pipeline_tests.simulators.dandi import OWNER_TOKEN, SimulatedArchive, World, generated_world

KINDS = ("dandisets", "versions", "version", "version_info", "assets_full")
"""The requests that a sync of small dandisets makes."""

HIT, SPARED = "000002", "000001"
"""Both are edited; faults that are told a path hit the first one only."""


@contextmanager
def edited(url: str, folder: Path, *, key: str | None = None, large: int = 0) -> Iterator[Rig]:
    """Mirror a small archive, then change it so that every sort of request is needed to follow."""
    with SimulatedArchive(generated_world(dandisets=5, assets=4, large=large), seed=11) as archive:
        rig = Rig(archive, url, folder, key=key, limits=IMPATIENT)
        rig.sync()
        assert rig.differences() == []
        edit(archive.world, HIT)
        edit(archive.world, SPARED)
        yield rig


def edit(world: World, identifier: str) -> None:
    path = min(world.dandisets[identifier].draft.assets)
    world.remove_asset(identifier, path)
    world.publish(identifier)
    world.add_asset(identifier, f"{path}.added.nwb")
    world.edit_dandiset(identifier, {"description": f"edited at {world.clock.now()}"})


@dataclass(frozen=True)
class Snapshots:
    """The archive before and after the edits."""

    before: Mapping[str, Rows]
    after: Mapping[str, Rows]

    def problems(self, held: Mapping[str, Rows]) -> list[str]:
        """Return every row that is neither as it was nor as it is, and every one lost that was never removed."""
        found = []
        for table in TABLES:
            before, after, now = self.before[table], self.after[table], held[table]
            found += [f"{table} {key} is lost" for key in before.keys() & after.keys() - now.keys()]
            found += [f"{table} {key} is wrong" for key, row in now.items() if not self._is_true(table, key, row)]
        return found

    def _is_true(self, table: str, key: tuple[str, ...], row: Mapping[str, Any]) -> bool:
        states = (self.before[table].get(key), self.after[table].get(key))
        return any(state is not None and same(state, {name: row[name] for name in state}) for state in states)


def snapshots(rig: Rig) -> Snapshots:
    after = expected_rows(rig.archive.world.snapshot(rig.key))
    return Snapshots(held_rows(rig.url), after)


PASSING: Mapping[str, Mapping[str, Any]] = {
    "429": {"effect": "status", "status": 429},
    "429-seconds": {"effect": "status", "status": 429, "retry_after": 1},
    "429-date": {"effect": "status", "status": 429, "retry_after": 1, "as_date": True},
    "500": {"effect": "status", "status": 500},
    "502": {"effect": "status", "status": 502},
    "503": {"effect": "status", "status": 503},
    "503-seconds": {"effect": "status", "status": 503, "retry_after": 1},
    "504": {"effect": "status", "status": 504},
    "reset": {"effect": "reset"},
    "slow-start": {"effect": "slow_start", "seconds": 0.7},
    "slow-body": {"effect": "slow_body", "seconds": 1.5},
    "cut-body": {"effect": "cut_body", "at": 0.5},
    "cut-gzip": {"effect": "cut_gzip", "at": 0.7},
    "html": {"effect": "html"},
    "html-503": {"effect": "html", "status": 503},
}
"""What another attempt may heal."""


@pytest.mark.parametrize("fault", PASSING)
def test_trouble_that_passes_costs_a_repetition_and_nothing_else(fault: str, sqlite_url: str, tmp_path: Path) -> None:
    with edited(sqlite_url, tmp_path) as rig:
        for kind in KINDS:
            rig.archive.faults.add(**PASSING[fault], kind=kind, times=1)
        reports = rig.sync()
        assert rig.archive.faults.struck() == len(KINDS)
        assert {report.outcome for report in reports.values()} == {Outcome.SYNCED}
        assert rig.differences() == []


STAYING: Mapping[str, tuple[Mapping[str, Any], type[PipelineError]]] = {
    **{
        name: (fault, PlatformUnreachable if name in ("reset", "slow-start") else PlatformFailing)
        for name, fault in PASSING.items()
        if "seconds" not in name and "date" not in name
    },
    "html": ({"effect": "html"}, Unintelligible),
    "html-404": ({"effect": "html", "status": 404}, WrongAddress),
    "html-403": ({"effect": "html", "status": 403}, WrongAddress),
    "429-for-an-hour": ({"effect": "status", "status": 429, "retry_after": 3600}, PlatformFailing),
    "401": ({"effect": "status", "status": 401}, AccessRefused),
    "403": ({"effect": "status", "status": 403}, AccessRefused),
    "404": ({"effect": "status", "status": 404}, ResourceMissing),
    "null-path": ({"effect": "with_value", "name": "path"}, UnexpectedPayload),
    "no-asset-id": ({"effect": "without_field", "name": "asset_id"}, UnexpectedPayload),
    "number-as-text": ({"effect": "as_string", "name": "size"}, UnexpectedPayload),
    "huge-number": ({"effect": "huge", "name": "size"}, UnexpectedPayload),
    "beyond-64-bits": ({"effect": "with_value", "name": "size", "value": 2**63}, UnexpectedPayload),
    "nul-in-a-path": ({"effect": "with_value", "name": "path", "value": "a\0b"}, TornRead),
    "no-list": ({"effect": "with_value", "name": "results", "value": {}}, UnexpectedPayload),
    "one-path-for-all": ({"effect": "with_value", "name": "path", "value": "same.nwb"}, TornRead),
    "nothing-listed": ({"effect": "with_value", "name": "results", "value": []}, TornRead),
    "count-too-high": ({"effect": "wrong_count", "by": 1}, TornRead),
    "count-too-low": ({"effect": "wrong_count", "by": -1}, TornRead),
    "page-missing": ({"effect": "page_skipped"}, UnexpectedPayload),
}
"""What no repetition heals, on the asset pages of one dandiset, and what it is reported as."""


@pytest.mark.parametrize("fault", STAYING)
def test_trouble_of_one_dandiset_is_its_own(fault: str, mirror_url: str, tmp_path: Path) -> None:
    with edited(mirror_url, tmp_path) as rig:
        before = snapshots(rig)
        details, error = STAYING[fault]
        rig.archive.faults.add(**details, path=f"/{HIT}/versions/draft/assets/")
        reports = rig.sync()

        assert reports[SPARED].outcome is Outcome.SYNCED
        assert type(reports[HIT].error) is error
        assert HIT in str(reports[HIT].error)
        assert before.problems(held_rows(mirror_url)) == []
        recorded = rig.select(f"SELECT error_group FROM partitions WHERE partition = '{HIT}' AND part = 'assets'")
        assert recorded == [(error.group,)]
        assert rig.stale() == (HIT,)

        rig.archive.faults.clear()
        assert rig.sync()[HIT].outcome is Outcome.SYNCED
        assert rig.differences() == []
        assert rig.select("SELECT DISTINCT error_group FROM partitions") == [(None,)]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("503", PlatformFailing),
        ("reset", PlatformUnreachable),
        ("401", AccessRefused),
        ("404", WrongAddress),
        ("html", WrongAddress),
        ("no-list", UnexpectedPayload),
        ("count-too-high", ContractError),
        ("count-too-low", ContractError),
    ],
)
def test_a_list_of_dandisets_that_cannot_be_trusted_stops_the_sync(
    fault: str, error: type[PipelineError], sqlite_url: str, tmp_path: Path
) -> None:
    with edited(sqlite_url, tmp_path) as rig:
        held = held_rows(sqlite_url)
        rig.archive.faults.add(**STAYING[fault][0], kind="dandisets")
        with pytest.raises(error):
            rig.sync()
        assert held_rows(sqlite_url) == held
        rig.archive.faults.clear()
        rig.sync()
        assert rig.differences() == []


def test_a_key_that_is_refused_in_the_middle_stops_the_sync_and_loses_nothing(mirror_url: str, tmp_path: Path) -> None:
    with edited(mirror_url, tmp_path, key=OWNER_TOKEN) as rig:
        before = snapshots(rig)
        rig.archive.faults.add("status", status=401, kind="assets_full")
        with pytest.raises(CredentialRejected) as refused:
            rig.sync()
        assert OWNER_TOKEN not in str(refused.value)
        assert before.problems(held_rows(mirror_url)) == []
        rig.archive.faults.clear()
        rig.sync()
        assert rig.differences() == []


@pytest.mark.parametrize("status", [401, 404])
def test_an_archive_that_lists_but_otherwise_refuses_everything_deletes_and_hides_nothing(
    status: int, mirror_url: str, tmp_path: Path
) -> None:
    with edited(mirror_url, tmp_path) as rig:
        held = held_rows(mirror_url)
        rig.archive.faults.add("status", status=status, path=r"/dandisets/\d{6}/")
        reports = rig.sync()
        assert {report.outcome for report in reports.values()} == {Outcome.FAILED}
        assert held_rows(mirror_url) == held
        rig.archive.faults.clear()
        rig.sync()
        assert rig.differences() == []


@pytest.mark.parametrize("fault", ["page_repeated", "page_skipped"])
@pytest.mark.parametrize("large", [1_003, 2_003])
def test_a_page_that_comes_twice_or_not_at_all_is_noticed(
    fault: str, large: int, sqlite_url: str, tmp_path: Path
) -> None:
    with edited(sqlite_url, tmp_path, large=large) as rig:
        before = snapshots(rig)
        rig.archive.faults.add(fault, kind="assets_full", path=r"/000001/.*page=2")
        assert isinstance(rig.sync()[SPARED].error, TornRead)
        assert before.problems(held_rows(sqlite_url)) == []
        rig.archive.faults.clear()
        rig.sync()
        assert rig.differences() == []


@pytest.mark.parametrize("kind", ["assets_full", "assets_bare"])
def test_a_count_that_hides_whole_pages_deletes_nothing(kind: str, sqlite_url: str, tmp_path: Path) -> None:
    """Were the walk to end where the count says, it would look complete."""
    with edited(sqlite_url, tmp_path, large=3_005 if kind == "assets_bare" else 1_005) as rig:
        before = snapshots(rig)
        assets = len(rig.archive.world.dandisets[SPARED].draft.assets)
        rig.archive.faults.add("wrong_count", by=-(assets % 1_000), kind=kind, path="/000001/.*page=1&")
        assert isinstance(rig.sync()[SPARED].error, TornRead)
        assert before.problems(held_rows(sqlite_url)) == []
        rig.archive.faults.clear()
        rig.sync()
        assert rig.differences() == []


def test_a_dandiset_said_to_be_unpublished_keeps_its_versions(sqlite_url: str, tmp_path: Path) -> None:
    with edited(sqlite_url, tmp_path) as rig:
        before = snapshots(rig)
        rig.archive.faults.add("with_value", name="most_recent_published_version", kind="dandisets")
        rig.sync()
        assert before.problems(held_rows(sqlite_url)) == []
        rig.archive.faults.clear()
        rig.sync()
        assert rig.differences() == []


def test_the_next_page_is_never_asked_of_another_host(sqlite_url: str, tmp_path: Path) -> None:
    world = generated_world(dandisets=3, assets=4, large=1_005)
    with SimulatedArchive(World()) as elsewhere, SimulatedArchive(world) as archive:
        rig = Rig(archive, sqlite_url, tmp_path, key=OWNER_TOKEN, limits=IMPATIENT)
        for kind in ("dandisets", "versions", "assets_full"):
            archive.faults.add("foreign_next", host=elsewhere.url, kind=kind, times=2)
        try_to_sync(rig)
        assert elsewhere.requests.counts()["total"] == 0
        archive.faults.clear()
        rig.sync()
        assert rig.differences() == []


def test_versions_that_do_not_add_up_are_not_believed(sqlite_url: str, tmp_path: Path) -> None:
    with edited(sqlite_url, tmp_path) as rig:
        before = snapshots(rig)
        rig.archive.faults.add("wrong_count", kind="versions", path=f"/{HIT}/")
        assert isinstance(rig.sync()[HIT].error, TornRead)
        assert before.problems(held_rows(sqlite_url)) == []
        rig.archive.faults.clear()
        rig.sync()
        assert rig.differences() == []


def test_a_failure_that_quotes_hostile_text_is_recorded(mirror_url: str) -> None:
    with open_mirror(mirror_url) as mirror:
        mirror.record_failure("dandi", HIT, ["assets"], run_id="run", group="contract", message="a\0b \ud800 c")
        assert mirror.states("dandi")[HIT, "assets"].error == r"a\0b \ud800 c"


# Answers of every wrong shape

CONTENT = "metadata"
"""Free-form: whatever is in it is what the platform says."""


@pytest.mark.parametrize("kind", ["dandisets", "dandiset", "versions", "version_info", "assets_full"])
def test_an_answer_of_the_wrong_shape_is_an_error_of_the_contract_or_of_no_consequence(
    kind: str, sqlite_url: str, tmp_path: Path
) -> None:
    with edited(sqlite_url, tmp_path) as rig:
        struck = 0
        for effect, name in wrong_shapes(rig, kind):
            edit(rig.archive.world, SPARED)
            rig.archive.world.edit_dandiset(HIT, {"description": f"{effect} {name}"})
            before = snapshots(rig)
            rig.archive.faults.add(effect, name=name, kind=kind)
            failures = try_to_sync(rig, partitions=(SPARED, HIT) if kind == "dandiset" else ())
            assert all(isinstance(error, ContractError | TransientError | ConfigurationError) for error in failures)
            assert before.problems(held_rows(sqlite_url)) == [], f"{effect} {name}"
            struck += rig.archive.faults.struck()
            rig.archive.faults.clear()
            rig.sync()
            assert rig.differences() == [], f"after {effect} {name}"
        assert struck


def try_to_sync(rig: Rig, **options: Any) -> list[PipelineError]:
    """Sync as far as it goes; return what failed, of one dandiset or of all."""
    with closing(rig.open_platform()) as platform, open_mirror(rig.url) as mirror:
        sync = Sync("dandi", platform, mirror, SyncOptions(**options))
        reports: list[PartitionReport] = []
        try:
            reports += sync.run(sync.plan(), "run")
        except PipelineError as error:
            return [error]
    return [report.error for report in reports if report.error]


def wrong_shapes(rig: Rig, kind: str) -> Iterator[tuple[str, str]]:
    """Yield every way to spoil a field of a true answer, as an effect and the field's name."""
    place = {
        "dandisets": "dandisets/",
        "dandiset": f"dandisets/{HIT}/",
        "versions": f"dandisets/{HIT}/versions/",
        "version_info": f"dandisets/{HIT}/versions/draft/info/",
        "assets_full": f"dandisets/{HIT}/versions/draft/assets/?metadata=true",
    }[kind]
    answer = requests.get(f"{rig.archive.api_url}/{place}", timeout=5).json()
    for name, value in fields(answer):
        yield "without_field", name
        yield "with_value", name
        if type(value) is int:
            yield "as_string", name
            yield "huge", name


def fields(value: Any, *above: str) -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the value of each field, one row of a list standing for all."""
    if isinstance(value, list):
        yield from fields(value[0]) if value and isinstance(value[0], dict) else ()
    elif isinstance(value, dict):
        for name, member in value.items():
            yield ".".join((*above, name)), member
            if name != CONTENT:
                yield from fields(member, *above, name) if isinstance(member, dict) else fields(member)
