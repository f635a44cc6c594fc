"""The process that runs one statement for the door, with nothing in it but the statement, its limits and its guard.

It is run as a script with the standard library alone (and psycopg2 where the mirror is PostgreSQL's), reads one
request from standard input, and writes JSON lines to standard output: the columns, batches of rows, and how it ended.
Whatever a statement does, it does here: this process may take so much memory and no more, and can be killed.
"""

import base64
import json
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

MEMORY = 128 * 1024 * 1024
"""Bytes that a statement may take beyond what the process has at its start."""

TEMPORARY_FILE = 1024 * 1024 * 1024
"""Bytes of any one temporary file that SQLite may sort in."""

LONGEST_VALUE = 16 * 1024 * 1024
"""Bytes of the longest text or blob that SQLite may make."""

_BATCH_BYTES = 256 * 1024
_BATCH_ROWS = 1000
_STEPS = 2000

# https://www.sqlite.org/c3ref/c_alter_table.html
_SELECT, _READ, _FUNCTION, _RECURSIVE = 21, 20, 31, 33
_OK, _DENY = 0, 1
_LENGTH, _LIKE_PATTERN, _COLUMNS, _ATTACHED = 0, 8, 2, 7
_FORBIDDEN_FUNCTIONS = {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit", "eval", "fts5"}
_TABLE_FUNCTIONS = {"json_each", "json_tree"}

Row = tuple[Any, ...]


class Ended(Exception):
    """The statement was not answered: `kind` says how, the message why."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def main() -> None:
    """Answer the request on standard input."""
    request = json.loads(sys.stdin.buffer.readline())
    sys.path[:] = request["path"]
    _bound_process()
    try:
        answer = _sqlite(request) if "file" in request else _postgresql(request)
        _write({"columns": next(answer)})
        _write({"end": _send(answer, request)})
    except Ended as error:
        _write({"error": error.kind, "message": str(error)})
    except MemoryError:
        _write({"error": "memory", "message": ""})


def _bound_process() -> None:
    """Limit this process's memory and files, where the system can."""
    try:
        import resource
    except ImportError:
        return  # Windows: SQLite's own limits remain.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (TEMPORARY_FILE, TEMPORARY_FILE))
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            taken = int(statm.read().split()[0]) * resource.getpagesize()
    except OSError:
        return  # macOS knows no such limit.
    # Libraries are mapped when they are first used, as psycopg2 is: room that is not taken.
    room = taken + MEMORY + 64 * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (room, room))


def _send(answer: Iterator[Any], request: dict[str, Any]) -> str:
    """Write rows until there are no more or a limit is met; return "complete", "rows" or "bytes"."""
    rows, size = request["rows"], request["bytes"]
    batch: list[str] = []
    sent = waiting = 0
    end = "complete"
    for count, row in enumerate(answer):
        if rows is not None and count == rows:
            end = "rows"
            break
        text = json.dumps(row, ensure_ascii=False, default=_spelled)
        # At least the bytes of its UTF-8, for all but the text of few languages.
        length = len(text) if text.isascii() else len(text.encode(errors="replace"))
        if size is not None and sent + waiting + length > size:
            end = "bytes"
            break
        batch.append(text)
        waiting += length
        if waiting > _BATCH_BYTES or len(batch) == _BATCH_ROWS:
            _write_rows(batch)
            sent += waiting
            batch, waiting = [], 0
    _write_rows(batch)
    return end


def _spelled(value: Any) -> Any:
    """Spell what JSON has no word for."""
    if isinstance(value, (bytes, memoryview)):
        return {"bytes": base64.b64encode(bytes(value)).decode("ascii")}
    return str(value)


def _write(line: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(line).encode() + b"\n")
    sys.stdout.buffer.flush()


def _write_rows(batch: list[str]) -> None:
    if batch:
        text = f'{{"rows": [{", ".join(batch)}]}}\n'
        sys.stdout.buffer.write(text.encode(errors="replace"))
        sys.stdout.buffer.flush()


# SQLite


