"""The commands that ask the mirror: `query`, `changes`, `export`, `mcp`, `explore`.

What they do is in `dandi_pipeline.query`.
"""

import csv
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dandi_pipeline.cli.output import screen_width, table, tell
from dandi_pipeline.query import Connection
from dandi_pipeline.query.exporting import FORMATS, json_line, whole
from dandi_pipeline.query.exporting import export as write
from dandi_pipeline.query.frames import default_bounds, newest_changes, question_of
from dandi_pipeline.settings import Settings
from dandi_pipeline.text import plain, quantity

_LONGEST_CELL = 60
_WHY_CUT = {
    "rows": "there are more: --limit allows others",
    "bytes": "the rest is too long to be shown: ask for fewer columns or rows, or use export",
}


def query(*, statement: str, form: str, limit: int, timeout: float, as_of: datetime | None) -> int:
    """Answer one SELECT over the public tables and views, or one of the twenty questions by its number."""
    if statement.strip()[:1] in "Qq" and statement.strip()[1:].isdigit():
        statement = question_of(statement.strip()).sql
    with _connected(as_of) as mirror:
        with mirror.door.reading(statement, bounds=default_bounds(limit, timeout)) as reading:
            rows = reading.rows()
        _SHOWN[form](reading.columns, rows)
        if reading.cut:
            tell(f"Only {quantity(len(rows), 'row')} shown; {_WHY_CUT[reading.cut]}.")
    return 0


_CHANGE = "sequence, at, source, partition, record, key, kind, run_id"


def changes(
    *,
    since: datetime | timedelta,
    source: str | None,
    dandiset_id: str | None,
    record: str | None,
    kind: str | None,
    form: str,
    limit: int,
) -> int:
    """List what the mirror took over, in its order: each insert, update and delete of a record."""
    statement, parameters = newest_changes(
        _CHANGE, since, source=source, dandiset_id=dandiset_id, record=record, kind=kind
    )
    with (
        _connected(None) as mirror,
        mirror.door.reading(statement, parameters, bounds=default_bounds(limit, None)) as reading,
    ):
        rows = reading.rows()[::-1]
    if rows or form != "table":
        _SHOWN[form](reading.columns, rows)
    else:
        tell("No change.", to=sys.stdout)
    if reading.cut:
        tell(f"Only the newest {quantity(len(rows), 'change')} shown; {_WHY_CUT[reading.cut]}.")
    return 0


def export(*, what: str, form: str, output: str | None, as_of: datetime | None) -> int:
    """Write all rows of a public table or view, or of a SELECT, however many there are."""

    chosen = next(each for each in FORMATS if each == form)
    with _connected(as_of) as mirror:
        if output is None:
            count = write(mirror.door, what, sys.stdout.buffer, chosen)
            sys.stdout.buffer.flush()
        else:
            path = Path(output)
            with whole(path).open("wb") as target:
                count = write(mirror.door, what, target, chosen)
            whole(path).replace(path)
    tell(f"{quantity(count, 'row')} written{f' to {plain(output)}' if output else ''}.")
    return 0


def mcp() -> int:
    """Serve query, describe, ask, changes and search by the Model Context Protocol, over standard input and output."""
    from dandi_pipeline.query.mcp_server import serve  # an extra, and slow to import

    with _connected(None) as mirror:
        serve(mirror)
    return 0


def explore(*, host: str, port: int) -> int:
    """Serve pages to look at: facets, dandisets, their growth and changes, the twenty questions, SQL. Until Ctrl-C."""
    from dandi_pipeline.query.explore import serve  # slow to import

    with _connected(None) as mirror:
        tell(f"The mirror is shown at http://{host}:{port}; Ctrl-C ends it.")
        serve(mirror, host, port)
    return 0


@contextmanager
def _connected(as_of: datetime | None) -> Iterator[Connection]:

    settings = Settings.from_environment(os.environ, Path.cwd())
    with Connection(settings.mirror_database_url, reader_url=settings.mirror_reader_url) as mirror:
        if as_of is None:
            yield mirror
        else:
            with mirror.past(as_of) as past:
                yield past


def _show_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    numbers = {
        column for place, column in enumerate(columns) if any(isinstance(row[place], (int, float)) for row in rows)
    }
    cells = [[_cell(value) for value in row] for row in rows]
    tell(table([plain(column) for column in columns], cells, numbers=numbers, width=screen_width()), to=sys.stdout)


def _show_csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerows([columns, *rows])


def _show_json(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:

    lines = ",\n".join(f"  {json_line(columns, row)}" for row in rows)
    tell(f"[\n{lines}\n]" if lines else "[]", to=sys.stdout)


def _show_markdown(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    lines = [[plain(column) for column in columns], ["---"] * len(columns)]
    lines += [[_cell(value).replace("|", r"\|") for value in row] for row in rows]
    for line in lines:
        tell(f"| {' | '.join(line)} |", to=sys.stdout)


_SHOWN = {"table": _show_table, "csv": _show_csv, "json": _show_json, "markdown": _show_markdown}


def _cell(value: Any) -> str:
    """Return a value as one line of a table, cut where it is long."""
    if value is None:
        return ""
    text = plain(value if isinstance(value, str) else json.dumps(value, default=str))
    return text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…"
