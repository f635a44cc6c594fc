"""What the options say of pace reaches the platform, as the platform counts it; what it counts is told everywhere."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dandi_pipeline.cli.options import MOST_AT_ONCE
from dandi_pipeline.orchestration.instance import open_instance
from dandi_pipeline.settings import PlatformSettings
from dandi_pipeline_tests.cli.conftest import Finished, Shell
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world


@dataclass(frozen=True)
class Asked:
    """What a sync of everything asked of the archive: by the archive's counts, and by its own."""

    in_flight: int
    pages: int
    traffic: dict[str, Any]


@dataclass(frozen=True)
class Desk:
    """A folder with a mirror of an archive that keeps connections, and whose answers take a moment."""

    shell: Shell
    archive: SimulatedArchive

    def run(self, *arguments: str) -> Finished:
        return self.shell.run(*arguments, DANDI_MANIFEST_URL=self.archive.bucket_url)

    def sync(self, *options: str) -> Asked:
        self.archive.requests.reset()
        done = self.run("sync", "--full", *options)
        assert done.code == 0, done.err
        counts = self.archive.requests.counts()
        (past,) = self.run("history", "--json", "--limit", "1").json
        return Asked(counts["in_flight_max"], counts["by_kind"]["assets_full"], past["traffic"])


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    world = generated_world(dandisets=9, assets=30)
    for dandiset in world.dandisets.values():
        for version in dandiset.versions.values():
            version.modified += timedelta(days=1)  # after the bulk files were written: they count
    with SimulatedArchive(world, keep_alive=True) as archive:
        archive.faults.add("slow_start", seconds=0.03)
        yield Desk(Shell(tmp_path_factory.mktemp("desk"), archive.api_url), archive)


def test_a_counter_that_only_one_platform_has_shows_wherever_metrics_do(desk: Desk) -> None:
    done = desk.run("sync", "--json")
    read = done.json["counters"]["manifests_read"]
    assert read == desk.archive.requests.counts()["by_kind"]["manifest"] > 0
    (past,) = desk.run("history", "--json").json
    assert past["traffic"]["counters"]["manifests_read"] == read
    assert f"Manifests read: {read}" in desk.run("stats").out.splitlines()
    assert desk.run("stats", "--json").json["counters"]["manifests_read"] == read
    with open_instance(desk.shell.folder / ".dagster_home") as instance:
        (event,) = instance.fetch_observations(dg.AssetKey(["dandi", "assets"]), limit=1).records
    assert event.asset_observation is not None
    assert event.asset_observation.metadata["manifests_read"].value == float(read)
    fresh = Shell(Path(desk.shell.folder / "fresh"), desk.shell.api_url)
    fresh.folder.mkdir()
    summary = fresh.run("sync", DANDI_MANIFEST_URL=desk.archive.bucket_url).summary
    assert summary["Manifests read"] == str(read)


@pytest.mark.parametrize(
    ("options", "in_flight"),
    [
        (["--preset", "safe"], range(2, 3)),
        (["--preset", "default"], range(3, 6)),
        (["--preset", "fast"], range(6, 11)),
        (["--preset", "fast", "--max-concurrent", "1"], range(1, 2)),
        (["--legacy"], range(1, 2)),
    ],
)
def test_as_many_requests_are_in_flight_as_the_options_say(desk: Desk, options: list[str], in_flight: range) -> None:
    assert desk.sync(*options).in_flight in in_flight


def test_a_pool_is_as_large_as_said_and_legacy_has_none(desk: Desk) -> None:
    pooled = desk.sync("--pool-size", "2").traffic
    assert pooled["opened"] == 2 < pooled["requests"]
    legacy = desk.sync("--legacy").traffic
    assert legacy["opened"] == legacy["requests"]


def test_a_batch_is_as_large_as_said(desk: Desk) -> None:
    assert desk.sync("--batch-size", "10").pages > desk.sync().pages


def test_a_rate_is_kept_and_its_waits_are_told(desk: Desk) -> None:
    asked = desk.sync("--rate-limit", "20").traffic
    assert asked["waited"] > asked["requests"] / 2
    (row,) = [line for line in desk.run("stats").out.splitlines() if line.startswith("127.0.0.1:")]
    slept = re.search(r"  ([\d.]+) s  ", row)
    assert slept is not None
    assert float(slept[1]) >= round(asked["seconds_slept"], 1) > 0


def test_the_options_go_as_far_as_the_settings_do() -> None:
    for name in ("pool_size", "max_concurrent"):
        (most,) = (rule.le for rule in PlatformSettings.model_fields[name].metadata if hasattr(rule, "le"))
        assert most == MOST_AT_ONCE


@pytest.mark.parametrize(
    "wrong",
    [
        ["--preset", "gentle"],
        ["--preset", "safe", "--legacy"],
        ["--pool-size", "0"],
        ["--pool-size", "51"],
        ["--max-concurrent", "two"],
        ["--max-concurrent", "51"],
        ["--batch-size", "-1"],
        ["--rate-limit", "0"],
        ["--rate-limit", "fast"],
        ["--rate-limit", "0.0001"],
    ],
)
def test_a_pace_that_cannot_be_kept_is_refused_in_one_line(desk: Desk, wrong: list[str]) -> None:
    desk.archive.requests.reset()
    done = desk.run("sync", *wrong)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), done.err
    assert re.search(rf"^Error: .*{wrong[-2] if len(wrong) == 2 else wrong[-1]}.*", done.err)
    assert desk.archive.requests.total == 0


@pytest.mark.parametrize("command", ["health", "stats"])
def test_hours_that_are_none_are_refused_in_one_line(desk: Desk, command: str) -> None:
    for wrong in ("0", "day", "1.5", "99999999999"):
        done = desk.run(command, "--hours", wrong)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), (wrong, done.err)
        assert "--hours" in done.err
