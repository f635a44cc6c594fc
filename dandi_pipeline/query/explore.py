"""Pages to look at the mirror with: facets, dandisets with their growth and changes, the twenty questions, SQL.

A Starlette application on the door. It answers GET alone, sets no cookie, runs no script, and loads nothing from
anywhere; plots are SVG that is drawn here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from dandi_pipeline.catalogue import PUBLIC
from dandi_pipeline.errors import PipelineError
from dandi_pipeline.mirror.texts import search_texts
from dandi_pipeline.query.door import Bounds, Reading
from dandi_pipeline.query.frames import Connection, dandiset, question_of
from dandi_pipeline.query.plots import Bar, bars, steps
from dandi_pipeline.query.questions import QUESTIONS

_PAGES = Path(__file__).with_name("pages")
_BOUNDS = Bounds(rows=500, size=2_000_000, seconds=20.0)
_LISTED = 100

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True)
class Facet:
    """A list to choose from: each value with the number of dandisets that have it."""

    name: str
    title: str
    sql: str


FACETS = (
    Facet(
        "embargo",
        "Access",
        "SELECT embargo_status AS value, source, dandiset_id FROM dandisets WHERE embargo_status IS NOT NULL",
    ),
    Facet(
        "license",
        "Licence",
        "SELECT license AS value, source, dandiset_id FROM versions WHERE version = 'draft' AND license IS NOT NULL",
    ),
    Facet("species", "Species", "SELECT DISTINCT taxon AS value, source, dandiset_id FROM species"),
    Facet("approach", "Approach", "SELECT DISTINCT approach AS value, source, dandiset_id FROM approaches"),
    Facet("technique", "Technique", "SELECT DISTINCT technique AS value, source, dandiset_id FROM techniques"),
    Facet("variable", "Variable measured", "SELECT DISTINCT variable AS value, source, dandiset_id FROM variables"),
    Facet(
        "format",
        "File format",
        "SELECT DISTINCT encoding_format AS value, source, dandiset_id FROM draft_files"
        " WHERE encoding_format IS NOT NULL",
    ),
    Facet(
        "status",
        "Validation",
        "SELECT status AS value, source, dandiset_id FROM versions WHERE version = 'draft' AND status IS NOT NULL",
    ),
)


@dataclass(frozen=True)
class Table:
    """An answer as a page shows it."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    cut: bool = False


def serve(mirror: Connection, host: str, port: int) -> None:
    """Serve until the process is told to end."""
    uvicorn.run(application(mirror, host), host=host, port=port, log_level="warning", server_header=False)


def application(mirror: Connection, host: str = "127.0.0.1") -> Starlette:
    """Return the application; it answers requests to `host` alone, unless that is all addresses."""
    pages = _Pages(mirror)
    routes: list[tuple[str, Callable[[Request], Response]]] = [
        ("/", pages.start),
        ("/dandisets/{dandiset_id}", pages.dandiset),
        ("/questions", pages.questions),
        ("/questions/{number}", pages.question),
        ("/sql", pages.sql),
        ("/style.css", pages.style),
    ]
    # A page of another site cannot read these by a name of its own that leads here.
    known = ["*"] if host in ("0.0.0.0", "::") else ["localhost", "127.0.0.1", "[::1]", host]  # noqa: S104
    return Starlette(
        routes=[Route(path, page, methods=["GET"]) for path, page in routes],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=known)],
        exception_handlers={HTTPException: pages.missing, PipelineError: pages.refused},
    )


