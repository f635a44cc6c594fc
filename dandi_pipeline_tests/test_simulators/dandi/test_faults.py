"""Every fault does to a client what it says, to the requests that it names, the same ones each time."""

import gzip
import json
import socket
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from http.client import IncompleteRead, RemoteDisconnected
from typing import Any

import pytest

from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world
from dandi_pipeline_tests.simulators.dandi.faults import Faults
from dandi_pipeline_tests.simulators.faults import HUGE
from dandi_pipeline_tests.test_simulators.asking import ask

DANDISETS = "/api/dandisets/?page_size=3"
ASSETS = "/api/dandisets/000001/versions/draft/assets/?order=path&page_size=5"


@pytest.fixture
def archive() -> Iterator[SimulatedArchive]:
    with SimulatedArchive(generated_world(dandisets=8, assets=4, large=15)) as archive:
        yield archive


@pytest.mark.parametrize("status", [401, 429, 500, 502, 503, 504])
def test_an_error_status_takes_the_place_of_the_answer(archive: SimulatedArchive, status: int) -> None:
    archive.faults.add("status", status=status, times=1)
    answer = ask(archive, DANDISETS)
    assert (answer.status, list(answer.json)) == (status, ["detail"])
    assert "Retry-After" not in answer.headers
    assert ask(archive, DANDISETS).status == 200


def test_retry_after_is_seconds_or_a_date(archive: SimulatedArchive) -> None:
    archive.faults.add("status", status=429, retry_after=7, times=1)
    assert ask(archive, DANDISETS).headers["Retry-After"] == "7"
    archive.faults.add("status", status=429, retry_after=70, as_date=True)
    until = parsedate_to_datetime(ask(archive, DANDISETS).headers["Retry-After"])
    assert timedelta(seconds=60) < until - datetime.now(timezone.utc) <= timedelta(seconds=70)


def test_a_reset_is_a_reset(archive: SimulatedArchive) -> None:
    archive.faults.add("reset", times=1)
    with pytest.raises((ConnectionResetError, RemoteDisconnected)):
        ask(archive, DANDISETS)
    assert ask(archive, DANDISETS).status == 200


def test_a_slow_start_outlasts_an_impatient_client(archive: SimulatedArchive) -> None:
    archive.faults.add("slow_start", seconds=30)
    with pytest.raises(socket.timeout):
        ask(archive, DANDISETS, timeout=0.2)


def test_a_slow_body_arrives_whole(archive: SimulatedArchive) -> None:
    archive.faults.add("slow_body", seconds=0.3)
    started = time.monotonic()
    assert len(ask(archive, DANDISETS).json["results"]) == 3
    assert time.monotonic() - started > 0.25


def test_a_cut_body_is_shorter_than_announced(archive: SimulatedArchive) -> None:
    archive.faults.add("cut_body", at=0.5)
    with pytest.raises(IncompleteRead):
        ask(archive, DANDISETS)


def test_a_cut_gzip_has_the_length_announced_but_cannot_be_read(archive: SimulatedArchive) -> None:
    archive.faults.add("cut_gzip", at=0.5)
    answer = ask(archive, DANDISETS, Accept_Encoding="gzip")
    assert len(answer.raw) == int(answer.headers["Content-Length"])
    with pytest.raises(EOFError):
        gzip.decompress(answer.raw)


def test_html_comes_in_place_of_json(archive: SimulatedArchive) -> None:
    archive.faults.add("html")
    answer = ask(archive, DANDISETS)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_fields_go_missing_turn_null_or_change_their_type(archive: SimulatedArchive) -> None:
    def draft(effect: str, name: str) -> Any:
        archive.faults.clear()
        archive.faults.add(effect, name=name, kind="dandisets")
        page = json.loads(ask(archive, DANDISETS).body)
        return page["results"][0]["draft_version"]

    assert "modified" not in draft("without_field", "draft_version.modified")
    assert draft("with_value", "draft_version.modified")["modified"] is None
    assert isinstance(draft("as_string", "draft_version.size")["size"], str)
    assert draft("huge", "draft_version.size")["size"] == HUGE


def test_only_the_named_part_of_a_row_is_altered(archive: SimulatedArchive) -> None:
    archive.faults.add("without_field", name="draft_version.modified")
    row = ask(archive, DANDISETS).json["results"][1]
    assert "modified" in row
    assert "modified" in row["most_recent_published_version"]
    assert "modified" not in row["draft_version"]


def test_pages_are_repeated_or_skipped(archive: SimulatedArchive) -> None:
    pages = [[row["path"] for row in ask(archive, f"{ASSETS}&page={page}").json["results"]] for page in (1, 2, 3)]
    archive.faults.add("page_repeated", path=r"page=2\b", times=1)
    archive.faults.add("page_skipped", path=r"page=1\b")
    again = [[row["path"] for row in ask(archive, f"{ASSETS}&page={page}").json["results"]] for page in (2, 1)]
    assert again == [pages[0], pages[1]]


def test_a_count_can_be_wrong_and_next_can_lead_elsewhere(archive: SimulatedArchive) -> None:
    true_count = ask(archive, ASSETS).json["count"]
    archive.faults.add("wrong_count", by=-2, times=1)
    assert ask(archive, ASSETS).json["count"] == true_count - 2
    archive.faults.add("foreign_next", host="http://elsewhere.invalid")
    following = ask(archive, ASSETS).json["next"]
    assert following.startswith("http://elsewhere.invalid/api/dandisets/000001/")
    assert "page=2" in following


def test_a_fault_hits_only_the_kind_the_path_and_the_turn_that_it_names(archive: SimulatedArchive) -> None:
    archive.faults.add("status", status=500, kind="assets_bare", path="000001", nth=2)
    asked = [ASSETS, DANDISETS, f"{ASSETS}&metadata=true", ASSETS.replace("000001", "000002"), ASSETS, ASSETS]
    assert [ask(archive, path).status for path in asked] == [200, 200, 200, 200, 500, 200]
    assert archive.faults.struck() == 1


def test_chance_strikes_the_same_requests_for_the_same_seed() -> None:
    def strikes(seed: int) -> list[bool]:
        faults = Faults(seed)
        faults.add("status", status=500, probability=0.5)
        return [bool(faults.hitting("dandisets", DANDISETS)) for _ in range(50)]

    assert strikes(1) == strikes(1) != strikes(2)
    assert 10 < sum(strikes(1)) < 40


def test_an_unknown_fault_is_refused(archive: SimulatedArchive) -> None:
    with pytest.raises(ValueError, match="no fault is called 'earthquake'; there are as_string, as_written, cut_body"):
        archive.faults.add("earthquake")
