"""`dandi-pipeline ui`: Dagster's UI and daemon on this mirror."""

import os
import sys
from pathlib import Path

import click

from dandi_pipeline import orchestration
from dandi_pipeline.cli.output import tell

WORKSPACE = Path(orchestration.__path__[0]) / "workspace.yaml"
"""What Dagster loads: it keeps switches, ticks and runs by the name of the code location that stands there."""


@click.command(short_help="Open Dagster's UI on the mirror.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to serve at.")
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535), help="The port to serve at.")
def ui(*, host: str, port: int) -> int:
    """Serve Dagster's UI, and run the daemon that the sensor and the schedules need, until Ctrl-C.

    The sensor begins to keep the mirror fresh at once; it can be stopped in the UI, under Automation.
    """
    from dandi_pipeline.orchestration.instance import prepare_home
    from dandi_pipeline.settings import Settings

    settings = Settings.from_environment(os.environ, Path.cwd())
    home = prepare_home(settings.dagster_home)
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
    tell(f"Dagster's UI will be at http://{host}:{port} in some seconds; Ctrl-C ends it.")
    # In place of this process, so that Ctrl-C and SIGTERM reach Dagster itself.
    os.execve(sys.executable, [*command, "--host", host, "--port", str(port)], environ)  # noqa: S606
