"""Runs the command for single sources as processes, side by side, and lets each end in order when interrupted."""

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any

from dandi_pipeline.cli.interrupts import INTERRUPTED
from dandi_pipeline.cli.terminal import plain, tell

_ERROR = "Error: "


@dataclass(frozen=True, slots=True)
class Child:
    """The sync of one source; `arguments` are those it shares with the others."""

    alias: str
    platform: str
    arguments: Sequence[str]

    @property
    def command(self) -> list[str]:
        """What is run, with this very Python."""
        own = ["sync", "--source", self.alias, "--json", "--no-progress"]
        return [sys.executable, "-m", "dandi_pipeline", *own, *self.arguments]


@dataclass(frozen=True, slots=True)
class Ended:
    """How the sync of one source ended: with its report, or with the error that stopped it."""

    platform: str
    code: int
    report: dict[str, Any] | None
    error: str


class Children:
    """Some processes, `at_once` at a time; their lines are shown on standard error, behind their sources' names."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._lock = Lock()
        self._at_work: set[subprocess.Popen[str]] = set()
        self._interrupted = False

    def run(self, children: Sequence[Child]) -> dict[str, Ended]:
        """Run all and return how each ended, by its source's alias.

        An interrupt is passed on to those at work, and raised again when they have ended in order.
        """
        with ThreadPoolExecutor(self._at_once, thread_name_prefix="source") as threads:
            futures = {child.alias: threads.submit(self._run, child) for child in children}
            try:
                return {alias: future.result() for alias, future in futures.items()}
            except KeyboardInterrupt:
                self._interrupt()
                raise

    def kill(self) -> None:
        """End those at work at once."""
        with self._lock:
            self._interrupted = True
            for process in self._at_work:
                process.kill()

    def _run(self, child: Child) -> Ended:
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            process = self._start(child, output.fileno())
            if process is None:
                return Ended(child.platform, INTERRUPTED, None, "not begun")
            with process:
                error = self._show(child, process)
                code = process.wait()
            with self._lock:
                self._at_work.discard(process)
            output.seek(0)
            text = output.read()
        if not text:
            code = code if code > 0 else 1
            return Ended(child.platform, code, None, error or f"ended without a report, exit code {process.returncode}")
        return Ended(child.platform, code, json.loads(text), "")

    def _start(self, child: Child, output: int) -> "subprocess.Popen[str] | None":
        """Start a process, unless nothing is to be started any more.

        In a session of its own: Ctrl-C in the terminal reaches it once, from here, and not twice.
        """
        with self._lock:
            if self._interrupted:
                return None
            process = subprocess.Popen(  # noqa: S603 - this very command, with options that it has checked itself
                child.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
            self._at_work.add(process)
        return process

    def _show(self, child: Child, process: "subprocess.Popen[str]") -> str:
        """Show a process's lines as they come; return the error it ended with, if it did."""
        error = ""
        assert process.stderr is not None
        for line in process.stderr:
            text = plain(line.rstrip("\n"))
            if not self._interrupted:
                tell(f"{child.alias}: {text}")
            error = text.removeprefix(_ERROR) if text.startswith(_ERROR) else ""
        return error

    def _interrupt(self) -> None:
        with self._lock:
            self._interrupted = True
            for process in self._at_work:
                process.send_signal(signal.SIGINT)
