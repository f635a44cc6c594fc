"""The door that a stranger may use: one SELECT over public tables, by two layers of which each is enough alone.

The first reads the text (`statements`). The second is the database: SQLite's authorizer, PostgreSQL's role. Beneath
both a process of its own runs the statement (`worker`), so that time, memory, rows and bytes are bounded whatever it
does.
"""

import base64
import json
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from dandi_pipeline.catalogue import FACET_SCHEMA, PUBLIC, peek_mirror
from dandi_pipeline.errors import DatabaseUnavailable, MirrorBusy, MirrorLost, QueryRefused, QueryStopped
from dandi_pipeline.mirror.database import Database, dialect_of
from dandi_pipeline.mirror.dictionary import INTERNAL
from dandi_pipeline.mirror.postgresql import PostgresqlDialect
from dandi_pipeline.mirror.schema import METADATA
from dandi_pipeline.mirror.sqlite import SqliteDialect
from dandi_pipeline.query import reader_role, statements

WORKER = Path(__file__).with_name("worker.py")

PATIENCE = 10.0
"""Seconds to wait for a database that is locked."""

GRACE = 0.2
"""Seconds beyond its limit after which a statement's process is killed."""

PRIVATE = INTERNAL | {"mirror_schema"}
"""The mirror's own tables: what it still has to do, what failed and why, what it may still send."""

BEHIND_VIEWS = ("changes",)
"""The public views that read a private table."""

_BENEATH = sorted({*METADATA.tables, *FACET_SCHEMA.metadata.tables} - PRIVATE)
"""What public views may read."""

Value = str | int | float | bool | None | bytes
Row = Sequence[Any]


@dataclass(frozen=True)
class Bounds:
    """How much a statement may give and take; None: no bound. `size` counts the bytes of the rows as JSON."""

    rows: int | None = 1000
    size: int | None = 16 * 1024 * 1024
    seconds: float | None = 30.0


UNBOUNDED = Bounds(None, None, None)


class Reading:
    """The answer to one statement while it is read: the columns, then the rows in batches.

    `cut` says after the last batch what bound ended it: "rows", "bytes" or nothing.
    """

    def __init__(self, columns: Sequence[str], batches: Iterator[list[Row]]) -> None:
        self.columns = tuple(columns)
        self.cut: str | None = None
        self._batches = batches

    def batches(self) -> Iterator[list[Row]]:
        """Yield the rows as they come. Raises `QueryRefused` and `QueryStopped` like `Door.reading`."""
        yield from self._batches

    def rows(self) -> list[Row]:
        """Return all rows."""
        return [row for batch in self.batches() for row in batch]


class Door:
    """Asks the mirror at a SQLAlchemy URL, reading only. Safe to share between threads.

    `reader_url` is of a PostgreSQL role that may read what is public and nothing else; without one the door makes
    such a role by itself, which takes the right to create roles.
    """

    def __init__(self, url: str, *, reader_url: str | None = None) -> None:
        mirror = peek_mirror(url, patience=PATIENCE)
        if mirror is None:
            raise DatabaseUnavailable(
                f"{dialect_of(url, PATIENCE).place}: there is no mirror yet; dandi-pipeline sync makes it"
            )
        mirror.close()
        self._reader_url = reader_url
        self.dialect = dialect_of(url, PATIENCE)
        self.database = Database(self.dialect, read_only=True)
        self._owner = Database(self.dialect)

    @property
    def dialect_name(self) -> str:
        """Which SQL is spoken: "sqlite" or "postgresql"."""
        return "sqlite" if isinstance(self.dialect, SqliteDialect) else "postgresql"

    def public(self) -> tuple[str, ...]:
        """Return the names of the tables and views that can be asked."""
        with self.database.reading() as connection:
            shaped = connection.execute(sa.text("SELECT view_name FROM shapes ORDER BY view_name")).scalars()
            return (*PUBLIC, *shaped)

    @contextmanager
    def reading(
        self,
        statement: str,
        parameters: Mapping[str, Value] | None = None,
        *,
        bounds: Bounds = Bounds(),
        by_text: bool = True,
        by_engine: bool = True,
    ) -> Iterator[Reading]:
        """Run one SELECT; `:name` in it stands for the parameter `name`.

        `by_text` and `by_engine` are the two layers. Raises `QueryRefused`, with a sentence that says why, for
        whatever is not answered, and `QueryStopped` for what exceeds its time or memory.
        """
        public = self.public()
        if by_text:
            statement = statements.checked(statement, self.dialect_name, public)
        request = self._request(statement, dict(parameters or {}), bounds, public, guarded=by_engine)
        with _process(request, bounds) as process:
            yield process

    def close(self) -> None:
        """Close what is open."""
        self.database.close()
        self._owner.close()

    def _request(
        self, statement: str, parameters: dict[str, Value], bounds: Bounds, public: tuple[str, ...], *, guarded: bool
    ) -> dict[str, Any]:
        common = {
            "path": sys.path,
            "statement": statement,
            "parameters": parameters,
            "rows": bounds.rows,
            "bytes": bounds.size,
            "deadline": None,
            "patience": PATIENCE,
        }
        if isinstance(self.dialect, SqliteDialect):
            secret = {view: f"door_{secrets.token_hex(16)}" for view in BEHIND_VIEWS}
            guard = {"readable": [*public, *_BENEATH], "private": sorted(PRIVATE), "secret": secret}
            return {**common, "file": str(self.dialect.path), "guard": guard if guarded else None}
        assert isinstance(self.dialect, PostgresqlDialect)
        connect = reader_role.arguments(self._owner, public, self._reader_url) if guarded else self.dialect.arguments
        named = {"statement": _percented(statement, parameters)} if parameters else {}
        return {**common, **named, "connect": connect, "guard": {} if guarded else None}