def _sqlite(request: dict[str, Any]) -> Iterator[Any]:
    """Yield the columns' names, then the rows."""
    connection = sqlite3.connect(
        f"file:{quote(request['file'])}?mode=rw", uri=True, isolation_level=None, timeout=request["patience"]
    )
    # Text that is none (of a cast, for one) is shown as far as it can be read.
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    try:
        _configure_sqlite(connection, request)
        cursor = connection.execute(request["statement"], request["parameters"])
        if cursor.description is None:
            raise Ended("refused", "the statement returns no rows; only SELECT is answered")
        yield [column[0] for column in cursor.description]
        yield from cursor
    except (sqlite3.Error, sqlite3.Warning, OverflowError, ValueError) as error:
        raise _of_sqlite(error, request["deadline"]) from None


def _configure_sqlite(connection: sqlite3.Connection, request: dict[str, Any]) -> None:
    connection.execute("PRAGMA cache_size = -8192")
    connection.execute(f"PRAGMA hard_heap_limit = {MEMORY}")
    connection.execute("PRAGMA temp_store = FILE")
    deadline = request["deadline"]
    if deadline is not None:
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    if request["guard"] is not None:
        _guard_sqlite(connection, request["guard"])


def _guard_sqlite(connection: sqlite3.Connection, guard: dict[str, Any]) -> None:
    """Let the connection read the public tables and views, and do nothing else.

    A view over a private table is made anew under a name that nobody knows. SQLite tells the authorizer on whose
    behalf a column is read by a name alone, and a common table expression may take the name of any view.
    """
    secret = guard["secret"]
    for view, name in secret.items():
        (text,) = connection.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'view' AND name = ?", (view,)
        ).fetchone()
        body = text.split(" AS", 1)[1]
        connection.execute(f"CREATE TEMP VIEW {name} AS{body}")
        connection.execute(f"CREATE TEMP VIEW {view} AS SELECT * FROM temp.{name}")  # noqa: S608 - the schema's names
    relations = {name for (name,) in connection.execute("SELECT lower(name) FROM sqlite_master")}
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.setlimit(_LENGTH, LONGEST_VALUE)
    connection.setlimit(_LIKE_PATTERN, 1000)
    connection.setlimit(_COLUMNS, 500)
    connection.setlimit(_ATTACHED, 0)
    connection.set_authorizer(_authorizer(set(guard["readable"]), set(guard["private"]), relations, secret))


def _authorizer(
    readable: set[str], private: set[str], relations: set[str], secret: dict[str, str]
) -> Callable[[int, str | None, str | None, str | None, str | None], int]:
    readable = readable | set(secret) | set(secret.values()) | _TABLE_FUNCTIONS
    behalf = set(secret.values())

    def may_read(table: str, column: str, database: str | None, view: str | None) -> bool:
        if table in readable:
            return True
        if table in private:
            return view in behalf
        # Where no column is read this is told of common table expressions and subqueries as well.
        return (
            not column and database is None and table not in relations and not table.startswith(("sqlite_", "pragma"))
        )

    def authorize(action: int, first: str | None, second: str | None, database: str | None, view: str | None) -> int:
        if action in (_SELECT, _RECURSIVE):
            return _OK
        if action == _FUNCTION:
            return _DENY if (second or "").lower() in _FORBIDDEN_FUNCTIONS else _OK
        if action == _READ and may_read((first or "").lower(), second or "", database, view):
            return _OK
        return _DENY

    return authorize


def _of_sqlite(error: Exception, deadline: float | None) -> Ended:
    message = " ".join(str(error).split())
    if message == "interrupted" or (deadline is not None and time.monotonic() > deadline):
        return Ended("timeout", "")
    if "not authorized" in message or "prohibited" in message or "readonly" in message or "authorization" in message:
        return Ended("denied", message)
    if "one statement at a time" in message:
        return Ended("refused", "only one statement can be asked at a time")
    if "too big" in message or "out of memory" in message or "too large" in message:
        return Ended("memory", message)
    if "disk is full" in message or "disk I/O" in message:
        return Ended("memory", "it sorts more than fits into a temporary file")
    if "locked" in message:
        return Ended("busy", message)
    return Ended("sql", message)


