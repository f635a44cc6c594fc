"""Every command and option of the sync system with `dj.sh` and `appsync` has a counterpart here, which works."""

import re
import shlex
from collections.abc import Iterator

import pytest

from dandi_pipeline.settings import PRESETS
from dandi_pipeline_tests.cli.conftest import CHECKOUT, Finished
from dandi_pipeline_tests.cli.estate import Estate, estate
from dandi_pipeline_tests.cli.test_documentation import rows
from dandi_pipeline_tests.cli.test_monitoring import run

DOCUMENT = (CHECKOUT / "docs" / "commands.md").read_text(encoding="utf-8")

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

ADVICE = [
    "Daily Sync",
    "After Content Changes",
    "Troubleshooting",
    "Large Import",
    "Specific App Update",
    "No Sources Found",
    "Sync Failures",
    "Rate Limits",
    "Memory Issues",
    "Adding New Platforms",
    "Custom Metrics",
]
"""What the guide gives advice on."""

MODES = {"Safe": (5, 2), "Default": (10, 5), "Fast": (20, 10)}
"""The guide's presets: the size of the pool, and how many at once."""

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
    "feature": "artefact",
}
"""What the guide's placeholders stand for on the estate."""

PACE = {"--preset", "--legacy", "--full", "--rate-limit", "--batch-size"}
"""Options that say how the sources are asked, not which."""

TABLE = {there.strip("`"): here for there, here in rows(HEADING).items()}
COMMAND = re.compile(r"`dandi-pipeline ([^`]+)`")


def counterparts(there: str) -> list[str]:
    """Return what a row says to type, as arguments of the command."""
    here = TABLE[there]
    if there.startswith("--"):
        return [f"sync skyflow {here.strip('`')}"]
    return COMMAND.findall(here)


COUNTERPARTS = [there for there in TABLE if counterparts(there)]


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """An estate of two synced sources, Notion and Airtable, in two applications."""
    folder = tmp_path_factory.mktemp("estate")
    with estate(folder) as opened, pytest.MonkeyPatch.context() as patch:
        sources = opened.sources.read_text()
        tasks = sources[sources.index("  - alias: tasks") : sources.index("  - alias: notes")]
        stock = sources[sources.index("  - alias: stock") :]
        stock = stock.replace("skyflow", "shop").replace("artefact", "goods")
        opened.sources.write_text("sources:\n" + tasks.replace("team:data", "ann") + stock)
        opened.enter(patch)
        for alias in ("tasks", "stock"):
            assert run("sync", "--source", alias).code == 0
        yield opened


@pytest.fixture(scope="module")
def answers() -> dict[str, Finished]:
    """What came of each command that was run: some rows say the same."""
    return {}


def test_the_tables_have_every_command_option_and_advice() -> None:
    commands = {there.split()[1] for there in TABLE if there.startswith("./dj.sh ")}
    assert commands == COMMANDS
    assert [there for there in TABLE if there.startswith("--")] == OPTIONS
    assert [there for there in TABLE if there in ADVICE] == ADVICE


@pytest.mark.skipif(not GUIDE.exists(), reason="the guide does not lie beside this checkout")
def test_the_guide_has_no_other() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    assert set(re.findall(r"\./dj\.sh (sync[a-z-]*)", guide)) == COMMANDS
    assert set(re.findall(r"(?<![\w-])--[a-z-]+[a-z]", guide)) == set(OPTIONS)
    shown = re.findall(r"(?:\./dj\.sh|python manage\.py appsync) (?!<)[^#\n]+", guide)
    assert {line.strip() for line in shown} <= set(TABLE)
    for section in ("Common Workflows", "Extending the System", "Troubleshooting\n\nNo Sources Found"):
        assert section in guide
    advised = guide[guide.index("Common Workflows") : guide.index("Performance Tuning")]
    advised += guide[guide.index("Extending the System") :]
    titles = re.findall(r"\n\n((?:[A-Z]\w+ ?)+)\n\n", re.sub(r"\n\n", "\n\n\n\n", advised))
    assert set(titles) - {"Troubleshooting"} == set(ADVICE) - {"Troubleshooting"}
    for mode, (pool, at_once) in MODES.items():
        assert f"\n{mode}{pool}{at_once}" in guide


def test_the_presets_are_the_guides() -> None:
    assert {name.title(): (mode.pool_size, mode.max_concurrent) for name, mode in PRESETS.items()} == MODES
    for pool, at_once in MODES.values():
        assert re.search(rf"\({'a pool of ' if pool == 5 else ''}{pool}(?:,| and) {at_once}(?: at once)?\)", DOCUMENT)


@pytest.mark.parametrize("there", COUNTERPARTS)
def test_the_counterpart_works(synced: Estate, answers: dict[str, Finished], there: str) -> None:
    for counterpart in counterparts(there):
        arguments = [NAMES.get(word, word) for word in shlex.split(counterpart)]
        if PACE & set(arguments):
            arguments += ["--source", "tasks"]  # one source is enough: how several are synced is tried elsewhere
        typed = shlex.join(arguments)
        if typed not in answers:
            answers[typed] = run(*arguments)
        done = answers[typed]
        assert done.code == 0, done.err
        assert expected(arguments) in done.out


def expected(arguments: list[str]) -> str:
    """Return what the answer must hold."""
    command = arguments[0]
    if command == "sync" and "--dry-run" in arguments:
        return "nothing was written"
    if command == "sync" and "--only-due" in arguments:
        return "Nothing was due"
    found = {"sync": "Sync completed successfully", "health": "Healthy", "stats": "HOST", "inspect": "fresh"}
    return found.get(command, "SOURCE" if command == "list" else "dandi-pipeline sync --source stock")
