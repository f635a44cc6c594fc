"""Serves the door to language models: a server of the Model Context Protocol over standard input and output.

What it gives is bounded more tightly than for people: a model reads all that it is given.
"""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from dandi_pipeline.catalogue import PUBLIC
from dandi_pipeline.errors import ConfigurationError, PipelineError
from dandi_pipeline.mirror.texts import search_texts
from dandi_pipeline.query.door import Bounds
from dandi_pipeline.query.frames import Connection, question_of
from dandi_pipeline.query.questions import QUESTIONS

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

HOW_TO_INSTALL = "pip install 'dandi_pipeline[mcp]'"

MOST_ROWS = 500
_BOUNDS = Bounds(rows=MOST_ROWS, size=200_000, seconds=20.0)
_INSTRUCTIONS = (
    "A local, read-only SQL mirror of the DANDI Archive's metadata: dandisets, their versions and their files. Call"
    " `describe` before writing SQL. `ask` answers twenty prepared questions; `search` finds dandisets by words."
)

Answer = dict[str, Any]


def serve(mirror: Connection) -> None:
    """Serve until standard input ends. Raises `ConfigurationError` without the MCP SDK."""
    server_of(mirror).run("stdio")


def server_of(mirror: Connection) -> "MCPServer":
    """Return the server, with its five tools."""
    try:
        from mcp.server.mcpserver import MCPServer
    except ImportError:
        raise ConfigurationError(f"serving MCP needs its SDK; install it: {HOW_TO_INSTALL}") from None
    server = MCPServer("dandi-mirror", instructions=_INSTRUCTIONS, log_level="WARNING")
    tools = _Tools(mirror)
    for tool in (tools.query, tools.describe, tools.ask, tools.changes, tools.search):
        server.tool()(_told(tool))
    return server


def _told(tool: Callable[..., Answer]) -> Callable[..., Answer]:
    """Return the tool with its refusals told to the model: the SDK keeps other errors to itself."""
    from mcp.server.mcpserver.exceptions import ToolError

    @wraps(tool)
    def told(*arguments: Any, **named: Any) -> Answer:
        try:
            return tool(*arguments, **named)
        except PipelineError as refusal:
            raise ToolError(str(refusal)) from refusal

    return told


class _Tools:
    """What a model can call; the docstrings are what it reads."""

    def __init__(self, mirror: Connection) -> None:
        self._mirror = mirror

    def query(self, sql: str, limit: int = 100) -> Answer:
        """Answer one SELECT over the public tables and views; at most 500 rows and 20 seconds."""
        return self._answer(sql, limit=limit)

    def describe(self, table: str = "") -> Answer:
        """Say which tables and views there are, or which columns one has, and what they mean."""
        dialect = self._mirror.door.dialect_name
        if not table:
            known = {name: table.meaning for name, table in PUBLIC.items()}
            others = {name: "a view of users' own records" for name in self._mirror.door.public() if name not in known}
            return {"dialect": dialect, "tables": known | others, "questions": _questions()}
        if table in PUBLIC:
            columns = {column.name: column.meaning for column in PUBLIC[table].columns}
            return {"dialect": dialect, "meaning": PUBLIC[table].meaning, "columns": columns}
        return self._answer(f'SELECT * FROM "{table}"', limit=1)  # noqa: S608 - the door checks it

    def ask(self, question: str) -> Answer:
        """Answer one of the twenty prepared questions, "Q01" to "Q20"; `describe` lists them."""
        asked = question_of(question)
        return {"question": asked.title, "sql": asked.sql} | self._answer(asked.sql, limit=MOST_ROWS)

    def changes(self, since: str, dandiset_id: str = "", limit: int = 100) -> Answer:
        """List what has changed in the archive since a date or instant (2026-01-31), the newest `limit` changes."""
        frame = self._mirror.changes(since, dandiset_id=dandiset_id or None, limit=min(limit, MOST_ROWS))
        frame["at"] = frame["at"].astype(str)
        return {"columns": list(frame.columns), "rows": frame.to_numpy().tolist(), "complete": len(frame) < limit}

    def search(self, text: str, limit: int = 20) -> Answer:
        """Find dandisets whose name, description, keywords, subject matter or contributors have all these words.

        "Words in quotation marks" stand together, `begin*` finds what begins so, `-word` leaves out what has it.
        """
        with self._mirror.door.database.reading() as connection:
            hits = search_texts(connection, text, limit=min(limit, MOST_ROWS))
        found = [{"dandiset_id": hit.dandiset_id, "name": hit.name, "excerpt": hit.excerpt} for hit in hits]
        return {"dandisets": found}

    def _answer(self, sql: str, *, limit: int) -> Answer:
        bounds = Bounds(max(1, min(limit, MOST_ROWS)), _BOUNDS.size, _BOUNDS.seconds)
        with self._mirror.door.reading(sql, bounds=bounds) as reading:
            rows = [[value.hex() if isinstance(value, bytes) else value for value in row] for row in reading.rows()]
            return {"columns": list(reading.columns), "rows": rows, "complete": reading.cut is None}


def _questions() -> dict[str, str]:
    return {number: question.title for number, question in QUESTIONS.items()}
