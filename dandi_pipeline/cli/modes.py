"""How hard a platform is asked, as options: presets, and each setting alone."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dandi_pipeline.cli.arguments import number_up_to, positive_number, positive_rate

if TYPE_CHECKING:
    from dandi_pipeline.settings import Mode

Command = TypeVar("Command", bound=Callable[..., Any])

MOST_AT_ONCE = 50
"""Requests in flight, and connections, up to which an option goes, as a source's settings do."""

_OPTIONS = (
    click.option(
        "--preset",
        type=click.Choice(["safe", "default", "fast"]),
        help="A pool of 5, 10 or 20 connections, and 2, 5 or 10 requests (and sources) at once.",
    ),
    click.option(
        "--legacy",
        is_flag=True,
        help="No pooling, no streaming, nothing at once: to compare with, or for a frail server.",
    ),
    click.option(
        "--pool-size",
        metavar="N",
        callback=number_up_to(MOST_AT_ONCE),
        help="Connections kept open at most, for each source.",
    ),
    click.option(
        "--max-concurrent",
        metavar="N",
        callback=number_up_to(MOST_AT_ONCE),
        help="Requests in flight at most, for each source; and sources at once.",
    ),
    click.option(
        "--batch-size",
        metavar="N",
        callback=positive_number,
        help="Records asked for at a time; more than a platform gives is as much as it gives.",
    ),
    click.option(
        "--rate-limit",
        metavar="R",
        callback=positive_rate,
        help="Requests a second at most, for each source; the platform's own rate holds as well.",
    ),
    click.option("--no-streaming", is_flag=True, help="Read each partition whole before any of it is compared."),
    click.option("--no-manifests", is_flag=True, help="DANDI: do not use the archive's bulk files for first copies."),
)


def mode_options(command: Command) -> Command:
    """Give a command the options that `mode_of` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def mode_of(
    *, preset: str | None, legacy: bool, no_streaming: bool, no_manifests: bool, **alone: float | None
) -> "Mode":
    """Return the mode that the options ask for: a setting given alone wins over the preset's."""
    from dandi_pipeline.settings import AS_SET, LEGACY, PRESETS

    if legacy and preset:
        raise click.UsageError("--legacy and --preset exclude each other: give one of them.")
    mode = LEGACY if legacy else PRESETS[preset] if preset else AS_SET
    given: dict[str, Any] = {name: value for name, value in alone.items() if value is not None}
    return replace(
        mode,
        streaming=mode.streaming and not no_streaming,
        manifests=not no_manifests,
        **{item.name: given[item.name] for item in fields(mode) if item.name in given},
    )
