"""A real client of the Model Context Protocol asks the server that `dandi-pipeline mcp` is."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import ClientSession, StdioServerParameters, stdio_client

from dandi_pipeline_tests.cli.conftest import CHECKOUT
from dandi_pipeline_tests.query.conftest import SECRET

Calls = Callable[[ClientSession], Awaitable[None]]


def talk(url: str, calls: Calls, folder: Path) -> None:
    """Start the server as a client does, and make the calls."""

    async def session_of_calls() -> None:
        environ = {"MIRROR_DATABASE_URL": url, "PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin"}
        server = StdioServerParameters(
            command=sys.executable, args=["-m", "dandi_pipeline", "mcp"], env=environ, cwd=folder
        )
        with (folder / "errors.txt").open("w") as errors:
            async with stdio_client(server, errlog=errors) as streams, ClientSession(*streams) as session:
                await session.initialize()
                await calls(session)

    asyncio.run(session_of_calls())


async def said(session: ClientSession, tool: str, **arguments: Any) -> Any:
    """Return what a tool answers; a refusal as text."""
    result = await session.call_tool(tool, arguments)
    text = "".join(getattr(content, "text", "") for content in result.content)
    return text if result.is_error else json.loads(text)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"guarded_{request.param}"))


def test_a_client_finds_five_tools_and_each_answers(url: str, tmp_path: Path) -> None:
    async def calls(session: ClientSession) -> None:
        tools = await session.list_tools()
        assert {tool.name for tool in tools.tools} == {"query", "describe", "ask", "changes", "search"}
        assert all(tool.description for tool in tools.tools)
        told = await said(session, "describe")
        assert told["dialect"] in ("sqlite", "postgresql")
        assert "draft_assets" in told["tables"]
        assert "partitions" not in told["tables"]
        assert len(told["questions"]) == 20
        assert "embargo_status" in (await said(session, "describe", table="dandisets"))["columns"]
        answer = await said(session, "query", sql="SELECT path FROM draft_assets ORDER BY path", limit=2)
        assert (answer["columns"], len(answer["rows"]), answer["complete"]) == (["path"], 2, False)
        assert (await said(session, "ask", question="Q05"))["columns"] == ["variable", "dandisets", "assets"]
        assert (await said(session, "search", text="hippocamp*"))["dandisets"][0]["dandiset_id"] == "000002"
        changed = await said(session, "changes", since="2020-01-01", dandiset_id="1", limit=3)
        assert len(changed["rows"]) == 3
        assert changed["rows"][-1][changed["columns"].index("partition")] == "000001"

    talk(url, calls, tmp_path)


def test_a_model_is_told_why_something_is_refused_and_learns_no_secret(url: str, tmp_path: Path) -> None:
    async def calls(session: ClientSession) -> None:
        refusals = [
            await said(session, "query", sql="SELECT * FROM partitions"),
            await said(session, "query", sql="DELETE FROM dandisets"),
            await said(session, "describe", table='partitions" --'),
            await said(session, "ask", question="Q99"),
            await said(session, "changes", since="yesterday"),
        ]
        assert "there is no public table or view 'partitions'" in refusals[0]
        assert "DELETE is not answered" in refusals[1]
        assert "there is no question 'Q99'" in refusals[3]
        assert "is no moment" in refusals[4]
        assert SECRET not in str(refusals)

    talk(url, calls, tmp_path)
