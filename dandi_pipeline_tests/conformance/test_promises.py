"""The promises, tried on every platform under test and on both databases."""

import random
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from dandi_pipeline.catalogue import open_mirror, peek_mirror
from dandi_pipeline.errors import TornRead, TransientError, UnexpectedPayload, UnforeseenError
from dandi_pipeline.mirror import Change, Mirror
from dandi_pipeline.mirror.schema import RECORD_TABLES
from dandi_pipeline.model import Gone, Listed, LookupResult, Observation, Observed, Platform, ReadRequest, Record
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.planning import SyncPlan
from dandi_pipeline.sync.report import DIFFERENT, Difference, Outcome, PartitionReport
from dandi_pipeline_tests.conformance.platform_under_test import ServedPlatform
from dandi_pipeline_tests.conformance.registry import UNDER_TEST
from dandi_pipeline_tests.end_to_end.equality import plain_engine


@pytest.fixture(params=UNDER_TEST)
def served(request: pytest.FixtureRequest) -> Iterator[ServedPlatform]:
    with UNDER_TEST[request.param](seed=7) as platform:
        yield platform


@pytest.fixture
def chance() -> random.Random:
    return random.Random(7)


def sync(served: ServedPlatform, url: str, **options: Any) -> Mapping[str, PartitionReport]:
    with closing(served.open()) as platform, open_mirror(url) as mirror:
        work = Sync(served.name, platform, mirror, SyncOptions(**options))
        return {report.partition: report for report in work.run(work.plan(), "run")}


def plan(served: ServedPlatform, url: str) -> SyncPlan:
    with closing(served.open()) as platform, open_mirror(url) as mirror:
        return Sync(served.name, platform, mirror, SyncOptions()).plan()


def changes(url: str) -> list[Change]:
    with open_mirror(url) as mirror:
        return mirror.changes(limit=100_000)


# Of a platform alone


def test_the_listing_shows_each_partition_once_and_a_look_up_shows_the_same(served: ServedPlatform) -> None:
    with closing(served.open()) as platform:
        listed = platform.list_partitions()
        assert listed
        assert len({item.key for item in listed}) == len(listed)
        for item in listed:
            seen = platform.look_up(item.key)
            assert isinstance(seen, Listed)
            assert (seen.key, seen.token) == (item.key, item.token)
            assert item.modified.tzinfo is not None
            assert platform.partition_key(item.key) == item.key


def test_every_edit_moves_the_token_of_its_partition_and_of_no_other(
    served: ServedPlatform, chance: random.Random
) -> None:
    with closing(served.open()) as platform:
        for _ in range(10):
            before = {item.key: item.token for item in platform.list_partitions()}
            edited = served.edit(chance)
            after = {item.key: item.token for item in platform.list_partitions()}
            assert {key for key in after if after[key] != before[key]} == {edited}


def test_what_does_not_exist_is_gone(served: ServedPlatform) -> None:
    with closing(served.open()) as platform:
        assert platform.look_up(served.unknown_partition) == Gone(served.unknown_partition)


def test_kinds_belong_to_parts(served: ServedPlatform) -> None:
    with closing(served.open()) as platform:
        assert {kind.part for kind in platform.description.kinds} == set(platform.description.parts)


# Of a sync


def test_one_sync_makes_the_mirror_equal_and_the_next_one_only_checks(served: ServedPlatform, mirror_url: str) -> None:
    assert {report.outcome for report in sync(served, mirror_url).values()} == {Outcome.SYNCED}
    assert served.differences(mirror_url) == []
    served.requests()
    fed = changes(mirror_url)
    assert sync(served, mirror_url) == {}
    assert served.requests() == served.requests_of_a_check
    assert changes(mirror_url) == fed


def test_any_history_of_edits_is_followed(served: ServedPlatform, chance: random.Random, mirror_url: str) -> None:
    sync(served, mirror_url)
    for _ in range(4):
        edited = {served.edit(chance) for _ in range(chance.randint(1, 5))}
        assert set(sync(served, mirror_url)) == edited
        assert served.differences(mirror_url) == []


def test_a_partition_that_is_deleted_goes(served: ServedPlatform, chance: random.Random, mirror_url: str) -> None:
    sync(served, mirror_url)
    gone = served.remove(chance)
    assert sync(served, mirror_url)[gone].outcome is Outcome.REMOVED
    assert served.differences(mirror_url) == []


def test_reading_everything_again_changes_nothing(served: ServedPlatform, mirror_url: str) -> None:
    sync(served, mirror_url)
    fed = changes(mirror_url)
    assert not any(report.changed for report in sync(served, mirror_url, full=True).values())
    assert changes(mirror_url) == fed


