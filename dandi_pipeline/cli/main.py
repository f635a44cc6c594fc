"""The outside of the command line: dispatches to a command, and turns every failure into one line and an exit code.

Exit codes: 0 done; 1 done, but some partitions failed; 2 wrong usage or configuration; 3 the platform could not be
reached; 130 interrupted; 141 nobody reads the output any more.
"""

import gc
import os
import sys
from collections.abc import Sequence

import click

from dandi_pipeline.cli.commands import PROGRAM, WRONG_USAGE, commands
from dandi_pipeline.cli.interrupts import INTERRUPTED
from dandi_pipeline.cli.output import prepare_streams, tell
from dandi_pipeline.errors import PipelineError, PlatformUnreachable
from dandi_pipeline.text import one_line

NOBODY_READS = 141

_OBJECTS_BETWEEN_COLLECTIONS = 50_000
"""Python's own 700 have the collector go through all that the imports make, over and over: 0.2 s of a short sync."""


def run() -> None:
    """Run the command line as this process."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    prepare_streams()
    code = main(sys.argv[1:])
    # The interpreter would search all modules for garbage before it ends: 0.3 s, for memory that the system takes back.
    gc.freeze()
    sys.exit(code)


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
