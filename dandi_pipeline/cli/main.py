"""The outside of the command line: dispatches to a command, and turns every failure into one line and an exit code.

Exit codes: 0 done; 1 done, but some partitions failed; 2 wrong usage or configuration; 3 the platform could not be
reached; 130 interrupted; 141 nobody reads the output any more.
"""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import click

from dandi_pipeline.cli.asking import changes, explore, export, mcp, query
from dandi_pipeline.cli.guides import cheatsheet, examples, quick
from dandi_pipeline.cli.health import health
from dandi_pipeline.cli.history import history
from dandi_pipeline.cli.inspect import inspect_sources
from dandi_pipeline.cli.interrupts import INTERRUPTED
from dandi_pipeline.cli.listing import forget, list_targets
from dandi_pipeline.cli.output import tell, tolerate_any_encoding
from dandi_pipeline.cli.stats import stats
from dandi_pipeline.cli.sync import sync
from dandi_pipeline.cli.ui import ui
from dandi_pipeline.cli.verify import verify
from dandi_pipeline.errors import PipelineError, PlatformUnreachable
from dandi_pipeline.text import one_line

PROGRAM = "dandi-pipeline"
WRONG_USAGE, NOBODY_READS = 2, 141


def _show_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    try:
        installed = version("dandi_pipeline")
    except PackageNotFoundError:
        installed = "(run from its source, not installed)"
    tell(f"{PROGRAM} {installed}", to=sys.stdout)
    context.exit()


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
@click.pass_context
def commands(context: click.Context) -> None:
    """Keep an exact, fresh SQL mirror of the DANDI Archive's metadata, and of what else sources.yaml lists.

    The archive, the mirror's database and Dagster's folder are set by DANDI_API_URL, DANDI_API_KEY,
    MIRROR_DATABASE_URL, DAGSTER_HOME and sources.yaml.
    """
    if context.invoked_subcommand is None:
        tell(context.get_help())
        context.exit(WRONG_USAGE)


for _command in (
    sync,
    verify,
    history,
    ui,
    list_targets,
    inspect_sources,
    health,
    stats,
    forget,
    changes,
    query,
    export,
    explore,
    mcp,
    quick,
    cheatsheet,
    examples,
):
    commands.add_command(_command)


def run() -> None:
    """Run the command line as this process."""
    tolerate_any_encoding()
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; every expected failure is one line on standard error."""
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
    except click.ClickException as error:
        return _fail(_usage_message(error), WRONG_USAGE)
    except PlatformUnreachable as error:
        return _fail(f"{error}; `make demo` shows the whole job without a network", error.exit_code)
    except PipelineError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted; what was committed stays, the next sync does the rest", INTERRUPTED)
    except BrokenPipeError:
        # Or the interpreter would try to flush the rest once more when it exits, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS
    except OSError as error:
        return _fail(
            f"{error.filename or 'the system'}: {error.strerror}; check the disk and the permissions", WRONG_USAGE
        )
    return code


def _dispatch(arguments: Sequence[str]) -> int:
    try:
        with commands.make_context(PROGRAM, list(arguments)) as context:
            return int(commands.invoke(context))
    except click.exceptions.Exit as done:
        return done.exit_code


def _usage_message(error: click.ClickException) -> str:
    """Return click's message, with where to read more in place of its three lines of usage."""
    message = error.format_message().strip()
    command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else PROGRAM
    return f"{message} (see {command} --help)"


def _fail(message: str, code: int) -> int:
    tell(f"Error: {one_line(message)}")
    return code
