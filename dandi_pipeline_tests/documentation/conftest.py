"""A user's folder in which a document's commands can be tried, and what `make demo` leaves behind."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dandi_pipeline_tests.documentation.markdown import CHECKOUT
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world

VENV = Path(sys.prefix)


@dataclass(frozen=True)
class Folder:
    """Runs a document's command lines in `path`, against the archive at `api_url`, with nothing installed anew."""

    path: Path
    api_url: str

    def run(self, line: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-c", self.here(line)],
            cwd=self.path,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def start(self, line: str) -> "subprocess.Popen[bytes]":
        """Begin a command that runs until it is told to end, in a process group of its own."""
        return subprocess.Popen(
            ["bash", "-c", f"exec {self.here(line)}"],
            cwd=self.path,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def here(self, line: str) -> str:
        """Point a line at the checkout's Makefile and at the environment that runs the tests."""
        made = f"make -f {CHECKOUT}/Makefile VENV={VENV} -o {VENV}/.runtime -o {VENV}/.dev"
        return line.replace(".venv/bin/", f"{VENV}/bin/").replace("make ", f"{made} ", 1)

    def environment(self, **changes: str) -> dict[str, str]:
        return {
            "PATH": f"{VENV}/bin:{os.environ['PATH']}",
            "HOME": str(self.path),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(CHECKOUT),
            "DANDI_API_URL": self.api_url,
            **changes,
        }


@pytest.fixture
def archive() -> Iterator[SimulatedArchive]:
    with SimulatedArchive(generated_world(dandisets=12, assets=4)) as archive:
        yield archive


@pytest.fixture
def folder(tmp_path: Path, archive: SimulatedArchive) -> Folder:
    return Folder(tmp_path, archive.api_url)


@pytest.fixture(scope="session")
def demonstrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the demonstration; return the folder that it ran in, with what it showed in a file."""
    return _demonstrated("make demo", _shared(tmp_path_factory) / "demonstrated")


@pytest.fixture(scope="session")
def demonstrated_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do the same with the demonstration of all platforms."""
    return _demonstrated("make demo PLATFORMS=all", _shared(tmp_path_factory) / "demonstrated_all")


def _shared(factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all of pytest's processes have in common."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def _demonstrated(command: str, path: Path) -> Path:
    """Run a demonstration once for all of pytest's processes."""
    shown = path / "demonstration.txt"
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shown.exists():
            path.mkdir(exist_ok=True)
            done = Folder(path, "").run(command)
            assert done.returncode == 0, done.stdout + done.stderr
            shown.write_text(done.stdout, encoding="utf-8")
    return path
