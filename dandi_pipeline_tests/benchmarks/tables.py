"""What a benchmark hands over: one table, and how it is written in Markdown."""

from dataclasses import dataclass
from enum import Enum


class Scale(Enum):
    """How much is measured: QUICK shows within a minute or two what FULL, for the page, takes its time for."""

    QUICK = "quick"
    FULL = "full"

    def command(self, benchmark: str) -> str:
        """Return the command that measures `benchmark` at this scale."""
        return f"make bench ARGS='{benchmark}{' --full' if self is Scale.FULL else ''}'"


@dataclass(frozen=True)
class Table:
    """What was measured. `command` is the one that measures it again; `notes` say what the figures stand for."""

    title: str
    command: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: a row of {len(row)} cells below {len(self.columns)} columns: {row}")

    def to_markdown(self) -> str:
        """Return a heading, the table and its notes; the columns are in line, so that it can be read as it stands."""
        return "\n\n".join([f"## {self.title}", self._grid(), *self.notes])

    def _grid(self) -> str:
        cells = [tuple(cell.replace("|", "\\|") for cell in row) for row in (self.columns, *self.rows)]
        widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(self.columns))]
        rule = "|".join(["", "-" * (widths[0] + 2), *(f"{'-' * (width + 1)}:" for width in widths[1:]), ""])
        head, *body = (_line(row, widths) for row in cells)
        return "\n".join([head, rule, *body])


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    """Return one line of a table: what is measured to the left, figures to the right."""
    padded = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
    return f"| {' | '.join(padded)} |"
