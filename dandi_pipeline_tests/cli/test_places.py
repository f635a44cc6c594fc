"""Odd folders, full and read-only disks, deleted mirrors: a sync does its work, or says in one line what is wrong."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dandi_pipeline_tests.cli.conftest import Finished, Shell
from dandi_pipeline_tests.mirror.records import query


def told(finished: Finished, code: int) -> str:
    """Return the one line that a command ends with, and see that it is no traceback."""
    assert finished.code == code, finished.err
    assert "Traceback" not in finished.err + finished.out, finished.err
    return finished.err.strip().splitlines()[-1]


@pytest.mark.parametrize("name", ["a b", 'it\'s "so"', "a#b", "100%", "é", "a;b=c", "{x}", "a: b"])
def test_a_folder_may_have_nearly_any_name(fresh_shell: Shell, name: str) -> None:
    place = fresh_shell.folder / name
    place.mkdir()
    assert Shell(place, fresh_shell.api_url).run("sync").code == 0
    assert [file.name for file in place.iterdir()] == [".dagster_home"]
    assert "mirror.sqlite" in [file.name for file in (place / ".dagster_home").iterdir()]
    assert [folder.name for folder in fresh_shell.folder.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a?b", "a%20b"])
def test_a_folder_that_dagster_cannot_use_is_refused_and_the_mirror_may_lie_in_it(
    fresh_shell: Shell, name: str
) -> None:
    place = fresh_shell.folder / name
    place.mkdir()
    odd = Shell(place, fresh_shell.api_url)
    line = told(odd.run("sync"), 2)
    assert line.startswith(f"Error: DAGSTER_HOME: {place}/.dagster_home: Dagster cannot keep files in a folder with")
    assert list(place.iterdir()) == []
    home = str(fresh_shell.folder / "home")
    assert odd.run("sync", DAGSTER_HOME=home, MIRROR_DATABASE_URL="sqlite:///m.sqlite").code == 0
    assert [file.name for file in place.iterdir()] == ["m.sqlite"]
    assert sorted(folder.name for folder in fresh_shell.folder.iterdir()) == sorted([name, "home"])


def test_a_tilde_that_no_shell_has_read_is_the_users_folder(shell: Shell) -> None:
    work = shell.folder / "work"
    work.mkdir()
    finished = Shell(work, shell.api_url).run("sync", HOME=str(shell.folder), DAGSTER_HOME="~/home")
    assert finished.code == 0, finished.err
    assert list(work.iterdir()) == []
    assert (shell.folder / "home" / "mirror.sqlite").exists()


# -- disks ------------------------------------------------------------------------------------------------------------


class Disk:
    """A small file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mount(self, *options: str) -> None:
        """Mount it, or mount it anew."""
        subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", self.folder], check=True)

    def fill(self, *, leaving: int = 0) -> None:
        free = os.statvfs(self.folder)
        with (self.folder / "filling").open("wb") as file:
            file.write(b"\0" * (free.f_bavail * free.f_frsize - leaving))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    disk = Disk(folder)
    try:
        disk.mount("size=8m")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root may mount a file system")
    yield disk
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_of_dagsters_is_named_at_any_moment(shell: Shell, disk: Disk) -> None:
    mirror = f"sqlite:///{shell.folder}/mirror.sqlite"
    home = disk.folder / "home"
    for leaving in (0, 50_000, 200_000):
        disk.fill(leaving=leaving)
        line = told(shell.run("sync", DAGSTER_HOME=str(home), MIRROR_DATABASE_URL=mirror), 2)
        assert line.startswith(f"Error: DAGSTER_HOME: {home}"), line
        (disk.folder / "filling").unlink()
    assert shell.run("sync", DAGSTER_HOME=str(home), MIRROR_DATABASE_URL=mirror).code == 0
    disk.fill()
    line = told(shell.run("sync", DAGSTER_HOME=str(home), MIRROR_DATABASE_URL=mirror), 2)
    assert line.startswith(f"Error: DAGSTER_HOME: {home}"), line
    assert "free space" in line


def test_a_full_disk_of_the_mirrors_is_named(shell: Shell, disk: Disk) -> None:
    disk.fill(leaving=300_000)
    line = told(shell.run("sync", MIRROR_DATABASE_URL=f"sqlite:///{disk.folder}/mirror.sqlite"), 2)
    assert line.startswith(f"Error: {disk.folder}/mirror.sqlite: the disk is full; free space"), line


# In a process of its own: SQLite reads SQLITE_TMPDIR once.
STAGE = """
import sys
from dandi_pipeline.errors import DatabaseUnavailable
from dandi_pipeline_tests.mirror.records import asset, opened, store
try:
    with opened(sys.argv[1]) as mirror:
        store(mirror, *(asset(f"{number:05}", metadata='"' + "x" * 1000 + '"') for number in range(20_000)))
except DatabaseUnavailable as error:
    print(error)
"""


