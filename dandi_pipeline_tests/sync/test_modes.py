"""Each setting of a tuning changes how the platform is asked, and none changes what the mirror comes to hold."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.cli.commands import sync as sync_command
from dandi_pipeline.errors import ConfigurationError
from dandi_pipeline.http import Traffic
from dandi_pipeline.orchestration.resources import config_of, options_of
from dandi_pipeline.platforms.notion.settings import NotionSettings
from dandi_pipeline.platforms.registry import SETTINGS, open_platform
from dandi_pipeline.settings import AS_SET, LEGACY, PRESETS, Settings, Tuning, load_sources
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.progress import Stage
from dandi_pipeline_tests.end_to_end.equality import differences
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world


@dataclass(frozen=True)
class Copied:
    """What one first copy cost."""

    traffic: Traffic
    in_flight: int
    by_kind: dict[str, int]
    seconds: float


class Bench:
    """Copies one archive anew in any tuning."""

    def __init__(self, archive: SimulatedArchive, folder: Path) -> None:
        self.archive = archive
        self.folder = folder
        environ = {"DANDI_API_URL": archive.api_url, "DANDI_MANIFEST_URL": archive.bucket_url}
        self.settings = Settings.from_environment(environ, folder)
        (self.source,) = load_sources(None, SETTINGS)

    def copy(self, tuning: Tuning) -> Copied:
        self.archive.requests.reset()
        url = f"sqlite:///{self.folder / f'{time.monotonic_ns()}.sqlite'}"
        started = time.monotonic()
        asked = SyncOptions(tuning=tuning)
        with open_mirror(url) as mirror, closing(open_platform(self.source, self.settings, mirror, tuning)) as platform:
            sync = Sync("dandi", platform, mirror, asked)
            assert [report.error for report in sync.run(sync.plan(), "run") if report.error] == []
            traffic = platform.traffic
        seconds = time.monotonic() - started
        assert differences(url, self.archive.world.snapshot()) == []
        counts = self.archive.requests.counts()
        return Copied(traffic, counts["in_flight_max"], counts["by_kind"], seconds)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """An archive that keeps connections, whose answers take a moment and whose files are older than it."""
    world = generated_world(dandisets=9, assets=30)
    for dandiset in world.dandisets.values():
        for version in dandiset.versions.values():
            version.modified += timedelta(days=1)
    with SimulatedArchive(world, keep_alive=True) as archive:
        archive.faults.add("slow_start", seconds=0.03)
        yield Bench(archive, tmp_path)


def test_the_presets_bound_how_many_requests_are_in_flight(bench: Bench) -> None:
    most = {
        name: bench.copy(tuning.model_copy(update={"manifests": False})).in_flight for name, tuning in PRESETS.items()
    }
    assert most["safe"] == 2
    assert 2 < most["default"] <= 5
    assert 5 < most["fast"] <= 10


def test_the_legacy_tuning_sends_one_request_at_a_time_each_over_a_connection_of_its_own(bench: Bench) -> None:
    copied = bench.copy(LEGACY.model_copy(update={"manifests": False}))
    assert copied.in_flight == 1
    assert copied.traffic.opened == copied.traffic.requests
    pooled = bench.copy(AS_SET)
    assert pooled.traffic.opened < pooled.traffic.requests / 2


def test_a_pool_holds_no_more_connections_than_its_size(bench: Bench) -> None:
    copied = bench.copy(Tuning(pool_size=2, manifests=False))
    assert copied.traffic.opened == copied.in_flight == 2


def test_a_batch_is_a_page_of_the_platforms(bench: Bench) -> None:
    whole = bench.copy(Tuning(manifests=False)).by_kind["assets_full"]
    pages = bench.copy(Tuning(manifests=False, batch_size=10)).by_kind["assets_full"]
    drafts = [dandiset["versions"]["draft"]["assets"] for dandiset in bench.archive.world.snapshot().values()]
    assert whole == len(drafts)
    assert pages == sum(max(1, -(-len(assets) // 10)) for assets in drafts) > whole


def test_a_batch_is_never_larger_than_the_platform_gives() -> None:
    notion = NotionSettings(token_env="NOTION_TOKEN")
    assert Tuning(batch_size=500).applied_to(notion).page_size == 100
    assert Tuning(batch_size=50).applied_to(notion).page_size == 50


def test_without_manifests_nothing_is_asked_of_the_bucket(bench: Bench) -> None:
    used = bench.copy(AS_SET)
    assert used.by_kind["manifest"] == used.traffic.counters["manifests_read"] > 0
    unused = bench.copy(Tuning(manifests=False))
    assert (unused.by_kind["manifest"], unused.traffic.counters.get("manifests_read")) == (0, None)


def test_a_rate_limit_spreads_the_requests_over_time(bench: Bench) -> None:
    copied = bench.copy(Tuning(manifests=False, rate_limit=40))
    assert copied.seconds > (copied.traffic.requests - 1) / 40
    assert copied.traffic.waited > copied.traffic.requests / 2
    assert copied.traffic.seconds_slept > 0


class Order:
    """Notes when records are read and when they are compared."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def learn(self, names: Mapping[str, str]) -> None:
        pass

    def begin(self, stage: Stage, partition: str | None, total: int | None) -> None:
        pass

    def advance(self, stage: Stage, partition: str | None, by: int) -> None:
        if stage is Stage.CHECK_RECORDS and by:
            self.events.append("compared")

    def end(self, stage: Stage, partition: str | None) -> None:
        pass


