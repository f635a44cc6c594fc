"""The options that commands share: how values are spelled, which sources they select, how hard a platform is asked."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import click

from dandi_pipeline.instants import written_moment


class Grouped(click.Command):
    """A command whose `headings` each stand before the option that is named, in the order that options are declared."""

    def __init__(self, *arguments: Any, headings: Mapping[str, str], **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._headings = headings

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in sections."""
        sections: dict[str, list[tuple[str, str]]] = {}
        heading = "Options"
        for parameter in (each for each in self.get_params(ctx) if isinstance(each, click.Option)):
            heading = self._headings.get(parameter.name or "", heading)
            if (record := parameter.get_help_record(ctx)) is not None:
                sections.setdefault(heading, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


@dataclass(frozen=True, slots=True)
class Shown:
    """Whether a sync writes anything, and how its course and its result are shown."""

    dry_run: bool
    verbose: bool
    no_progress: bool
    as_json: bool


_POSITIVE_NUMBER = re.compile(r"\+?0*[1-9][0-9]{0,17}")
_RATE = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,3})?", re.ASCII)
_EXAMPLES = "2024-01-01 or 2024-01-01T12:00:00Z"


def instant(context: click.Context, parameter: click.Parameter, text: str | None) -> datetime | None:
    """Return a date's midnight, or a date and time, in UTC unless it names another zone."""
    if text is None:
        return None
    try:
        found = written_moment(text)
    except (ValueError, OverflowError) as error:
        message = f"{text!r} does not exist ({error}); write {_EXAMPLES}"
        raise click.BadParameter(message, context, parameter) from error
    if found is None:
        raise click.BadParameter(f"{text!r} is not a date; write {_EXAMPLES}", context, parameter)
    return found


def since_when(context: click.Context, parameter: click.Parameter, text: str | None) -> datetime | timedelta | None:
    """Return how long ago, such as 7d or weekly, or what `instant` takes."""
    from dandi_pipeline.settings.values import interval

    if text is None:
        return None
    try:
        return interval(text.strip())
    except ValueError:
        pass
    try:
        return instant(context, parameter, text)
    except click.BadParameter as error:
        raise click.BadParameter(f"{error.message}, or how long ago: 12h, 7d, 2w", context, parameter) from None


def positive_number(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """Return a whole number from one up."""
    if text is None:
        return None
    if not _POSITIVE_NUMBER.fullmatch(text.strip()):
        raise click.BadParameter(f"{text!r} is not a positive whole number", context, parameter)
    return int(text)


def number_up_to(most: int) -> Callable[[click.Context, click.Parameter, str | None], int | None]:
    """Return the reader of whole numbers from one to `most`."""

    def read(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
        number = positive_number(context, parameter, text)
        if number is not None and number > most:
            raise click.BadParameter(f"{text!r} is too much; at most {most}", context, parameter)
        return number

    return read


hours = number_up_to(87_600)
"""Reads how many hours to look back: up to ten years."""


def positive_rate(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """Return how many a second, e.g. 3 or 0.5."""
    if text is None:
        return None
    match = _RATE.fullmatch(text.strip())
    if match is None or float(match[0]) == 0:
        raise click.BadParameter(f"{text!r} is not a number of requests a second, such as 3 or 0.5", context, parameter)
    return float(match[0])


Command = TypeVar("Command", bound=Callable[..., Any])

MOST_AT_ONCE = 50
"""Requests in flight, and connections, up to which an option goes, as a source's settings do."""

_TUNING_OPTIONS = (
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


def tuning_options(command: Command) -> Command:
    """Give a command the options that `tuning_of` takes."""
    for option in reversed(_TUNING_OPTIONS):
        command = option(command)
    return command


_SELECTION_OPTIONS = (
    click.option("--platform", metavar="NAME", help="Only sources of this platform."),
    click.option("--app", metavar="NAME", help="Only sources of this application: its name, or my-app for My App."),
    click.option("--source", metavar="ALIAS", help="Only this source, also if it is disabled."),
    click.option("--component", metavar="NAME", help="Only sources of this component."),
    click.option("--vault", metavar="NAME", help="Only sources of this vault: its name or its id."),
    click.option(
        "--user", metavar="NAME", help="Only sources of this user: a name, an e-mail address, team:name, or an id."
    ),
    click.option("--only-enabled", is_flag=True, help="Leave out disabled sources even where they are named."),
)


def selection_options(command: Command) -> Command:
    """Give a command the options that `selection_of` takes."""
    for option in reversed(_SELECTION_OPTIONS):
        command = option(command)
    return command
