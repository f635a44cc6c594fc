"""The project's own warnings, e.g. of a request that is tried again, written beside the progress."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from dandi_pipeline.cli.progress import Display
from dandi_pipeline.cli.terminal import one_line

_LOGGER = "dandi_pipeline"


@contextmanager
def warnings_beside(watcher: Display) -> Iterator[None]:
    """Show warnings as lines of `watcher` meanwhile: written by themselves they would tear its bars apart."""
    logger, handler = logging.getLogger(_LOGGER), _Beside(watcher)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Beside(logging.Handler):
    def __init__(self, watcher: Display) -> None:
        super().__init__(logging.WARNING)
        self._watcher = watcher

    def emit(self, record: logging.LogRecord) -> None:
        self._watcher.say(one_line(record.getMessage()))
