"""Every command and option of the sync system with `dj.sh` and `appsync` has a counterpart here, which works."""

import re
import shlex
from collections.abc import Iterator

import pytest

from dandi_pipeline_tests.cli.conftest import CHECKOUT
from dandi_pipeline_tests.cli.estate import Estate, estate
from dandi_pipeline_tests.cli.test_documentation import rows
from dandi_pipeline_tests.cli.test_monitoring import run

GUIDE = CHECKOUT.parent / "shared" / "seeds" / "004_499dc00462ee2829.txt"
"""The guide to that system, where it lies beside the checkout."""

HEADING = "Coming from `dj.sh` and `appsync`"

COMMANDS = {
    "sync-cheat",
    "sync-quick",
    "sync-examples",
    "sync-inspect",
    "sync-list",
    "sync",
    "sync-notion",
    "sync-airtable",
    "sync-all",
    "sync-app",
    "sync-component",
    "sync-artefacts",
    "sync-source",
    "sync-vault",
    "sync-user",
    "sync-due",
    "sync-enabled",
    "sync-dry",
    "sync-fast",
    "sync-safe",
    "sync-full",
    "sync-legacy",
    "sync-app-component",
    "sync-platform-component",
    "sync-app-fast",
    "sync-custom",
    "sync-health",
    "sync-stats",
}

OPTIONS = [
    "--platform",
    "--app",
    "--source",
    "--component",
    "--vault",
    "--user",
    "--only-enabled",
    "--only-due",
    "--pool-size",
    "--max-concurrent",
    "--batch-size",
    "--rate-limit",
    "--no-streaming",
    "--no-incremental",
    "--dry-run",
    "--verbose",
]

NAMES = {
    "my-app-name": "skyflow",
    "my-app": "skyflow",
    "my-source-alias": "tasks",
    "my-vault": "lab-keys",
    "username": "ann",
}
"""What the guide's placeholders stand for on the estate."""

TABLE = {there.strip("`"): here.strip("`") for there, here in rows(HEADING).items()}
COUNTERPARTS = {there: here for there, here in TABLE.items() if here.startswith("dandi-pipeline ")}
COUNTERPARTS |= {
    f"appsync {there}": f"dandi-pipeline sync {here}" for there, here in TABLE.items() if "--" in there[:2]
}


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """An estate of which everything is synced, but DANDI, which that system did not know."""
    folder = tmp_path_factory.mktemp("estate")
    with estate(folder) as opened, pytest.MonkeyPatch.context() as patch:
        sources = opened.sources.read_text()
        opened.sources.write_text("sources:\n" + sources[sources.index("  - alias: tasks") :])
        opened.enter(patch)
        for alias in ("tasks", "notes", "stock"):
            assert run("sync", "--source", alias).code == 0
        yield opened


def test_the_table_has_every_command_and_every_option() -> None:
    commands = {there.split()[1] for there in TABLE if there.startswith("./dj.sh ")}
    assert commands == COMMANDS
    assert [there for there in TABLE if there.startswith("--")] == OPTIONS


@pytest.mark.skipif(not GUIDE.exists(), reason="the guide does not lie beside this checkout")
def test_the_guide_has_no_other() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    assert set(re.findall(r"\./dj\.sh (sync[a-z-]*)", guide)) == COMMANDS
    assert set(re.findall(r"(?<![\w-])--[a-z-]+[a-z]", guide)) == set(OPTIONS)
    for line in re.findall(r"python manage\.py appsync (?!<)[^\n]+", guide):
        assert line.strip() in TABLE


@pytest.mark.parametrize("there", COUNTERPARTS)
def test_the_counterpart_works(synced: Estate, there: str) -> None:
    _, *arguments = shlex.split(COUNTERPARTS[there])
    done = run(*(NAMES.get(word, word) for word in arguments))
    assert done.code == 0, done.err
    assert expected(arguments) in done.out


def expected(arguments: list[str]) -> str:
    """Return what the answer must hold."""
    command = arguments[0]
    if command == "sync" and "--dry-run" not in arguments:
        return "Sync completed successfully"
    found = {"sync": "nothing was written", "health": "Healthy", "stats": "HOST", "inspect": "fresh", "list": "SOURCE"}
    return found.get(command, "dandi-pipeline")
