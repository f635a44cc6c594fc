"""Progress as lines is complete without flooding a log; as bars it shows all four levels."""

import sys
from threading import Thread

import pytest

from dandi_pipeline.cli.progress import Bars, Lines, Wording
from dandi_pipeline.sync.progress import Progress, Stage

WORDING = Wording(platform="DANDI", partition_noun="dandiset", record_noun="asset", spelling="DANDI:{key}")


class Clock:
    """A clock that stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def sync_one(progress: Progress, key: str, *, assets: int, changed: int) -> None:
    progress.begin(Stage.CHECK_RECORDS, key, assets)
    progress.advance(Stage.CHECK_RECORDS, key, assets)
    progress.end(Stage.CHECK_RECORDS, key)
    progress.begin(Stage.UPDATE_RECORDS, key, changed)
    progress.advance(Stage.UPDATE_RECORDS, key, changed)
    progress.end(Stage.UPDATE_RECORDS, key)


def check(progress: Progress, dandisets: int) -> None:
    progress.begin(Stage.CHECK_PARTITIONS, None, None)
    progress.begin(Stage.CHECK_PARTITIONS, None, dandisets)
    progress.advance(Stage.CHECK_PARTITIONS, None, dandisets)
    progress.end(Stage.CHECK_PARTITIONS, None)


def test_lines_say_each_step_and_each_dandiset_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(WORDING, clock=Clock())
    check(lines, 500)
    lines.begin(Stage.UPDATE_PARTITIONS, None, 2)
    for key, assets in (("000003", 1_230), ("000108", 7)):
        sync_one(lines, key, assets=assets, changed=5)
        lines.advance(Stage.UPDATE_PARTITIONS, None, 1)
    lines.end(Stage.UPDATE_PARTITIONS, None)
    assert capsys.readouterr().err.splitlines() == [
        "Fetching dandisets from DANDI API...",
        "Checking dandisets for updates: 100% 500/500",
        "Found 2 dandisets to update",
        "Syncing assets...",
        "Updating assets for DANDI:000003: 1,230 checked, 5 changed",
        "Updating assets for DANDI:000108: 7 checked, 5 changed",
        "Updating dandisets: 100% 2/2",
    ]


def test_nothing_to_update_is_said_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(WORDING, clock=Clock())
    lines.begin(Stage.UPDATE_PARTITIONS, None, 0)
    lines.end(Stage.UPDATE_PARTITIONS, None)
    assert capsys.readouterr().err.splitlines() == ["Found 0 dandisets to update"]


def test_a_very_large_dandiset_gives_a_sign_of_life_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = Lines(WORDING, clock=clock)
    lines.begin(Stage.CHECK_RECORDS, "000108", 350_000)
    for _ in range(35):
        clock.now += 1.0
        lines.advance(Stage.CHECK_RECORDS, "000108", 1_000)
    assert capsys.readouterr().err.splitlines() == [
        "Checking assets for DANDI:000108: 2% 10,000/350,000",
        "Checking assets for DANDI:000108: 5% 20,000/350,000",
        "Checking assets for DANDI:000108: 8% 30,000/350,000",
    ]


def test_dandisets_alone_speak_of_no_assets(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(
        Wording(
            platform="DANDI",
            partition_noun="dandiset",
            record_noun="asset",
            spelling="DANDI:{key}",
            with_records=False,
        ),
        clock=Clock(),
    )
    lines.begin(Stage.UPDATE_PARTITIONS, None, 1)
    lines.end(Stage.CHECK_RECORDS, "000003")
    lines.begin(Stage.UPDATE_RECORDS, "000003", 0)
    lines.end(Stage.UPDATE_RECORDS, "000003")
    assert capsys.readouterr().err.splitlines() == ["Found 1 dandiset to update", "Updated DANDI:000003"]


def test_partitions_are_told_by_their_names_where_people_do_so(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(Wording(platform="Notion", partition_noun="data source", record_noun="page", spelling="{name}"))
    lines.learn({"0f1a2b3c": "Tasks"})
    for partition in ("0f1a2b3c", "8d2b9deb"):
        lines.begin(Stage.UPDATE_RECORDS, partition, 0)
        lines.end(Stage.UPDATE_RECORDS, partition)
    assert capsys.readouterr().err.splitlines() == ["Updated Tasks", "Updated 8d2b9deb"]


def test_bars_show_four_levels_with_rate_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars(WORDING) as bars:
        check(bars, 500)
        bars.begin(Stage.UPDATE_PARTITIONS, None, 1)
        sync_one(bars, "000003", assets=40, changed=4)
        bars.advance(Stage.UPDATE_PARTITIONS, None, 1)
    shown = capsys.readouterr().err
    for level in (
        "Checking dandisets for updates: 100%",
        "Updating dandisets: 100%",
        "Checking assets for DANDI:000003:",
    ):
        assert level in shown
    assert "Updating assets for DANDI:000003:" in shown
    assert "dandiset/s]" in shown
    assert "500/500 [" in shown


def test_bars_and_lines_stand_many_threads(capsys: pytest.CaptureFixture[str]) -> None:
    keys = [f"{number:06}" for number in range(40)]
    for progress in (Lines(WORDING), Bars(WORDING)):
        with progress:
            progress.begin(Stage.UPDATE_PARTITIONS, None, len(keys))
            threads = [
                Thread(target=sync_one, args=(progress, key), kwargs={"assets": 3, "changed": 1}) for key in keys
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            progress.end(Stage.UPDATE_PARTITIONS, None)
        said = capsys.readouterr().err
        if isinstance(progress, Lines):
            assert sorted(line.split(":")[2].strip() for line in said.splitlines() if "Updating assets" in line)
            assert said.count("3 checked, 1 changed") == len(keys)


def test_a_bar_left_behind_by_a_failure_is_taken_away(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars(WORDING) as bars:
        bars.begin(Stage.CHECK_RECORDS, "000003", 10)
    assert capsys.readouterr().err.endswith("\r")


def test_a_line_beside_the_bars_goes_where_it_is_meant_to(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars(WORDING) as bars:
        bars.begin(Stage.UPDATE_PARTITIONS, None, 2)
        bars.say("000003: 2 assets added", to=sys.stdout)
    assert capsys.readouterr().out == "000003: 2 assets added\n"
