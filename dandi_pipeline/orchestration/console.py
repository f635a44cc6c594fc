"""A run's own log lines on standard error, for who runs a sync in their own process.

Dagster's console logger shows every event of the run as well, and a failed partition as two walls of stack trace;
the events are in the run's log in the UI.
"""

import logging
import sys

import dagster as dg


@dg.logger(config_schema={"log_level": dg.Field(str, is_required=False, default_value="CRITICAL")})
def console_logger(context: dg.InitLoggerContext) -> logging.Logger:
    """Return a logger that writes the lines of a sync, without Dagster's events, from the configured level up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"))
    handler.addFilter(_keep_own_line)
    logger = logging.Logger("sync", level=context.logger_config["log_level"])
    logger.addHandler(handler)
    return logger


def _keep_own_line(record: logging.LogRecord) -> bool:
    """Drop Dagster's events; strip a line of ours of the run and step that Dagster writes before it."""
    meta = getattr(record, "dagster_meta", None) or {}
    record.msg, record.args = meta.get("orig_message", record.msg), ()
    return meta.get("dagster_event") is None
