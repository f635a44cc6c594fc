"""Dagster's own processes, as `dagster dev` starts them, and their GraphQL over HTTP."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import requests

from dandi_pipeline.orchestration.instance import prepare_home
from dandi_pipeline_tests.orchestration.site import Site

CHECKOUT = Path(__file__).resolve().parents[2]
Result = TypeVar("Result")


class Served:
    """A running webserver, its daemon and its code location."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, query: str, **variables: Any) -> Any:
        """Return the data of a GraphQL answer."""
        answer = requests.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=30)
        answer.raise_for_status()
        body = answer.json()
        assert "errors" not in body, body["errors"]
        return body["data"]

    def is_up(self) -> bool:
        """Whether the webserver answers and has loaded the code location."""
        try:
            location = self.query("{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }")
        except requests.ConnectionError:
            return False
        return [entry["loadStatus"] for entry in location["workspaceOrError"]["locationEntries"]] == ["LOADED"]


@contextmanager
def dagster_dev(site: Site) -> Iterator[Served]:
    """Run `dagster dev` on the site's home until the block ends, then stop all that it started."""
    prepare_home(site.settings.dagster_home)
    port = free_port()
    log = site.path / "dagster-dev.log"
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(CHECKOUT / "workspace.yaml")]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "-h", "127.0.0.1", "-p", str(port)],
            cwd=site.path,
            env={**os.environ, **site.environ, "PYTHONPATH": str(CHECKOUT)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        served = Served(f"http://127.0.0.1:{port}")
        try:
            wait_for(served.is_up, seconds=300, log=log)
            yield served
        finally:
            stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Interrupt the process as Ctrl-C does, then make sure that nothing of its group is left."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=120)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(condition: Callable[[], Result], *, seconds: float, log: Path | None = None) -> Result:
    """Return the condition's first true answer; fail with the end of the log if there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds} seconds\n{log.read_text()[-3000:] if log else ''}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