@contextmanager
def _process(request: dict[str, Any], bounds: Bounds) -> Iterator[Reading]:
    """Run a worker on a request, and end it at the latest when its time is over."""
    started = time.monotonic()
    if bounds.seconds is not None:
        request["deadline"] = started + bounds.seconds
    # -I and -S: nothing is imported but what the request names, and it starts in a fraction of the time.
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", str(WORKER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    killed = threading.Event()

    def end() -> None:
        killed.set()
        process.kill()

    timer = threading.Timer(bounds.seconds + GRACE, end) if bounds.seconds is not None else None
    try:
        if timer:
            timer.daemon = True
            timer.start()
        assert process.stdin
        assert process.stdout
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.close()
        lines = _lines(process.stdout, killed, bounds)
        reading = Reading(next(lines)["columns"], iter(()))
        reading._batches = _batches(lines, reading)
        yield reading
    finally:
        if timer:
            timer.cancel()
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def _lines(output: IO[bytes], killed: threading.Event, bounds: Bounds) -> Iterator[dict[str, Any]]:
    """Yield what the worker says; raise what it says of a failure, or what its silence means."""
    for line in output:
        if not line.endswith(b"\n"):
            break  # It was ended in the middle of a line.
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise _failure(said["error"], said["message"], bounds)
        yield said
        if "end" in said:
            return
    raise _failure("timeout" if killed.is_set() else "memory", "", bounds)


def _batches(lines: Iterator[dict[str, Any]], reading: Reading) -> Iterator[list[Row]]:
    for said in lines:
        if "end" in said:
            reading.cut = None if said["end"] == "complete" else said["end"]
        else:
            yield [_read(row) for row in said["rows"]]


def _read(row: list[Any]) -> list[Any]:
    return [_bytes(value) if isinstance(value, dict) else value for value in row]


def _bytes(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["bytes"]) if set(value) == {"bytes"} else value


def _failure(kind: str, message: str, bounds: Bounds) -> Exception:
    if kind == "timeout":
        return QueryStopped(f"the statement took more than its {bounds.seconds:g} seconds; ask for less, or allow more")
    if kind == "memory":
        why = f" ({message})" if message else ""
        return QueryStopped(f"the statement took more memory or disk than it may{why}; ask for less at a time")
    if kind == "denied":
        return QueryRefused(f"the database does not allow that ({message}); only SELECT over public tables is answered")
    if kind == "busy":
        return MirrorBusy(f"the mirror is held by others for too long ({message}); ask again")
    if kind == "lost":
        return MirrorLost(f"no connection to the mirror's database ({message})")
    return QueryRefused(message)


def _percented(statement: str, parameters: Mapping[str, Value]) -> str:
    """Respell `:name` as psycopg2 has it, outside of texts, quoted names and comments."""
    pieces = []
    for piece in statements.SPLIT.split(statement):
        if piece and not piece.startswith(("'", '"', "--", "/*")):
            piece = statements.PARAMETER.sub(
                lambda match: f"%({match[1]})s" if match[1] in parameters else match[0], piece.replace("%", "%%")
            )
        else:
            piece = (piece or "").replace("%", "%%")
        pieces.append(piece)
    return "".join(pieces)
