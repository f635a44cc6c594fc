"""Warnings, e.g. of a request that is tried again, written beside the progress."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from dandi_pipeline.cli.progress import Display
from dandi_pipeline.cli.terminal import one_line

_OURS = "dandi_pipeline"


@contextmanager
def warnings_beside(watcher: Display, *, of_libraries: bool) -> Iterator[None]:
    """Show the project's warnings as lines of `watcher` meanwhile, and those of libraries if they are asked for.

    Written by themselves they would tear the bars apart, and a library's may be a stack trace: SQLAlchemy logs one
    for an interrupt that meets it closing a connection, which is raised as well.
    """
    root, handler = logging.getLogger(), _Beside(watcher)
    if not of_libraries:
        handler.addFilter(logging.Filter(_OURS))
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


class _Beside(logging.Handler):
    def __init__(self, watcher: Display) -> None:
        super().__init__(logging.WARNING)
        self._watcher = watcher

    def emit(self, record: logging.LogRecord) -> None:
        self._watcher.say(one_line(record.getMessage()))
