"""An interrupt is never lost, wherever it arrives."""

import subprocess
import sys

from dandi_pipeline_tests.cli.conftest import CHECKOUT

INTERRUPTED_IN_A_FINALIZER = """
import os, signal, time
from dandi_pipeline.cli.interrupts import interrupts_kept

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

try:
    with interrupts_kept():
        Finalized()
        time.sleep(20)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_interrupt_during_a_finalizer_arrives_a_moment_later() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IN_A_FINALIZER], cwd=CHECKOUT, capture_output=True, text=True, timeout=15
    )
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)
