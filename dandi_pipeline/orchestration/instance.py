"""Makes a DAGSTER_HOME that works, opens the instance in it, and ends the runs whose process is gone."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from filelock import FileLock, Timeout

from dandi_pipeline.errors import ConfigurationError
from dandi_pipeline.orchestration.dagster_internals import database_url, instance_in_process

DAGSTER_YAML = """\
# Written on first use by dandi_pipeline; edit it freely, it is never overwritten.
# Storage: SQLite files in this directory. For PostgreSQL see deploy/dagster.yaml.

telemetry:
  enabled: false

# No greeting over the first page.
nux:
  enabled: false

concurrency:
  runs:
    max_concurrent_runs: 4
    # What the sensor and the schedule launch goes one run a source at a time: a run somebody asks for starts at once.
    tag_concurrency_limits:
      - key: .dagster/sync_background
        limit: 1
        value:
          applyLimitPerUniqueValue: true
  pools:
    # A pool bounds how many runs of one platform's syncs are started at a time; the rest stays queued. Counted by
    # run and not by step, so that a sync started from the command line never waits for one from the UI.
    granularity: run
    default_limit: 2

# What is queued while a code server does not answer (it is restarted, say) waits for it: one attempt each half minute,
# for about eight hours. Without this the first attempt fails a run for good.
run_queue:
  max_user_code_failure_retries: 1000
  user_code_failure_retry_delay: 30

# A run that is lost with its process, machine or code server is launched again, twice at most. What fails in a step is
# not: syncs try again by themselves, and your own assets may have a RetryPolicy.
run_retries:
  enabled: true
  max_retries: 2
  retry_on_asset_or_op_failure: false

run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  cancel_timeout_seconds: 180
  # A run whose machine went away without a word is failed after a day; one killed on this machine, at the next check.
  max_runtime_seconds: 86400
  poll_interval_seconds: 60

retention:
  sensor:
    purge_after_days:
      skipped: 7
      failure: 30
      success: 90
  schedule:
    purge_after_days:
      skipped: 7
      failure: 30
      success: 90

# A check may be waiting for a slow archive: others must not wait for it.
sensors:
  use_threads: true
  num_workers: 4
schedules:
  use_threads: true
  num_workers: 4
"""


def prepare_home(path: Path) -> Path:
    """Make `path` a usable DAGSTER_HOME (mode 0700, a `dagster.yaml`, initialised storage); return it absolute.

    Safe to call from several processes at once, and cheap when there is nothing to do. What is there already is
    left as it is. Raises `ConfigurationError` where the directory cannot be made or written.
    """
    home = path.absolute()
    _require_usable_name(home)
    try:
        return _prepared(home)
    except OSError as error:
        raise ConfigurationError(
            f"DAGSTER_HOME: {error.filename or path}: {error.strerror}; name a directory that can be written"
        ) from None


def _require_usable_name(home: Path) -> None:
    """Refuse a path of which Dagster would make another one: it pastes it into a URL, where '?' and '%20' mean more."""
    file = home / "runs.db"
    if sa.make_url(database_url(home, file.stem)).database != str(file):
        raise ConfigurationError(
            f"DAGSTER_HOME: {home}: Dagster cannot keep files in a folder with '?' or '%' and two digits in its path;"
            " name another one (the mirror may stay, see MIRROR_DATABASE_URL)"
        )


def _prepared(home: Path) -> Path:
    if not home.is_dir():
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    initialised = home / "history" / ".initialised"
    if initialised.exists() and (home / "dagster.yaml").exists():
        return home
    with FileLock(home / ".prepare.lock"):
        if not (home / "dagster.yaml").exists():
            (home / "dagster.yaml").write_text(DAGSTER_YAML, encoding="utf-8")
        if not initialised.exists():
            _initialise(home)
            initialised.parent.mkdir(exist_ok=True)
            initialised.touch()
    return home


@contextmanager
def open_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """Open the instance of a prepared home for use in this process, whose output it leaves alone.

    Raises `ConfigurationError` where Dagster cannot read or write what it keeps, also in the block.
    """
    try:
        with instance_in_process(home) as instance:
            yield instance
    except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:
        # The mirror's own errors are no longer such: this is Dagster's storage.
        raise ConfigurationError(f"DAGSTER_HOME: {home}: {_trouble(home, error)}") from error


def _trouble(home: Path, error: Exception) -> str:
    """Say what is wrong with Dagster's storage, and what to do."""
    cause = getattr(error, "orig", None) or error
    message = " ".join(str(cause).split())
    if not isinstance(cause, sqlite3.Error):
        # A password with an '@' in it ends at that: its rest is taken for a part of the host's name.
        shown = re.sub(r"[^\s\"]*@", "***@", message)
        return f"Dagster's database cannot be used ({shown}); check `storage` in its dagster.yaml, and the server"
    if "disk is full" in message or "disk I/O error" in message:
        return f"its disk is full or failing ({message}); free space there and try again"
    if "malformed" in message or "not a database" in message:
        return (
            f"a file of Dagster's history is damaged ({message}); move {home / 'history'} and {home / 'schedules'}"
            " away: the next sync makes new ones, and the mirror keeps what it holds"
        )
    if "locked" in message:
        return "others have held Dagster's files for too long (database is locked); try again"
    return f"Dagster's files cannot be written ({message}); check the permissions, and that the disk is not read-only"


@contextmanager
def open_used(home: Path) -> Iterator[dg.DagsterInstance | None]:
    """Open the instance of a home that was used before, to look at it; None, and nothing is made, where none was."""
    if not (home / "dagster.yaml").exists():
        yield None
        return
    # Another process may be about to make its tables.
    with open_instance(prepare_home(home)) as instance:
        yield instance


def _initialise(home: Path) -> None:
    """Create the storage's tables. Two processes doing so at once fail with "table jobs already exists"."""
    with open_instance(home) as instance:
        instance.get_runs(limit=1)


@contextmanager
def at_work(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Hold the lock that says the run's process is alive."""
    begun = _begun_path(instance, run_id)
    begun.parent.mkdir(exist_ok=True)
    try:
        with _lock_of(begun):
            # Only now: what is begun and not locked is taken for abandoned.
            begun.touch()
            try:
                yield
            finally:
                begun.unlink(missing_ok=True)
    finally:
        Path(_lock_of(begun).lock_file).unlink(missing_ok=True)


def end_abandoned_runs(instance: dg.DagsterInstance) -> None:
    """Mark as failed every started sync whose process, on this machine, is gone."""
    started = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]))
    for run in started:
        begun = _begun_path(instance, run.run_id)
        if _is_abandoned(begun):
            instance.report_run_failed(run, "The process of this sync is gone (killed, or the machine went down).")
            begun.unlink(missing_ok=True)
            Path(_lock_of(begun).lock_file).unlink(missing_ok=True)


def _is_abandoned(begun: Path) -> bool:
    """Whether a run is begun and nobody holds its lock. One that is not is another machine's, or about to begin."""
    if not begun.exists():
        return False
    try:
        with _lock_of(begun).acquire(blocking=False):
            # A run that ended in between has removed its file.
            return begun.exists()
    except Timeout:
        return False


def _begun_path(instance: dg.DagsterInstance, run_id: str) -> Path:
    return Path(instance.root_directory) / "running" / run_id


def _lock_of(begun: Path) -> FileLock:
    return FileLock(begun.with_suffix(".lock"))
