"""Rows for people: in columns as wide as they must be, or, where that is too wide, as blocks of lines."""

from collections.abc import Collection, Iterator, Sequence

Row = Sequence[str]


def table(headings: Row, rows: Sequence[Row], *, numbers: Collection[str] = (), width: int | None = None) -> str:
    """Return the rows below their headings; `numbers` are the headings of the columns that hold numbers.

    If lines would be longer than `width`, each row is a block instead: its first cell, and below it those not empty.
    """
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if heading in numbers else cell.ljust(width)
            for heading, cell, width in zip(headings, row, widths, strict=True)
        ).rstrip()
        for row in (headings, *rows)
    ]
    if width is None or max(map(len, lines)) <= width:
        return "\n".join(lines)
    return "\n".join(line for row in rows for line in (row[0], *named(list(zip(headings, row, strict=True))[1:])))


def named(cells: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield a line for each cell that is not empty, behind its name."""
    longest = max(len(name) for name, _ in cells)
    yield from (f"  {name:<{longest}}  {cell}" for name, cell in cells if cell)
