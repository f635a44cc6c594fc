"""The options that narrow which sources a command is about."""

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from dandi_pipeline.cli.selection import Selection

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--platform", metavar="NAME", help="Only sources of this platform."),
    click.option("--app", metavar="NAME", help="Only sources of this application."),
    click.option("--source", metavar="ALIAS", help="Only this source, also if it is disabled."),
    click.option("--component", metavar="NAME", help="Only sources of this component."),
    click.option("--vault", metavar="NAME", help="Only sources of this vault."),
    click.option("--user", metavar="NAME", help="Only sources of this user: a name, an e-mail address or team:name."),
    click.option("--only-enabled", is_flag=True, help="Leave out disabled sources even where they are named."),
)


def selection_options(command: Command) -> Command:
    """Give a command the options that `selection_of` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def selection_of(given: dict[str, Any]) -> "Selection":
    """Return what a command's parameters select, and take those parameters out."""
    from dandi_pipeline.cli.selection import Selection

    return Selection(**{item.name: given.pop(item.name) for item in fields(Selection) if item.name in given})