def test_a_preview_says_what_a_sync_would_change_and_writes_nothing(
    served: ServedPlatform, chance: random.Random, mirror_url: str
) -> None:
    sync(served, mirror_url)
    edited = served.edit(chance)
    fed = changes(mirror_url)
    with closing(served.open()) as platform, open_mirror(mirror_url) as mirror:
        work = Sync(served.name, platform, mirror, SyncOptions())
        previewed = {report.partition: report.changed for report in work.preview(work.plan())}
    assert previewed == {edited: True}
    assert changes(mirror_url) == fed
    assert plan(served, mirror_url).keys == (edited,)


def test_a_verification_names_each_record_that_differs_and_its_fields(
    served: ServedPlatform, chance: random.Random, mirror_url: str
) -> None:
    def verified() -> dict[str, tuple[Difference, ...]]:
        with closing(served.open()) as platform, closing(peek_mirror(mirror_url)) as mirror:  # type: ignore[type-var]
            work = Sync(served.name, platform, mirror, SyncOptions(full=True))
            return {each.partition: each.differences for each in work.preview(work.plan()) if each.differences}

    sync(served, mirror_url)
    assert verified() == {}
    edited = served.edit(chance)
    (found,) = [verified()[edited]]
    assert all(bool(each.fields) == (each.difference == DIFFERENT) for each in found)
    sync(served, mirror_url)
    assert verified() == {}

    with closing(served.open()) as platform:
        table = RECORD_TABLES[platform.description.bulk.name]
    row = f"SELECT min({table.name}) FROM {table.table.name}"
    with plain_engine(mirror_url).begin() as connection:
        # As a failing disk might, or a hand: the hash still says that nothing differs.
        statement = f"UPDATE {table.table.name} SET metadata = :text WHERE {table.name} = ({row})"
        connection.execute(sa.text(statement), {"text": '{"nobody": "wrote this"}'})
    fields = {name for differences in verified().values() for each in differences for name in each.fields}
    assert "metadata.nobody" in fields
    assert all(name.startswith("metadata.") for name in fields)


def test_a_partition_that_fails_is_named_and_stays_stale_and_the_others_are_synced(
    served: ServedPlatform, chance: random.Random, mirror_url: str
) -> None:
    sync(served, mirror_url)
    failing = served.edit(chance)
    others = {served.edit(chance) for _ in range(8)} - {failing}
    served.fail(failing)
    reports = sync(served, mirror_url)
    assert isinstance(reports[failing].error, TransientError)
    assert {reports[key].outcome for key in others} == {Outcome.SYNCED}
    assert plan(served, mirror_url).keys == (failing,)
    with open_mirror(mirror_url) as mirror:
        states = mirror.states(served.name)
    assert {state.error_group for (key, _), state in states.items() if key == failing} == {"transient"}
    served.recover()
    sync(served, mirror_url)
    assert served.differences(mirror_url) == []


class Buggy:
    """A platform that is as it is, but meets an exception that nobody foresaw after it has shown a record or two."""

    def __init__(self, platform: Platform, partition: str, where: str, error: type[BaseException] = KeyError) -> None:
        self._platform = platform
        self._partition = partition
        self._where = where
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._platform, name)

    def look_up(self, key: str) -> LookupResult:
        if key == self._partition and self._where == "look_up":
            raise self._error("owner")
        return self._platform.look_up(key)

    def read(self, listed: Listed, request: ReadRequest) -> Iterator[Observation]:
        where = self._where if listed.key == self._partition else ""
        for observation in self._platform.read(listed, request):
            if where == "record" and isinstance(observation, Observed):
                observation = Observed([_unfit(record) for record in observation.records])
            yield observation
            if where == "read" and isinstance(observation, Observed):
                raise self._error("owner")
            if where == "worker":
                list(request.workers.map(self._fail, [1, 2]))
            if where == "measure":
                list(request.workers.map(str, [1, 2], measure=self._fail))

    def _fail(self, _: object) -> int:
        raise self._error("owner")


def _unfit(record: Record) -> Record:
    """Return a record that differs and that no code can store."""
    return replace(record, metadata=object(), content_hash="another")  # type: ignore[arg-type]


@pytest.mark.parametrize("where", ["read", "worker", "measure", "record", "look_up"])
def test_any_exception_is_the_failure_of_its_partition_alone(
    served: ServedPlatform,
    chance: random.Random,
    mirror_url: str,
    caplog: pytest.LogCaptureFixture,
    where: str,
) -> None:
    sync(served, mirror_url)
    failing = served.edit(chance)
    others = {served.edit(chance) for _ in range(8)} - {failing}
    named = (failing, *others) if where == "look_up" else ()
    with (
        caplog.at_level("DEBUG"),
        closing(served.open()) as platform,
        open_mirror(mirror_url) as mirror,
    ):
        buggy = Buggy(platform, failing, where)
        work = Sync(served.name, buggy, mirror, SyncOptions(partitions=named))
        previewed = {report.partition: report for report in work.preview(work.plan())}
        reports = {report.partition: report for report in work.run(work.plan(), "run")}
        states = mirror.states(served.name)
    assert isinstance(reports[failing].error, UnforeseenError)
    assert ("TypeError" if where == "record" else "KeyError: 'owner'") in str(reports[failing].error)
    assert {reports[key].outcome for key in others} == {Outcome.SYNCED}
    if where == "look_up":
        assert isinstance(previewed[failing].error, UnforeseenError)
    assert any(record.exc_info for record in caplog.records if record.name == "dandi_pipeline.errors")
    failed = [state for (key, _), state in states.items() if key == failing]
    assert {(state.error_group, state.error) for state in failed} == {("contract", str(reports[failing].error))}
    assert plan(served, mirror_url).keys == (failing,)
    sync(served, mirror_url)
    assert served.differences(mirror_url) == []