class _Pages:
    def __init__(self, mirror: Connection) -> None:
        self._mirror = mirror
        self._templates = Environment(
            loader=FileSystemLoader(_PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._templates.filters["amount"] = amount
        self._templates.filters["bytes"] = readable_bytes

    def start(self, request: Request) -> Response:
        """List the dandisets that are chosen by facets and words, beside the facets."""
        words = request.query_params.get("q", "").strip()
        chosen = {
            facet.name: request.query_params[facet.name] for facet in FACETS if facet.name in request.query_params
        }
        where, parameters = self._chosen(chosen, words)
        found = self._table(
            f"SELECT d.dandiset_id, d.name, d.asset_count, d.size FROM dandisets d{where} ORDER BY d.dandiset_id",  # noqa: S608 - the code's own SQL
            parameters,
        )
        counts = {facet.name: self._counts(facet, chosen, words) for facet in FACETS}
        return self._page(
            "start.html",
            "Dandisets",
            facets=FACETS,
            counts=counts,
            chosen=chosen,
            words=words,
            found=found,
            address=_address,
        )

    def dandiset(self, request: Request) -> Response:
        """Show one dandiset: what it is, how it has grown, what has changed."""
        identifier = dandiset(request.path_params["dandiset_id"])
        here = {"id": identifier}
        about = self._table("SELECT * FROM dandisets WHERE dandiset_id = :id", here)
        if not about.rows:
            raise HTTPException(404, f"The mirror holds no dandiset {identifier}.")
        texts = self._table(
            "SELECT version, status, created, asset_count, size, license, doi FROM versions"
            " WHERE dandiset_id = :id ORDER BY created",
            here,
        )
        growth = self._table(
            "SELECT substr(CAST(created AS TEXT), 1, 10) AS day, count(*) AS files, sum(size) AS bytes"
            " FROM draft_assets WHERE dandiset_id = :id GROUP BY substr(CAST(created AS TEXT), 1, 10) ORDER BY 1",
            here,
        )
        changed = self._table(
            "SELECT substr(CAST(at AS TEXT), 1, 10) AS day, kind, count(*) AS changes FROM changes"
            " WHERE partition = :id GROUP BY substr(CAST(at AS TEXT), 1, 10), kind ORDER BY 1, 2",
            here,
        )
        latest = self._table(
            "SELECT at, record, key, kind FROM changes WHERE partition = :id ORDER BY sequence DESC LIMIT 50", here
        )
        formats = self._table(
            "SELECT encoding_format, count(*) AS files, sum(size) AS bytes FROM draft_assets WHERE dandiset_id = :id"
            " GROUP BY encoding_format ORDER BY files DESC, encoding_format",
            here,
        )
        return self._page(
            "dandiset.html",
            f"{identifier} {dict(zip(about.columns, about.rows[0], strict=True))['name'] or ''}",
            about=dict(zip(about.columns, about.rows[0], strict=True)),
            versions=texts,
            growth=steps(_running(growth.rows), title="Files of the draft by the day of their creation"),
            changed=bars(_by_day(changed.rows), title="Changes taken over by the mirror, by day"),
            latest=latest,
            formats=formats,
        )

    def questions(self, request: Request) -> Response:
        """List the twenty questions."""
        return self._page("questions.html", "Questions", questions=QUESTIONS.values())

    def question(self, request: Request) -> Response:
        """Show one of the twenty questions with its answer."""
        question = question_of(request.path_params["number"])
        answer = self._table(question.sql)
        return self._page("question.html", f"{question.number} {question.title}", question=question, answer=answer)

    def sql(self, request: Request) -> Response:
        """Answer what is written into the box."""
        statement = request.query_params.get("q", "").strip()
        answer, refusal = None, ""
        if statement:
            try:
                answer = self._table(statement)
            except PipelineError as error:
                refusal = str(error)
        return self._page(
            "sql.html", "SQL", statement=statement, answer=answer, refusal=refusal, tables=PUBLIC.values()
        )

    def style(self, request: Request) -> Response:
        """Return the style sheet."""
        text = (_PAGES / "style.css").read_text(encoding="utf-8")
        return Response(text, media_type="text/css", headers={**_HEADERS, "Cache-Control": "max-age=300"})

    async def missing(self, request: Request, error: Exception) -> Response:
        """Say that there is no such page."""
        assert isinstance(error, HTTPException)
        return self._page("message.html", "Not found", status=error.status_code, message=error.detail)

    async def refused(self, request: Request, error: Exception) -> Response:
        """Say why something is not answered."""
        return self._page("message.html", "Not answered", status=400, message=str(error))

    def _page(self, template: str, title: str, *, status: int = 200, **values: Any) -> Response:
        text = self._templates.get_template(template).render(title=title, **values)
        return HTMLResponse(text, status_code=status, headers=_HEADERS)

    def _table(self, sql: str, parameters: dict[str, Any] | None = None) -> Table:
        with self._mirror.door.reading(sql, parameters, bounds=_BOUNDS) as reading:
            return _read(reading)

    def _chosen(self, chosen: dict[str, str], words: str) -> tuple[str, dict[str, Any]]:
        """Return the condition on dandisets `d` that facets and words make."""
        conditions, parameters = [], {}
        for facet in FACETS:
            if facet.name in chosen:
                parameters[facet.name] = chosen[facet.name]
                conditions.append(
                    f"EXISTS (SELECT 1 FROM ({facet.sql}) f_{facet.name} WHERE f_{facet.name}.source = d.source"  # noqa: S608 - the code's own SQL
                    f" AND f_{facet.name}.dandiset_id = d.dandiset_id AND f_{facet.name}.value = :{facet.name})"
                )
        if words:
            hits = self._hits(words)
            marks = {f"hit{place}": identifier for place, identifier in enumerate(hits)}
            parameters |= marks
            conditions.append(f"d.dandiset_id IN ({', '.join(f':{name}' for name in marks) or 'NULL'})")
        return (f" WHERE {' AND '.join(conditions)}" if conditions else ""), parameters

    def _hits(self, words: str) -> list[str]:
        with self._mirror.door.database.reading() as connection:
            return [hit.dandiset_id for hit in search_texts(connection, words, limit=_LISTED)]

    def _counts(self, facet: Facet, chosen: dict[str, str], words: str) -> Sequence[Sequence[Any]]:
        """Return a facet's values, with how many of the dandisets that the others leave have each."""
        others = {name: value for name, value in chosen.items() if name != facet.name}
        where, parameters = self._chosen(others, words)
        return self._table(
            f"SELECT f.value, count(DISTINCT d.dandiset_id) AS dandisets FROM dandisets d JOIN ({facet.sql}) f"  # noqa: S608 - the code's own SQL
            f" ON f.source = d.source AND f.dandiset_id = d.dandiset_id{where}"
            " GROUP BY f.value ORDER BY dandisets DESC, f.value LIMIT 12",
            parameters,
        ).rows


def amount(value: Any) -> str:
    """Return a value as people read it: numbers with their thousands apart, nothing for none."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def readable_bytes(value: Any) -> str:
    """Return bytes in the unit that suits them, as disks are sold: kB, MB, GB, TB."""
    if not isinstance(value, (int, float)):
        return ""
    size = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def _read(reading: Reading) -> Table:
    rows = reading.rows()
    return Table(reading.columns, rows, reading.cut is not None)


def _address(chosen: dict[str, str], name: str, value: str | None, words: str) -> str:
    """Return the address of the start page with one facet chosen, or let go of."""
    from urllib.parse import urlencode

    kept = {key: held for key, held in chosen.items() if key != name}
    if value is not None:
        kept[name] = value
    return f"/?{urlencode({**({'q': words} if words else {}), **kept})}"


def _running(rows: Sequence[Sequence[Any]]) -> list[tuple[str, int]]:
    """Return by day how many files there are by then."""
    total = 0
    found = []
    for day, files, _ in rows:
        total += files
        found.append((str(day), total))
    return found


def _by_day(rows: Sequence[Sequence[Any]]) -> list[Bar]:
    days: dict[str, dict[str, int]] = {}
    for day, kind, number in rows:
        days.setdefault(str(day), {})[str(kind)] = number
    return [Bar(day, kinds) for day, kinds in days.items()]
