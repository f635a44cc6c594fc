"""An interrupt is never lost, wherever it arrives; the first ends a sync in order, the second at once."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dandi_pipeline_tests.cli.conftest import CHECKOUT, Shell, wait_for
from dandi_pipeline_tests.cli.estate import estate
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive

WAITING = "Interrupted: waiting for the requests in flight; Ctrl-C again ends at once"
AT_ONCE = "Error: ended at once; what was committed stays, the next sync does the rest"

INTERRUPTED_IN_A_FINALIZER = """
import os, signal, time
from dandi_pipeline.cli.interrupts import interrupts_heeded

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

try:
    with interrupts_heeded(print):
        Finalized()
        time.sleep(20)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_interrupt_during_a_finalizer_arrives_a_moment_later() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IN_A_FINALIZER], cwd=CHECKOUT, capture_output=True, text=True, timeout=15
    )
    first, second = done.stdout.splitlines()
    assert (first, second) == (WAITING, "interrupted")
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize("command", ["sync", "verify"])
def test_a_second_interrupt_ends_at_once(shell: Shell, archive: SimulatedArchive, command: str) -> None:
    shell.run("sync")
    archive.world.add_asset("000001", "sub-new/sub-new.nwb", size=5)
    archive.requests.reset()
    archive.faults.add("slow_start", seconds=120.0, kind="assets_full")
    with shell.start(command) as process:
        wait_for(lambda: archive.requests.total >= 2)
        said = interrupt_twice(process)
    assert process.returncode == 130
    assert said == [WAITING, AT_ONCE]
    archive.faults.clear()
    assert shell.run("sync").code == 0


def test_a_terminal_that_is_closed_ends_a_sync_in_order(shell: Shell, archive: SimulatedArchive) -> None:
    archive.faults.add("slow_start", seconds=3.0, kind="assets_full")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(shell.folder)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # it is ignored where the tests run under nohup
        # One dandiset after the other, so that some are left to do whenever the terminal is closed.
        os.execve(sys.executable, shell.command("sync", "--max-concurrent", "1"), shell.environment(TERM="xterm"))
    wait_for(lambda: archive.requests.total >= 4)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    (run,) = shell.run("history", "--json").json
    assert run["status"] == "interrupted"
    assert run["errors"] == {}


def test_a_second_interrupt_ends_every_source_at_once(tmp_path: Path) -> None:
    with estate(tmp_path) as opened:
        opened.notion.faults.add("slow_start", seconds=120.0)
        with opened.shell.start("sync", "notion", **opened.credentials) as process:
            wait_for(lambda: int(opened.notion.requests.counts()["total"]) == 2)
            said = interrupt_twice(process)
        assert process.returncode == 130
        assert said == [WAITING, AT_ONCE]
        assert {run["status"] for run in opened.run("history", "--json").json} <= {"failed"}


def interrupt_twice(process: "subprocess.Popen[bytes]") -> list[str]:
    """Interrupt, and again as soon as the first was answered; return the lines from that answer on."""
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    for line in process.stderr:
        if line.decode().startswith(WAITING):
            break
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    rest = process.stderr.read().decode()
    process.wait(timeout=60)
    assert time.monotonic() - started < 20
    return [WAITING, *rest.splitlines()]
