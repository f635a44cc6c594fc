"""What there is, how it stands, how it went: told from the sources file, the mirror and the runs, asking nobody."""

import io
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from dandi_pipeline.cli.commands import commands
from dandi_pipeline.cli.main import main
from dandi_pipeline.cli.sources import Selection
from dandi_pipeline.orchestration.instance import open_instance
from dandi_pipeline.platforms.registry import SETTINGS
from dandi_pipeline.settings import load_sources
from dandi_pipeline_tests.cli.conftest import CHECKOUT, Finished
from dandi_pipeline_tests.cli.estate import Estate, estate

Run = Callable[..., Finished]


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """An estate whose sources are synced, but for `notes`, with one dandiset that fails."""
    folder = tmp_path_factory.mktemp("estate")
    with estate(folder) as opened, pytest.MonkeyPatch.context() as patch:
        opened.enter(patch)
        opened.archive.faults.add("without_field", name="modified", kind="assets_full", path="000002")
        assert run("sync", "--platform", "dandi").code == 1
        assert run("sync", "tasks").code == run("sync", "stock").code == 0
        opened.forget_requests()
        yield opened


def run(*arguments: str) -> Finished:
    """Run a command within this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(arguments)
    return Finished(code, out.getvalue(), err.getvalue())


def total_requests(platforms: Estate) -> int:
    """Return how many requests any platform has got."""
    asked = (platforms.archive, platforms.notion, platforms.airtable)
    return sum(int(platform.requests.counts()["total"]) for platform in asked)


def test_list_names_every_source_and_what_it_can_be_selected_by(synced: Estate) -> None:
    listed = run("list", "--json").json
    assert [source["alias"] for source in listed["sources"]] == ["dandi", "sandbox", "tasks", "notes", "stock"]
    assert [source["enabled"] for source in listed["sources"]] == [True, False, True, True, True]
    assert listed["platforms"] == {"dandi": ["dandi", "sandbox"], "notion": ["tasks", "notes"], "airtable": ["stock"]}
    assert listed["applications"] == {"neuro": ["dandi", "sandbox"], "skyflow": ["tasks", "notes", "stock"]}
    assert listed["vaults"] == {"lab-keys": ["sandbox", "tasks"]}
    text = run("list").out
    assert re.search(r"^sandbox +dandi +neuro +trial +lab-keys +15 min +no$", text, re.MULTILINE)
    assert "  artefact: tasks, stock\n" in text


@pytest.mark.parametrize("guide", ["quick", "cheatsheet", "examples"])
def test_every_command_of_a_guide_is_one_that_the_sources_file_gives_a_meaning(synced: Estate, guide: str) -> None:
    sources = load_sources(Path("sources.yaml"), SETTINGS)
    shown = [line.strip() for line in run(guide).out.splitlines() if line.startswith("  dandi-pipeline ")]
    assert len(shown) > 5
    for line in shown:
        _, name, *arguments = shlex.split(re.split(r"  +", line)[0])
        context = commands.commands[name].make_context(name, arguments)
        if name == "sync":
            given = {key: context.params[key] for key in ("target", "platform", "app", "source", "component", "user")}
            assert Selection(**given).of(sources), line


def test_the_guides_speak_of_the_users_own_names_and_the_quick_one_fits_a_screen(synced: Estate) -> None:
    cheatsheet = run("cheatsheet").out
    for words in ("--source stock", "--platform notion", "--app skyflow", "--component artefact", "--vault lab-keys"):
        assert words in cheatsheet
    assert "sync --source dandi --dandiset-id 3 " in cheatsheet
    assert "sandbox" not in cheatsheet  # disabled
    assert max(map(len, cheatsheet.splitlines())) <= 120
    assert len(run("quick").out.splitlines()) <= 24
    assert "Something was edited in stock" in run("examples").out


def test_inspect_says_what_is_held_and_how_it_stands(synced: Estate) -> None:
    found = {each["alias"]: each for each in run("inspect", "--json").json}
    states = {alias: each["state"] for alias, each in found.items()}
    assert states == {
        "dandi": "failing",
        "sandbox": "disabled",
        "tasks": "fresh",
        "notes": "never synced",
        "stock": "fresh",
    }
    assert (found["tasks"]["partitions"], found["tasks"]["partitions_in_dagster"]) == (1, 1)
    assert found["stock"]["records"] == 16  # 13 records, three schemas
    assert found["dandi"]["last_error"]["partition"] == "000002"
    assert found["dandi"]["last_error"]["group"] == "contract"
    assert found["tasks"]["last_sync"] is not None
    assert found["tasks"]["next_due"] > found["tasks"]["last_sync"]
    text = run("inspect", "--platform", "dandi").out
    assert re.search(r"^dandi +dandi +failing +3 +1 ", text, re.MULTILINE)
    assert "tasks" not in text


def test_health_counts_the_last_day_and_says_what_is_wrong(synced: Estate) -> None:
    told = run("health", "--json")
    assert told.code == 1
    found: dict[str, Any] = told.json
    assert (found["healthy"], found["syncs"], found["succeeded"]) == (False, 3, 2)
    assert found["success_rate"] == pytest.approx(0.6667)
    assert found["failures"] == {"contract": 1}
    assert found["records_changed"] > 0
    history = run("history", "--json").json
    assert found["requests"] == sum(sync["requests"] for sync in history)
    assert found["overdue"] == ["notes"]
    assert [problem.split(":")[0] for problem in found["problems"]] == ["notes", "dandi"]
    quota = {tuple(each["sources"]): each["requests"] for each in found["quota_this_month"]}
    sent = {sync["source"]: sync["requests"] for sync in history}
    assert quota == {("stock",): sent["stock"], ("tasks", "notes"): sent["tasks"]}
    text = run("health").out
    assert "Success rate: 66.7%" in text
    problem = r"^  dandi: the newest sync ended \d+ s ago with errors \(1 contract\); see dandi-pipeline inspect dandi$"
    assert re.search(problem, text, re.MULTILINE)
    assert re.search(r"^Used this month by tasks, notes \(notion\): \d+ requests$", text, re.MULTILINE)


def test_stats_add_up_by_host_what_the_pool_and_the_limiter_did(synced: Estate) -> None:
    hosts = run("stats", "--json").json["hosts"]
    sent = {sync["source"]: sync["requests"] for sync in run("history", "--json").json}
    archive = hosts[synced.archive.url.removeprefix("http://")]
    assert archive["requests"] == archive["opened"] + archive["reused"] == sent["dandi"]
    assert set(archive) == {
        "requests",
        "opened",
        "reused",
        "waited",
        "seconds_slept",
        "retries",
        "throttled",
        "bytes_received",
    }
    assert len(hosts) == 3
    only = run("stats", "notion", "--json").json["hosts"]
    assert [host["requests"] for host in only.values()] == [sent["tasks"]]
    assert re.search(r"^HOST +REQUESTS +OPENED +REUSED +WAITED +SLEPT", run("stats").out)


def test_looking_asks_no_platform(synced: Estate) -> None:
    synced.forget_requests()
    for command in ("list", "inspect", "health", "stats", "quick", "cheatsheet", "examples"):
        run(command)
    assert total_requests(synced) == 0


def test_the_traffic_of_a_run_is_on_its_assets_where_dagster_plots_it(synced: Estate) -> None:
    import dagster as dg

    with open_instance(Path(".dagster_home").absolute()) as instance:
        (record,) = instance.fetch_observations(dg.AssetKey(["tasks", "pages"]), limit=5).records
    assert record.asset_observation is not None
    metadata = {name: value.value for name, value in record.asset_observation.metadata.items()}
    (sync,) = [sync for sync in run("history", "--json").json if sync["source"] == "tasks"]
    assert metadata["requests"] == sync["requests"]
    assert {"retries", "throttled", "bytes_received", "opened", "waited", "seconds_slept"} <= set(metadata)


def test_dagsters_own_selection_finds_the_sources_by_the_same_names(synced: Estate) -> None:
    document = (CHECKOUT / "docs" / "commands.md").read_text(encoding="utf-8")
    shown = re.search(r"`(dagster asset list .*?)`", document, re.DOTALL)
    assert shown is not None
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(shown[1])], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines() == ["tasks/pages"]


def test_what_could_not_be_read_of_a_partition_comes_with_the_next_sync(synced: Estate) -> None:
    (dandi, *_) = run("inspect", "dandi", "--json").json
    assert (dandi["never_copied"], dandi["copied_in_part"]) == (0, 1)
    assert re.search(r"^  Never copied +parts of 1 dandiset$", run("inspect", "--source", "dandi").out, re.MULTILINE)
    synced.archive.faults.clear()
    foreseen = run("sync", "--platform", "dandi", "--dry-run", "--json").json
    assert (foreseen["assets"]["added"], foreseen["dandisets"]["failed"]) == (4, 0)
    report = run("sync", "--platform", "dandi", "--json").json
    assert report["assets"]["added"] == foreseen["assets"]["added"]
    assert [each["state"] for each in run("inspect", "dandi", "--json").json] == ["fresh", "disabled"]


def test_before_the_first_sync_nothing_is_made_and_nothing_is_healthy(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert run("health").code == 1
        assert run("inspect").code == run("stats").code == run("list").code == 0
    assert list(tmp_path.iterdir()) == []
