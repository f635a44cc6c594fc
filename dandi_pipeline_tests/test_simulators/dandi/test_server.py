"""The archive can be changed, counted and controlled while it is served, from the same process or another."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

from dandi_pipeline_tests.simulators.dandi import OWNER_TOKEN, Costs, SimulatedArchive, User, generated_world
from dandi_pipeline_tests.test_simulators.asking import ask, results

ROOT = Path(__file__).parents[3]
ASSETS = "/api/dandisets/000001/versions/draft/assets/"


@pytest.fixture
def archive() -> Iterator[SimulatedArchive]:
    with SimulatedArchive(generated_world(dandisets=6, assets=6, large=20)) as archive:
        yield archive


def test_a_walk_of_the_api_finds_what_the_snapshot_says(archive: SimulatedArchive) -> None:
    snapshot = archive.world.snapshot(OWNER_TOKEN)
    rows = results(archive, "/api/dandisets/?embargoed=true&page_size=2", OWNER_TOKEN)
    assert {row["identifier"] for row in rows} == set(snapshot)
    for row in rows:
        expected = snapshot[row["identifier"]]
        versions = expected.pop("versions")
        assert row == expected
        for name, version in versions.items():
            base = f"/api/dandisets/{row['identifier']}/versions/{name}/"
            assets = results(archive, f"{base}assets/?metadata=true&page_size=7", OWNER_TOKEN)
            assert {asset["path"]: asset for asset in assets} == version.pop("assets")
            assert ask(archive, f"{base}info/", token=OWNER_TOKEN).json == version


def test_a_change_shows_in_the_next_answer(archive: SimulatedArchive) -> None:
    before = results(archive, f"{ASSETS}?order=path")
    archive.world.remove_asset("000001", before[0]["path"])
    assert results(archive, f"{ASSETS}?order=path") == before[1:]
    removed = ask(archive, f"/api/assets/{before[0]['asset_id']}/info/")
    assert (removed.status, removed.json["path"]) == (200, before[0]["path"])


def test_the_world_can_be_changed_between_two_pages(archive: SimulatedArchive) -> None:
    paths = sorted(archive.world.dandisets["000001"].draft.assets)

    def remove_first(kind: str, params: Mapping[str, str]) -> None:
        if kind == "assets_bare" and params["dandiset"] == "000001" and params.get("page") == "2":
            archive.world.remove_asset("000001", paths[0])
            archive.before_response = None

    archive.before_response = remove_first
    walked = [row["path"] for row in results(archive, f"{ASSETS}?order=path&page_size=10")]
    assert walked == [path for path in paths if path != paths[10]]


def test_requests_are_counted_by_kind(archive: SimulatedArchive) -> None:
    asset = next(iter(archive.world.dandisets["000001"].draft.assets.values())).asset_id
    asked = {
        "info": "/api/info/",
        "dandisets": "/api/dandisets/",
        "dandiset": "/api/dandisets/000001/",
        "versions": "/api/dandisets/000001/versions/",
        "version": "/api/dandisets/000001/versions/draft/",
        "version_info": "/api/dandisets/000001/versions/draft/info/",
        "assets_full": f"{ASSETS}?metadata=true",
        "assets_bare": f"{ASSETS}?metadata=false",
        "asset": f"/api/assets/{asset}/",
        "asset_info": f"/api/assets/{asset}/info/",
        "manifest": "/bucket/dandisets/000001/draft/assets.jsonld",
        "unknown": "/api/assets/",
    }
    sizes = [len(ask(archive, path).raw) for path in asked.values()]
    counts = archive.requests.counts()
    assert counts["by_kind"] == dict.fromkeys(asked, 1)
    assert (counts["total"], counts["bytes"], counts["in_flight_max"]) == (12, sum(sizes), 1)
    assert counts["by_status"] == {"200": 11, "404": 1}
    assert [exchange.kind for exchange in archive.requests.exchanges] == list(asked)
    archive.requests.reset()
    assert archive.requests.counts()["total"] == 0


def test_requests_in_flight_are_counted_at_their_most(archive: SimulatedArchive) -> None:
    together = threading.Barrier(4, timeout=10)
    archive.before_response = lambda kind, params: _ignore(together.wait())
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: ask(archive, "/api/info/"), range(4)))
    assert archive.requests.in_flight_max == 4


def test_rows_cost_a_worker_their_time() -> None:
    costs = Costs(full=0.02, bare=0.001, workers=1)
    with SimulatedArchive(generated_world(dandisets=1, assets=0, large=10), costs=costs) as archive:
        started = time.monotonic()
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda _: ask(archive, f"{ASSETS}?metadata=true"), range(3)))
        assert time.monotonic() - started > 3 * 10 * 0.02 * 0.95
        started = time.monotonic()
        ask(archive, ASSETS)
        assert time.monotonic() - started < 0.15


def test_connections_close_unless_they_may_be_kept() -> None:
    with SimulatedArchive(generated_world(dandisets=1), keep_alive=True) as archive:
        connection = HTTPConnection(archive.url.removeprefix("http://"), timeout=10)
        for _ in range(3):
            connection.request("GET", "/api/info/")
            response = connection.getresponse()
            response.read()
            assert response.headers["Connection"] == "keep-alive"
        connection.close()


def test_users_and_their_tokens_can_be_added(archive: SimulatedArchive) -> None:
    token = "d" * 40
    archive.world.users[token] = User("colleague")
    assert ask(archive, "/api/dandisets/000006/", token=token).status == 403
    archive.world.dandisets["000006"].owners.add("colleague")
    assert ask(archive, "/api/dandisets/000006/", token=token).status == 200


def test_another_process_can_operate_the_archive(archive: SimulatedArchive) -> None:
    arguments = {"dandiset_id": "000001", "path": "new.nwb", "size": 5, "asset_id": "0" * 36}
    added = ask(archive, "/control/ops", method="POST", body={"op": "add_asset", "arguments": arguments})
    assert added.json["path"] == "new.nwb"
    arguments = {"asset_id": "0" * 36, "modified": "2020-01-01T00:00:00Z"}
    ask(archive, "/control/ops", method="POST", body={"op": "rewrite_asset", "arguments": arguments})
    shown = ask(archive, f"/api/assets/{'0' * 36}/info/").json
    assert (shown["size"], shown["modified"]) == (5, "2020-01-01T00:00:00Z")
    published = ask(
        archive, "/control/ops", method="POST", body={"op": "publish", "arguments": {"dandiset_id": "000001"}}
    ).json
    assert published["version"] in archive.world.dandisets["000001"].versions


def test_another_process_can_set_the_clock(archive: SimulatedArchive) -> None:
    ask(
        archive,
        "/control/ops",
        method="POST",
        body={"op": "set_clock", "arguments": {"to": "2030-01-01T00:00:00Z"}},
    )
    archive.world.rename_dandiset("000001", "Later")
    modified = archive.world.snapshot()["000001"]["draft_version"]["modified"]
    assert modified == "2030-01-01T00:00:00.000001Z"


def test_another_process_can_read_counters_and_snapshot(archive: SimulatedArchive) -> None:
    ask(archive, "/api/info/")
    assert ask(archive, "/control/requests").json == archive.requests.counts()
    ask(archive, "/control/requests/reset", method="POST")
    assert ask(archive, "/control/requests").json["total"] == 0
    assert ask(archive, "/control/snapshot").json == archive.world.snapshot()
    with_token = ask(archive, f"/control/snapshot?token={OWNER_TOKEN}").json
    assert with_token == archive.world.snapshot(OWNER_TOKEN) != archive.world.snapshot()


def test_another_process_can_make_it_fail(archive: SimulatedArchive) -> None:
    fault = {"effect": "status", "status": 502, "kind": "info"}
    ask(archive, "/control/faults", method="POST", body=fault)
    assert ask(archive, "/api/info/").status == 502
    assert ask(archive, "/control/faults").json == {"struck": 1}
    ask(archive, "/control/faults/clear", method="POST")
    assert ask(archive, "/api/info/").status == 200
    ask(archive, "/control/manifests", method="POST", body={"mode": "missing"})
    assert ask(archive, "/bucket/dandisets/000001/draft/assets.jsonld").status == 404


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("/control/ops", {"op": "drop_everything"}, "no operation is called 'drop_everything'"),
        (
            "/control/ops",
            {"op": "remove_asset", "arguments": {"dandiset_id": "999999", "path": "x"}},
            "no dandiset 999999",
        ),
        ("/control/faults", {"effect": "earthquake"}, "no fault is called 'earthquake'"),
        ("/control/manifests", {"mode": "eaten"}, "no manifest mode is called 'eaten'"),
    ],
)
def test_what_cannot_be_done_is_said(archive: SimulatedArchive, path: str, body: object, detail: str) -> None:
    answer = ask(archive, path, method="POST", body=body)
    assert answer.status == 400
    assert detail in answer.json["detail"]


def test_a_control_that_does_not_exist_is_404(archive: SimulatedArchive) -> None:
    assert ask(archive, "/control/nothing").status == 404


def test_the_command_prints_its_api_url_first_and_ends_when_told_to() -> None:
    command = [sys.executable, "-m", "dandi_pipeline_tests.simulators.dandi", "--dandisets", "3", "--assets", "2"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        connection = HTTPConnection(url.removeprefix("http://").removesuffix("/api"), timeout=10)
        connection.request("GET", "/api/dandisets/")
        assert b'"count":2' in connection.getresponse().read()
        connection.close()
        process.terminate()
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--port", "99999"], "port must be 0-65535"),
        (["--dandisets", "-4"], "'-4' is not a count"),
        (["--corpus", "/no/such/folder"], "/no/such/folder: no latest/*.jsonl.gz in it"),
        (["--speed", "9"], "unrecognized arguments: --speed 9"),
    ],
)
def test_bad_options_are_one_clear_line(options: list[str], message: str) -> None:
    command = [sys.executable, "-m", "dandi_pipeline_tests.simulators.dandi", *options]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1


def _ignore(value: object) -> None:
    """Make a callback of something that returns a value."""
