"""Runs the command line in processes that are forked from one which has loaded it: each would load it for a second."""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from dandi_pipeline.cli.main import run

_SECONDS = 300
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    ["pytest", "dandi_pipeline.cli.main", "dandi_pipeline.cli.several", "dandi_pipeline.cli.verify", __name__]
)


def run_forked(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Run the command in `folder`, with that environment alone; return its exit code and what it wrote."""
    with tempfile.TemporaryDirectory() as written:
        out, err = Path(written, "out"), Path(written, "err")
        process = _PROCESSES.Process(target=_command, args=(arguments, folder, environment, out, err), daemon=True)
        process.start()
        process.join(_SECONDS)
        assert process.exitcode is not None, f"{arguments} did not end within {_SECONDS} seconds"
        code = process.exitcode
        process.close()
        return code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8")


def _command(arguments: Sequence[str], folder: Path, environment: Mapping[str, str], out: Path, err: Path) -> None:
    for stream, path in ((sys.stdin, os.devnull), (sys.stdout, out), (sys.stderr, err)):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = arguments
    run()
