"""On what something was measured: the machine, the versions, the day."""

import os
import platform
import re
import sqlite3
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from dandi_pipeline_tests.postgresql import running_postgresql


def circumstances() -> str:
    """Return one line that says when and on what; starts a PostgreSQL for a second, to ask for its version.

    The load is how many processes were at work or waiting, on the average of the last fifteen minutes.
    """
    load = os.getloadavg()[2]
    return f"{datetime.now(timezone.utc):%Y-%m-%d}, {_machine()}, load {load:.0f}; {_versions()}"


def _machine() -> str:
    cores, memory = os.cpu_count() or 1, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{_processor()}, {cores} core{'' if cores == 1 else 's'}, {memory / 2**30:.0f} GiB"


def _processor() -> str:
    """Return the processor's name, which only Linux tells without another program."""
    told = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", told.read_text(), re.MULTILINE) if told.exists() else None
    return found[1] if found else platform.machine()


def _versions() -> str:
    with running_postgresql() as server:
        postgresql = server.version
    packages = ", ".join(f"{package} {version(package)}" for package in ("dagster", "sqlalchemy"))
    return f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, PostgreSQL {postgresql}, {packages}"