def test_any_exception_while_partitions_are_listed_is_an_error_with_a_name(
    served: ServedPlatform, sqlite_url: str
) -> None:
    class Unlistable(Buggy):
        def list_partitions(self) -> list[Listed]:
            raise self._error("owner")

    with (
        closing(served.open()) as platform,
        open_mirror(sqlite_url) as mirror,
        pytest.raises(UnforeseenError, match=f"the .*s of {served.name}: KeyError: 'owner'"),
    ):
        Sync(served.name, Unlistable(platform, "", ""), mirror, SyncOptions()).plan()


def test_what_a_person_does_is_no_failure(served: ServedPlatform, chance: random.Random, mirror_url: str) -> None:
    sync(served, mirror_url)
    stopped = served.edit(chance)
    with closing(served.open()) as platform, open_mirror(mirror_url) as mirror:
        work = Sync(served.name, Buggy(platform, stopped, "read", KeyboardInterrupt), mirror, SyncOptions())
        with pytest.raises(KeyboardInterrupt):
            list(work.run(work.plan(), "run"))
        assert {state.error for state in mirror.states(served.name).values()} == {None}
    sync(served, mirror_url)
    assert served.differences(mirror_url) == []


def test_a_listing_row_that_cannot_be_read_fails_its_partition_and_deletes_nothing(
    served: ServedPlatform, chance: random.Random, mirror_url: str
) -> None:
    sync(served, mirror_url)
    with closing(served.open()) as platform, open_mirror(mirror_url) as mirror:
        listed = list(platform.list_partitions())
        odd = Listed.failed(listed[0].key, UnexpectedPayload("its row is odd"))
        reports = _synced_from(served.name, platform, mirror, [odd, *listed[1:]])
        assert [(report.partition, str(report.error)) for report in reports] == [(odd.key, "its row is odd")]

        nameless = Listed.failed(None, UnexpectedPayload("a row has no name"))
        with pytest.raises(UnexpectedPayload, match="a row has no name"):
            _synced_from(served.name, platform, mirror, [nameless, *listed[1:]])
    sync(served, mirror_url)
    assert served.differences(mirror_url) == []
    assert not any(change.kind == "delete" for change in changes(mirror_url))


def _synced_from(source: str, platform: Platform, mirror: Mirror, listing: list[Listed]) -> list[PartitionReport]:
    class Listing(Buggy):
        def list_partitions(self) -> list[Listed]:
            return listing

    work = Sync(source, Listing(platform, "", ""), mirror, SyncOptions())
    return list(work.run(work.plan(), "run"))


def test_what_changes_while_it_is_read_is_never_stored_as_fresh(
    served: ServedPlatform, chance: random.Random, mirror_url: str
) -> None:
    sync(served, mirror_url)
    served.edit(chance)

    def edit() -> None:
        served.edit(chance)

    served.while_reading(edit)
    for report in sync(served, mirror_url).values():
        assert report.outcome is Outcome.SYNCED or isinstance(report.error, TornRead)
    served.while_reading(None)
    sync(served, mirror_url)
    assert served.differences(mirror_url) == []


def test_what_is_cut_short_stays_stale(served: ServedPlatform, mirror_url: str) -> None:
    cut = {
        key for key, report in sync(served, mirror_url, max_records=1).items() if report.outcome is Outcome.INCOMPLETE
    }
    assert cut
    assert set(plan(served, mirror_url).keys) == cut
    sync(served, mirror_url)
    assert served.differences(mirror_url) == []


def test_parts_are_synced_one_by_one_as_well(served: ServedPlatform, mirror_url: str) -> None:
    with closing(served.open()) as platform:
        parts = platform.description.parts
    for part in parts:
        sync(served, mirror_url, parts=(part,))
    assert served.differences(mirror_url) == []
    assert plan(served, mirror_url).keys == ()


def test_two_syncs_at_once_are_exact(served: ServedPlatform, chance: random.Random, mirror_url: str) -> None:
    for _ in range(2):
        with ThreadPoolExecutor(2) as threads:
            both = list(threads.map(lambda _: sync(served, mirror_url), range(2)))
        assert [report.error for reports in both for report in reports.values() if report.error] == []
        assert served.differences(mirror_url) == []
        served.edit(chance)
