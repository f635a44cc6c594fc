"""Help for a command with many options: shown under headings."""

from collections.abc import Mapping
from typing import Any

import click


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
