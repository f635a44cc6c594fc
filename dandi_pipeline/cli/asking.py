"""The commands that ask the mirror: `query`, `changes`, `export`, `mcp`, `explore`.

What they do is in `dandi_pipeline.query`.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dandi_pipeline.cli.options import instant, positive_number, since_when
from dandi_pipeline.cli.output import screen_width, table, tell
from dandi_pipeline.text import plain, quantity

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from dandi_pipeline.query import Connection

_LONGEST_CELL = 60
_WHY_CUT = {
    "rows": "there are more: --limit allows others",
    "bytes": "the rest is too long to be shown: ask for fewer columns or rows, or use export",
}


@click.command(short_help="Ask the mirror in SQL.")
@click.argument("statement", metavar="SELECT|Q07")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "markdown"]),
    default="table",
    show_default=True,
    help="How to show the answer.",
)
@click.option(
    "--limit", metavar="N", default="1000", callback=positive_number, help="Show at most N rows (default: 1000)."
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    default=30.0,
    type=click.FloatRange(0.1, 600),
    help="Stop after so many seconds (default: 30).",
)
@click.option("--as-of", metavar="DATE", callback=instant, help="Ask the mirror as it was at a date or instant.")
def query(*, statement: str, form: str, limit: int, timeout: float, as_of: "datetime | None") -> int:
    """Answer one SELECT over the public tables and views, or one of the twenty questions by its number.

    Nothing can be changed by it, and nothing is read but what is public: docs/asking.md lists that.
    """
    from dandi_pipeline.query.frames import default_bounds, question_of

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


@click.command(short_help="List what changed.")
@click.option(
    "--since",
    metavar="WHEN",
    default="7d",
    callback=since_when,
    help="Changes that the mirror took over since then: 12h, 7d, 2w, or 2024-01-01, or an instant (default: 7d).",
)
@click.option("--source", metavar="ALIAS", help="Only changes of this source.")
@click.option(
    "--dandiset-id", metavar="ID", help="Only changes of this dandiset (of other platforms: of this partition)."
)
@click.option(
    "--record", metavar="NAME", help="Only changes of dandisets, versions or assets: dandiset, version, asset."
)
@click.option("--kind", type=click.Choice(["insert", "update", "delete"]), help="Only changes of this kind.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv", "markdown"]),
    default="table",
    show_default=True,
    help="How to show them.",
)
@click.option(
    "--limit", metavar="N", default="1000", callback=positive_number, help="Show the N newest (default: 1000)."
)
def changes(
    *,
    since: "datetime | timedelta",
    source: str | None,
    dandiset_id: str | None,
    record: str | None,
    kind: str | None,
    form: str,
    limit: int,
) -> int:
    """List what the mirror took over, in its order: each insert, update and delete of a record.

    `query` and the view `changes` tell as well what a record was before and after.
    """
    from dandi_pipeline.query.frames import default_bounds, newest_changes

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


@click.command(short_help="Write a table, view or query to a file.")
@click.argument("what", metavar="TABLE|SELECT")
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "csv", "jsonl"]),
    required=True,
    help="What to write: parquet needs pyarrow.",
)
@click.option("--output", metavar="FILE", help="Where to; without it, to standard output.")
@click.option("--as-of", metavar="DATE", callback=instant, help="Write what was held at a date or instant.")
def export(*, what: str, form: str, output: str | None, as_of: "datetime | None") -> int:
    """Write all rows of a public table or view, or of a SELECT, however many there are."""
    from dandi_pipeline.query.exporting import FORMATS, whole
    from dandi_pipeline.query.exporting import export as write

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


@click.command(short_help="Serve the mirror to language models (MCP).")
def mcp() -> int:
    """Serve query, describe, ask, changes and search by the Model Context Protocol, over standard input and output."""
    from dandi_pipeline.query.mcp_server import serve

    with _connected(None) as mirror:
        serve(mirror)
    return 0


@click.command(short_help="Look at the mirror in a browser.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to serve at.")
@click.option("--port", default=8321, show_default=True, type=click.IntRange(1, 65535), help="The port to serve at.")
def explore(*, host: str, port: int) -> int:
    """Serve pages to look at: facets, dandisets, their growth and changes, the twenty questions, SQL. Until Ctrl-C.

    They change nothing. Whoever reaches the address can read what is public; it is this machine alone unless told
    otherwise.
    """
    from dandi_pipeline.query.explore import serve

    with _connected(None) as mirror:
        tell(f"The mirror is shown at http://{host}:{port}; Ctrl-C ends it.")
        serve(mirror, host, port)
    return 0


@contextmanager
def _connected(as_of: "datetime | None") -> "Iterator[Connection]":
    # Imported here, so that --help does not wait for SQLAlchemy.
    from dandi_pipeline.query import Connection
    from dandi_pipeline.settings import Settings

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
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerows([columns, *rows])


def _show_json(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from dandi_pipeline.query.exporting import json_line

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
