"""`dandi-pipeline ui`: Dagster's UI and daemon on this mirror."""

import os
import signal
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl

from dandi_pipeline import orchestration
from dandi_pipeline.cli.output import tell
from dandi_pipeline.errors import ConfigurationError
from dandi_pipeline.orchestration.instance import prepare_home
from dandi_pipeline.settings import Settings
from dandi_pipeline.text import plain

_LOCK = "ui.lock"
"""The file in a home that whoever serves its UI holds locked; it says where."""


WORKSPACE = Path(orchestration.__path__[0]) / "workspace.yaml"
"""What Dagster loads: it keeps switches, ticks and runs by the name of the code location that stands there."""


def ui(*, host: str, port: int, path_prefix: str) -> int:
    """Serve Dagster's UI, and run the daemon that the sensor and the schedules need, until Ctrl-C or SIGTERM."""
    settings = Settings.from_environment(os.environ, Path.cwd())
    home = prepare_home(settings.dagster_home)
    address = f"http://{host}:{port}{path_prefix}"
    _claim(home, address)
    # Dagster advises its other tool; that one wants a project folder, this works wherever the package is installed.
    quietly = ("-W", "ignore:Function `dev_command` is superseded")
    command = [
        sys.executable,
        *quietly,
        "-m",
        "dagster",
        "dev",
        "-w",
        str(WORKSPACE),
        "--log-level",
        "warning",
    ]
    environ = {**os.environ, "DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1"}
    if path_prefix:
        # `dagster dev` has no such option, but its webserver reads its own from the environment.
        environ["DAGSTER_WEBSERVER_PATH_PREFIX"] = path_prefix
    tell(f"Dagster's UI will be at {plain(address)} in some seconds; Ctrl-C ends it.")
    # A shell lets what a script starts by `&` ignore Ctrl-C, and Dagster gives SIGTERM whatever effect that has.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # In place of this process, so that Ctrl-C and SIGTERM reach Dagster itself.
    os.execve(sys.executable, [*command, "--host", host, "--port", str(port)], environ)  # noqa: S606


def _claim(home: Path, address: str) -> None:
    """Be the one that serves the UI of a home until this process ends, whatever program it runs by then.

    On Windows, which has no lock that outlives a change of program, nothing is claimed.
    """
    if sys.platform == "win32":
        return
    descriptor = os.open(home / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        where = os.read(descriptor, 500).decode(errors="replace").strip()
        os.close(descriptor)
        raise ConfigurationError(f"the UI of {home} is already served at {where}; open that, or end it first") from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{address} (process {os.getpid()})\n".encode())
    os.set_inheritable(descriptor, True)