def test_a_full_disk_for_temporary_files_is_not_taken_for_the_mirrors(shell: Shell, disk: Disk) -> None:
    disk.fill()
    url = f"sqlite:///{shell.folder}/mirror.sqlite"
    environment = shell.environment(SQLITE_TMPDIR=str(disk.folder))
    printed = subprocess.check_output([sys.executable, "-c", STAGE, url], env=environment, text=True)
    assert printed.startswith(f"{shell.folder}/mirror.sqlite: the disk for temporary files, {disk.folder}, is full")
    assert "in SQLITE_TMPDIR" in printed


def test_a_home_that_cannot_be_written_is_named(shell: Shell, disk: Disk) -> None:
    home = str(disk.folder / "home")
    assert shell.run("sync", DAGSTER_HOME=home).code == 0
    disk.mount("remount", "ro")
    for command in ("sync", "inspect", "health", "history"):
        line = told(shell.run(command, DAGSTER_HOME=home), 2)
        assert line.startswith((f"Error: DAGSTER_HOME: {home}", f"Error: {home}/mirror.sqlite")), line
        assert "read-only" in line.lower()
    line = told(shell.run("sync", DAGSTER_HOME=str(disk.folder / "another")), 2)
    assert line.startswith(f"Error: DAGSTER_HOME: {disk.folder}/another: Read-only file system"), line
    line = told(shell.run("sync", MIRROR_DATABASE_URL=f"sqlite:///{home}/mirror.sqlite"), 2)
    assert line.startswith(f"Error: {home}/mirror.sqlite: the file cannot be written"), line


# -- what was deleted or damaged --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["mirror.sqlite", "history/runs.db", "history/runs/index.db", "schedules/schedules.db"]
)
def test_a_damaged_file_is_told_with_what_to_do(shell: Shell, name: str) -> None:
    assert shell.run("sync").code == 0
    home = shell.folder / ".dagster_home"
    file = home / name
    for beside in file.parent.glob(f"{file.name}-*"):
        beside.unlink()
    file.write_bytes(b"no database" * 5000)
    line = told(shell.run("sync"), 2)
    assert line.startswith(f"Error: {file}: " if name == "mirror.sqlite" else f"Error: DAGSTER_HOME: {home}: "), line
    assert "damaged" in line
    assert "away" in line


def test_what_the_mirror_holds_decides_what_is_due(shell: Shell) -> None:
    assert shell.run("sync").code == 0
    assert "not due" in shell.run("sync", "--only-due").err
    mirror = shell.folder / ".dagster_home" / "mirror.sqlite"
    mirror.unlink()
    (inspected,) = shell.run("inspect", "--json").json
    assert (inspected["state"], inspected["next_due"]) == ("emptied", None)
    told_health = shell.run("health")
    assert told_health.code == 1
    assert "overdue, the mirror holds nothing of it" in told_health.out
    assert "the mirror holds nothing of it" in shell.run("sync", "--only-due", "--dry-run").out
    assert shell.run("sync", "--only-due").code == 0
    assert query(f"sqlite:///{mirror}", "SELECT count(*) FROM dandisets") == [{"count(*)": 4}]
    assert shell.run("health").code == 0
    assert "not due" in shell.run("sync", "--only-due").err


def test_a_mirror_that_lacks_some_is_due_until_it_has_them(shell: Shell) -> None:
    assert shell.run("sync").code == 0
    (shell.folder / ".dagster_home" / "mirror.sqlite").unlink()
    assert shell.run("sync", "--dandiset-id", "1").code == 0
    (inspected,) = shell.run("inspect", "--json").json
    assert (inspected["state"], inspected["partitions"]) == ("due", 1)
    assert "the mirror lacks 3 of its 4 partitions" in shell.run("sync", "--only-due", "--dry-run").out
    assert shell.run("sync", "--only-due").code == 0
    assert "not due" in shell.run("sync", "--only-due").err


def test_a_clock_set_back_leaves_nothing_undone(shell: Shell) -> None:
    assert shell.run("sync").code == 0
    ahead = "UPDATE runs SET start_time = start_time + 86400, end_time = end_time + 86400"
    assert query(f"sqlite:///{shell.folder}/.dagster_home/history/runs.db", ahead) == []
    (inspected,) = shell.run("inspect", "--json").json
    assert (inspected["state"], inspected["checked"]) == ("never synced", None)
    assert shell.run("health").code == 1
    assert shell.run("sync", "--only-due").code == 0
    assert shell.run("health").code == 0
    assert "not due" in shell.run("sync", "--only-due").err