@pytest.mark.parametrize("streaming", [True, False])
def test_without_streaming_a_partition_is_read_whole_before_it_is_compared(bench: Bench, streaming: bool) -> None:
    order = Order()
    bench.archive.before_response = lambda kind, _: order.events.append(kind)
    tuning = Tuning(batch_size=5, streaming=streaming, manifests=False)
    asked = SyncOptions(partitions=("000001",), tuning=tuning.model_copy(update={"max_concurrent": 1}))
    url = f"sqlite:///{bench.folder / 'mirror.sqlite'}"
    with open_mirror(url) as mirror, closing(open_platform(bench.source, bench.settings, mirror, tuning)) as platform:
        sync = Sync("dandi", platform, mirror, asked, order)
        assert [report.error for report in sync.run(sync.plan(), "run")] == [None]
    last_read = order.events.index("version_info")
    assert (order.events.index("compared") < last_read) == streaming


@pytest.mark.parametrize("tuning", [AS_SET, LEGACY, *PRESETS.values(), Tuning(rate_limit=0.5, batch_size=7)])
def test_a_mode_survives_the_runs_config(tuning: Tuning) -> None:
    asked = SyncOptions(tuning=tuning)
    assert options_of(config_of(asked)) == asked


@pytest.mark.parametrize("name", ["pool_size", "max_concurrent", "batch_size", "rate_limit"])
def test_a_mode_that_would_send_nothing_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name.replace("_", "-")):
        Tuning(**{name: 0})  # type: ignore[arg-type]


EVERYTHING = SyncOptions(
    partitions=("000001", "000002"),
    since=datetime(2024, 1, 1, 12, tzinfo=timezone.utc),
    full=True,
    round=3,
    max_records=7,
    allow_mass_deletion=True,
    ignore_unknown=True,
    tuning=Tuning(pool_size=2, rate_limit=0.5, keep_alive=False),
)


def test_the_options_survive_a_runs_config_and_the_way_to_a_child_process() -> None:
    given = {name: getattr(EVERYTHING, name) for name in SyncOptions.model_fields}
    assert [name for name, value in given.items() if value == getattr(SyncOptions(), name)] == ["parts"]
    assert options_of(config_of(EVERYTHING)) == EVERYTHING
    assert options_of(config_of(EVERYTHING), parts=("assets",)).parts == ("assets",)
    assert SyncOptions.model_validate_json(EVERYTHING.model_dump_json()) == EVERYTHING


def test_a_runs_config_has_the_options_with_their_descriptions() -> None:
    described = {name: field.description for name, field in SyncOptions.model_fields.items() if name != "parts"}
    shown = {name: field.description for name, field in type(config_of(EVERYTHING)).model_fields.items()}
    assert shown == described
    assert all(described.values())
    tuning = type(config_of(EVERYTHING)).model_fields["tuning"].annotation
    assert isinstance(tuning, type)
    assert {name: field.description for name, field in tuning.model_fields.items()} == {
        name: field.description for name, field in Tuning.model_fields.items()
    }


def test_every_option_has_its_name_on_the_command_line() -> None:
    flags = {parameter.name for parameter in sync_command.params}
    of_tuning = {f"no_{name}" if name in ("streaming", "manifests") else name for name in Tuning.model_fields}
    assert set(SyncOptions.model_fields) - flags == {"parts", "round", "ignore_unknown", "tuning"}
    assert of_tuning - flags == {"keep_alive"}
    assert {"dandisets_only", "assets_only", "legacy"} < flags


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"since": "2024-01-01"}, "^since: give a time zone, e.g. 2024-01-01T12:00:00Z$"),
        ({"since": "yesterday"}, "^since: 'yesterday' is not a date and time like 2024-01-01T12:00:00Z$"),
        ({"max_records": 0}, "^max-records: 0 is not a positive number$"),
        ({"max_records": "many"}, "^max-records: input should be a valid integer.*$"),
        ({"max_assets": 3}, "^max-assets: extra inputs are not permitted$"),
        ({"tuning": {"pool_size": -1}}, "^pool-size: -1 is not more than 0$"),
        ({"tuning": {"pool_size": "x"}}, "^pool-size: input should be a valid integer.*$"),
        ("nothing", "^options: input should be a valid dictionary.*$"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_in_one_line(wrong: object, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        SyncOptions.model_validate(wrong)
