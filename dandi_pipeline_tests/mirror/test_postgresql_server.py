"""The tests' own PostgreSQL goes when they do."""

import os
import subprocess
import sys
import time

SERVE = """
import time
from dandi_pipeline_tests.postgresql import running_postgresql
with running_postgresql() as server:
    print(server.create_database(), flush=True)
    time.sleep(600)
"""


def test_a_killed_test_run_leaves_no_server_behind() -> None:
    process = subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    folder = process.stdout.readline().strip().partition("host=")[2]
    with open(f"{folder}/data/postmaster.pid") as file:
        server = int(file.readline())
    os.kill(server, 0)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 20
    while _is_alive(server) or os.path.exists(folder):
        assert time.monotonic() < deadline, "the server or its folder outlived the tests"
        time.sleep(0.05)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