# PostgreSQL


def _postgresql(request: dict[str, Any]) -> Iterator[Any]:
    """Yield the columns' names, then the rows, by a cursor of the server."""
    import psycopg2

    _read_as_text()
    try:
        connection = psycopg2.connect(**request["connect"])
    except psycopg2.Error as error:
        raise Ended("lost", " ".join(str(error).split())) from None
    try:
        with connection, connection.cursor() as cursor:
            yield from _fetched(cursor, request)
    except psycopg2.Error as error:
        raise _of_postgresql(error, request["deadline"]) from None


def _fetched(cursor: Any, request: dict[str, Any]) -> Iterator[Any]:
    if request["guard"] is not None:
        cursor.execute("SET TRANSACTION READ ONLY")
    _set_timeout(cursor, request["deadline"])
    statement = request["statement"]
    if request["parameters"]:
        statement = cursor.mogrify(statement, request["parameters"]).decode()
    # The server takes the text as one query and nothing else; as part of a command it could be several.
    cursor.execute(
        "DO " + _quoted(f"DECLARE door refcursor := 'door'; BEGIN OPEN door FOR EXECUTE {_quoted(statement)}; END")
    )
    wanted = 1
    described = False
    while True:
        _set_timeout(cursor, request["deadline"])
        cursor.execute(f"FETCH FORWARD {wanted} FROM door")
        if not described:
            yield [column.name for column in cursor.description]
            described = True
        rows = cursor.fetchall()
        yield from rows
        if len(rows) < wanted:
            return
        length = max(1, sum(len(str(value)) for row in rows for value in row) // len(rows))
        # Grows slowly: what comes next may be longer.
        wanted = max(1, min(wanted * 4, _BATCH_ROWS, _BATCH_BYTES // length))


def _set_timeout(cursor: Any, deadline: float | None) -> None:
    left = 0 if deadline is None else max(1, int((deadline - time.monotonic()) * 1000))
    cursor.execute(f"SET statement_timeout = {left}")


def _quoted(text: str) -> str:
    """Quote a text so that no character in it has a meaning, whatever the server's settings are."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f" E'{escaped}'"


def _read_as_text() -> None:
    """Read numbers and moments as the mirror's SQLite has them, and JSON as it is written."""
    from psycopg2.extensions import new_type, register_type

    text = (114, 3802, 1082, 1083, 1266, 1186, 199, 3807, 1182, 1115, 1185, 1187, 2951)
    register_type(new_type(text, "DOOR_TEXT", lambda value, cursor: value))
    register_type(new_type((1114,), "DOOR_LOCAL", lambda value, cursor: value and _instant(value, "")))
    register_type(new_type((1184,), "DOOR_INSTANT", lambda value, cursor: value and _instant(value, "Z")))
    register_type(new_type((1700,), "DOOR_NUMBER", lambda value, cursor: None if value is None else _number(value)))


def _instant(value: Any, zone: str) -> Any:
    if value.endswith("BC") or "infinity" in value:
        return value
    date, _, clock = value.partition(" ")
    seconds, _, fraction = clock.removesuffix("+00").partition(".")
    return f"{date}T{seconds}.{fraction:0<6}{zone}"


def _number(value: Any) -> int | float:
    try:
        return int(value)
    except ValueError:
        return float(value)


def _of_postgresql(error: Any, deadline: float | None) -> Ended:
    message = " ".join((error.diag.message_primary or str(error)).split())
    code = error.pgcode or ""
    if code == "57014" or (deadline is not None and time.monotonic() > deadline):
        return Ended("timeout", "")
    if code in ("42501", "25006"):
        return Ended("denied", message)
    if "multi-query" in message or "as cursor" in message or (code == "42601" and "cursor" in message):
        return Ended("refused", f"{message}: only one SELECT can be asked at a time")
    if code in ("53400", "54000") or code.startswith("53") or "out of memory" in message:
        return Ended("memory", message)
    if code.startswith(("08", "57P")) or not code:
        return Ended("lost", message)
    return Ended("sql", message)


if __name__ == "__main__":
    main()
