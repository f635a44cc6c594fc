"""`dandi-pipeline explore`, served on a small mirror."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from dandi_pipeline_tests.end_to_end.rig import Rig
from dandi_pipeline_tests.orchestration.served import CHECKOUT, free_port, wait_for
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive, generated_world

NAME = "Theta sequences in the dentate gyrus"


@contextmanager
def explored(folder: Path, *arguments: str) -> Iterator[str]:
    """Make a mirror with a short history, serve its pages, and lend their address."""
    url = f"sqlite:///{folder / 'mirror.sqlite'}"
    with SimulatedArchive(generated_world(dandisets=12, assets=9)) as archive:
        rig = Rig(archive, url, folder)
        archive.world.rename_dandiset("000001", NAME)
        rig.sync()
        archive.world.add_asset("000001", "sub-new/sub-new_ecephys.nwb", size=4096)
        archive.world.remove_asset("000001", min(archive.world.dandisets["000001"].draft.assets))
        rig.sync()
    port = free_port()
    environ = {**os.environ, "MIRROR_DATABASE_URL": url, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-m", "dandi_pipeline", "explore", "--port", str(port), *arguments]
    process = subprocess.Popen(command, cwd=folder, env=environ, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: _answers(port), seconds=60)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/questions", timeout=20).ok
    except requests.RequestException:
        return False
