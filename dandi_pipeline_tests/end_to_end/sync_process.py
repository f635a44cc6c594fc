"""Runs one sync in a process of its own, which can be killed: from outside, or by itself at a chosen statement.

Processes are forked from a server that has imported everything already, so each starts in milliseconds.
"""

import logging
import os
import resource
import signal
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

import sqlalchemy as sa

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.errors import PipelineError
from dandi_pipeline.http.client import Limits
from dandi_pipeline.model import Platform
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.report import PartitionReport
from dandi_pipeline_tests.end_to_end.rig import dandi_at

_FORKING = get_context("forkserver")
_FORKING.set_forkserver_preload(
    [__name__, "dandi_pipeline_tests.platforms.airtable.rig", "dandi_pipeline_tests.platforms.notion.rig"]
)

LONGEST = 60.0
"""Seconds that a sync of a simulated archive may take."""


@dataclass(frozen=True)
class Errand:
    """What a process is to sync: `opening` opens the platform and can be pickled.

    It kills itself after so many statements and commits, if a number is given. `largest_file` bounds the bytes of
    every file that it writes, as a full disk would.
    """

    opening: Callable[[], Platform]
    mirror_url: str
    source: str = "dandi"
    options: dict[str, Any] = field(default_factory=dict)
    die_after: int | None = None
    largest_file: int | None = None


def archive_at(api_url: str, *, limits: Limits | None = None, **details: Any) -> Callable[[], Platform]:
    """Return how to open an archive, for an errand; `details` are those of `dandi_at`."""
    return partial(dandi_at, api_url, limits or Limits(), **details)


class SyncProcess:
    """A sync under way elsewhere."""

    def __init__(self, errand: Errand) -> None:
        self._receiver, sender = _FORKING.Pipe(duplex=False)
        self._process: ForkServerProcess = _FORKING.Process(target=_run, args=(errand, sender))
        self._process.start()
        sender.close()

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    def wait(self) -> "Ending":
        """Return how it ended."""
        with closing(self._receiver):
            try:
                failures = self._receiver.recv() if self._receiver.poll(LONGEST) else ["never ended"]
            except EOFError:
                failures = []
        self._process.join(LONGEST)
        code = self._process.exitcode
        self._process.close()
        return Ending(code == -signal.SIGKILL, list(failures))


@dataclass(frozen=True)
class Ending:
    """Whether a process was killed, and what failed if it was not: each error's class and message."""

    killed: bool
    failures: list[str]


def _run(errand: Errand, results: Connection) -> None:
    logging.disable(logging.WARNING)  # what fails is what it returns
    if errand.largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (errand.largest_file, errand.largest_file))
    if errand.die_after:
        _die_after(errand.die_after)
    results.send(sync_once(errand))
    results.close()


def sync_once(errand: Errand, *, take: Callable[[PartitionReport], object] = lambda _: None) -> list[str]:
    """Run one sync; return what failed. `take` is handed each partition's report."""
    try:
        with closing(errand.opening()) as platform, open_mirror(errand.mirror_url) as mirror:
            sync = Sync(errand.source, platform, mirror, SyncOptions(**errand.options))
            reports = list(sync.run(sync.plan(), "run"))
            for report in reports:
                take(report)
            errors = [report.error for report in reports if report.error]
    except PipelineError as error:
        errors = [error]
    return [f"{type(error).__name__}: {error}" for error in errors]


def _die_after(number: int) -> None:
    """Kill this process once it has executed so many statements, commits counted as well."""
    left = [number]

    def count(*_: object) -> None:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(sa.Engine, "after_cursor_execute", count)
    sa.event.listen(sa.Engine, "commit", count)
