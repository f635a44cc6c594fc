"""What the commands say in situations, as the table in docs/operating.md tells it: each of its lines is a test."""

import os
import re
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import sqlalchemy as sa

from dandi_pipeline_tests.cli.conftest import CHECKOUT, Shell
from dandi_pipeline_tests.cli.estate import Estate, estate
from dandi_pipeline_tests.cli.test_monitoring import run
from dandi_pipeline_tests.end_to_end.equality import plain_engine
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive

COMMANDS = ("inspect", "health", "verify", "history")
TABLE = (CHECKOUT / "docs" / "operating.md").read_text(encoding="utf-8").split("| situation |")[1].split("\n\n")[0]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.splitlines()[2:]]
EXPECTED = {situation: dict(zip(COMMANDS, cells, strict=True)) for situation, *cells in ROWS}

ARCHIVE = "sources:\n  - platform: dandi\n"
SANDBOX = f"{ARCHIVE}  - {{alias: sandbox, platform: dandi}}\n"


def never_synced(_: Estate, __: pytest.MonkeyPatch) -> None:
    """Nothing was done yet."""


def killed(here: Estate, _: pytest.MonkeyPatch) -> None:
    """The process goes while the second of its dandisets is read; the first is committed."""
    seen: list[str] = []

    def hold(kind: str, params: Mapping[str, str]) -> None:
        seen.append(kind)
        if len(seen) > 4:
            os.kill(process.pid, signal.SIGKILL)

    here.archive.before_response = hold
    process = here.shell.start("sync", "--max-concurrent", "1", **here.credentials)
    process.communicate(timeout=120)
    here.archive.before_response = None
    assert process.returncode == -signal.SIGKILL


def targeted(_: Estate, __: pytest.MonkeyPatch) -> None:
    assert run("sync", "--dandiset-id", "1").code == 0


def mirror_deleted(here: Estate, _: pytest.MonkeyPatch) -> None:
    assert run("sync").code == 0
    for file in (here.shell.folder / ".dagster_home").glob("mirror.sqlite*"):
        file.unlink()


def wrong_key(_: Estate, patch: pytest.MonkeyPatch) -> None:
    assert run("sync").code == 0
    patch.setenv("DANDI_API_KEY", "mistyped")
    assert run("sync").code == 2


def token_unset(here: Estate, patch: pytest.MonkeyPatch) -> None:
    (entry,) = re.findall(r"  - alias: tasks\n(?:    .*\n)+", Path("every.yaml").read_text())
    here.sources.write_text("sources:\n" + entry)
    assert run("sync").code == 0
    patch.delenv("NOTION_TOKEN")


def source_removed(here: Estate, _: pytest.MonkeyPatch) -> None:
    here.sources.write_text(SANDBOX)
    assert run("sync", "all").code == 0
    here.sources.write_text(ARCHIVE)


def mistyped(_: Estate, __: pytest.MonkeyPatch) -> None:
    assert run("sync").code == 0
    assert run("sync", "--dandiset-id", "999999").code == 2


def uploading(here: Estate, _: pytest.MonkeyPatch) -> None:
    """Every reading of it meets an asset more."""
    assert run("sync").code == 0
    world, numbers = here.archive.world, iter(range(1_000))

    def add(kind: str, params: Mapping[str, str]) -> None:
        if kind.startswith("assets"):
            world.add_asset("000001", f"uploaded/{next(numbers)}.nwb")

    world.add_asset("000001", "first.nwb")
    here.archive.before_response = add
    done = run("sync")
    here.archive.before_response = None
    assert done.code == 0, done.err
    assert "1 dandiset read in part, to be synced again:\n  000001: still changing" in done.out


SITUATIONS: Mapping[str, Callable[[Estate, pytest.MonkeyPatch], None]] = {
    "never synced": never_synced,
    "the first copy was killed": killed,
    "only single dandisets were synced": targeted,
    "the mirror was deleted": mirror_deleted,
    "the key is wrong": wrong_key,
    "a token is not set": token_unset,
    "a source was removed from `sources.yaml`": source_removed,
    "an identifier was mistyped": mistyped,
    "a dandiset is being uploaded to": uploading,
}


@pytest.mark.parametrize("situation", EXPECTED)
def test_the_commands_say_what_the_document_tells(situation: str, tmp_path: Path) -> None:
    with estate(tmp_path) as here, pytest.MonkeyPatch.context() as patch:
        here.enter(patch)
        here.sources.rename("every.yaml")
        here.sources.write_text(ARCHIVE)
        SITUATIONS[situation](here, patch)
        for command, told in EXPECTED[situation].items():
            # Of the only source everything is shown; the note on what is left is of all.
            code, phrases = told.split(":", 1)
            said = run(command)
            assert said.code == int(code), (command, said)
            for phrase in re.findall(r"`([^`]+)`", phrases):
                pattern = ".*".join(map(re.escape, phrase.split("…")))
                assert re.search(pattern, said.out + said.err), (command, phrase, said.out + said.err)


def test_every_situation_is_in_the_document() -> None:
    assert EXPECTED.keys() == SITUATIONS.keys()


def test_what_is_held_of_a_source_that_is_no_more_is_removed_when_a_person_says_so(
    shell: Shell, archive: SimulatedArchive, mirror_url: str
) -> None:
    def changes() -> int:
        with plain_engine(mirror_url).connect() as connection:
            counted = "SELECT count(*) FROM changes WHERE source = 'sandbox' AND kind = 'delete'"
            return int(connection.execute(sa.text(counted)).scalar_one())

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(shell.folder)
        patch.setenv("DANDI_API_URL", archive.api_url)
        patch.setenv("MIRROR_DATABASE_URL", mirror_url)
        sources = Path("sources.yaml")
        sources.write_text(SANDBOX)
        assert run("sync", "--source", "sandbox").code == 0
        assert run("forget", "sandbox", "--yes").code == 2  # it is configured
        sources.write_text(ARCHIVE)
        assert "'nobody'; of what is not configured it holds sandbox" in run("forget", "nobody", "--yes").err
        assert run("forget", "sandbox").code == 2  # nobody is there to say yes
        assert changes() == 0
        forgotten = run("forget", "sandbox", "--yes")
        assert (forgotten.code, forgotten.out) == (
            0,
            "4 partitions of sandbox removed, 4 taken out of Dagster; the change feed keeps what was deleted\n",
        )
        assert changes() > 0
        assert "sandbox" not in run("inspect").out
        assert run("forget", "sandbox", "--yes").code == 2
        assert run("forget", "sandbox", "--yes", "--with-history").code == 0
        assert changes() == 0
        shutil.rmtree(".dagster_home")
