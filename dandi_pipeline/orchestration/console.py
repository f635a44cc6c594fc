"""What a run in one's own process writes to standard error: the lines of the sync, and nothing of Dagster's.

Dagster's console logger shows every event of the run, and a failed partition as two walls of stack trace; the events
are in the run's log in the UI.
"""

import logging
import sys

import dagster as dg


def sync_log(level: int | None) -> logging.Logger:
    """Return a logger that writes the lines of a sync from `level` up; with None it writes nothing."""
    logger = logging.Logger("sync", logging.CRITICAL + 1 if level is None else level)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"))
    logger.addHandler(handler)
    return logger


@dg.logger
def silent_logger(_context: dg.InitLoggerContext) -> logging.Logger:
    """Return what takes the place of Dagster's console logger, in runs whose config names `console`."""
    return sync_log(None)
