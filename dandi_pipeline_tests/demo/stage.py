"""What the demonstrations share: their folder, running a command as a user would, asking the mirror, printing."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

FOLDER = Path(".demo")

_PREFIXES = ("DANDI_", "MIRROR_", "NOTION_", "AIRTABLE_")


class StepFailed(Exception):
    """A command ended with a `code` that is not 0: there is nothing more to show."""

    def __init__(self, code: int) -> None:
        self.code = code


class Stage:
    """Runs commands in an environment in which everything lies below `.demo/` and nothing of the caller's is used."""

    def __init__(self, **environment: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIXES)}
        self._home = FOLDER.absolute() / "dagster_home"
        self._environ = {**inherited, **environment, "DAGSTER_HOME": str(self._home)}

    def run(self, *arguments: str) -> None:
        """Show a command line, and run it; raise `StepFailed` if it fails."""
        print(f"$ dandi-pipeline {' '.join(arguments)}", flush=True)
        command = [sys.executable, "-m", "dandi_pipeline", *arguments]
        with subprocess.Popen(command, env=self._environ) as process:
            if code := _ended(process):
                raise StepFailed(code)

    def serve_ui(self) -> None:
        """Serve Dagster's UI on the demonstration's mirror until interrupted."""
        title("Dagster's UI on the same mirror (Ctrl-C ends it)")
        self.run("ui")

    def show(self, statement: str, **named: Any) -> None:
        """Show a query, and the mirror's answer."""
        names, rows = self._query(statement, **named)
        print("\n".join(f"sql> {line}" for line in statement.splitlines()))
        texts = [names, *(["" if value is None else str(value) for value in row] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
        for row in texts:
            print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
        print()

    def last_change(self) -> int:
        """Return the newest change's number."""
        return int(self._query("SELECT coalesce(max(sequence), 0) FROM changes")[1][0][0])

    def _query(self, statement: str, **named: Any) -> tuple[list[str], Sequence[tuple[Any, ...]]]:
        """Ask the mirror, read-only."""
        path = self._home / "mirror.sqlite"
        engine = sa.create_engine(f"sqlite:///file:{path}?mode=ro&uri=true", poolclass=sa.NullPool)
        with engine.connect() as connection:
            result = connection.execute(sa.text(statement), named)
            return list(result.keys()), [tuple(row) for row in result]


def _ended(process: "subprocess.Popen[bytes]") -> int:
    """Return a command's exit code; Ctrl-C reaches it as well, and it ends in its own time."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            print()


def clear_stage() -> None:
    """Make the folder anew."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(mode=0o700)


def title(text: str) -> None:
    """Print a heading."""
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def narrate(text: str) -> None:
    """Print a line or two of explanation."""
    print(f"{text}\n", flush=True)


def wait_until(moment: float, reason: str) -> None:
    """Wait until a moment of `time.monotonic`, and say why."""
    seconds = moment - time.monotonic()
    if seconds > 0:
        print(f"({seconds:.0f} s of waiting: {reason})\n", flush=True)
        time.sleep(seconds)
