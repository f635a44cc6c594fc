"""The mirror for Python: questions in, pandas DataFrames out.

pandas is imported when the first frame is made. Numbers that may be missing are `Int64`, moments are UTC.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dandi_pipeline.catalogue import PUBLIC
from dandi_pipeline.errors import QueryRefused
from dandi_pipeline.mirror.texts import search_texts
from dandi_pipeline.query.door import UNBOUNDED, Bounds, Door, Row, Value
from dandi_pipeline.query.past import KINDS, Moment, instant_of, past_mirror, past_rows
from dandi_pipeline.query.questions import QUESTIONS, Question
from dandi_pipeline.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_DANDISET = re.compile(r"(?:DANDI:)?(\d{1,6})", re.IGNORECASE | re.ASCII)


class Connection:
    """A mirror to ask, reading only. Close it, or use it in a `with` statement.

    Every method raises `QueryRefused` for what cannot be answered, with a sentence that says why.
    """

    def __init__(self, url: str, *, reader_url: str | None = None) -> None:
        self.door = Door(url, reader_url=reader_url)

    def sql(self, text: str, **parameters: Value) -> "pd.DataFrame":
        """Return what one SELECT over the public tables and views gives; `:name` in it is the parameter `name`.

        It may take as long as it takes and return as much as it returns, but it can change nothing.
        """
        return self._frame(text, parameters)

    def ask(self, number: str, *, as_of: Moment | None = None) -> "pd.DataFrame":
        """Return the answer to one of the twenty questions, "Q01" to "Q20": today's, or as of a moment."""
        question = question_of(number)
        if as_of is None:
            return self._frame(question.sql)
        with self.past(as_of) as past:
            return past.ask(question.number)

    def changes(
        self,
        since: Moment | timedelta | int | None = None,
        *,
        source: str | None = None,
        dandiset_id: str | int | None = None,
        record: str | None = None,
        kind: str | None = None,
        images: bool = False,
        limit: int | None = None,
    ) -> "pd.DataFrame":
        """Return the changes that the mirror took over since a moment, in their order.

        `since` may also be how long ago, or the last `sequence` that you have seen. `record` is dandiset, version or
        asset (of other platforms page, record or item), `kind` insert, update or delete. `images=True` adds the
        rows before and after as JSON. `limit` keeps the newest.
        """
        columns = f"sequence, at, run_id, source, partition, record, scope, key, kind{', before, after' * images}"
        statement, parameters = newest_changes(
            columns, since, source=source, dandiset_id=dandiset_id, record=record, kind=kind
        )
        newest = "" if limit is None else f" LIMIT {int(limit)}"
        found = self._frame(f"{statement}{newest}", parameters)
        ascending: pd.DataFrame = found.iloc[::-1].reset_index(drop=True)
        return ascending

    def as_of(
        self,
        moment: Moment,
        table: str = "draft_assets",
        *,
        source: str | None = None,
        dandiset_id: str | int | None = None,
        sql: str | None = None,
    ) -> "pd.DataFrame":
        """Return what a table held after the last commit at or before a moment, or what a SELECT would have given.

        `table` is dandisets, versions, draft_assets, assets or version_assets. With `sql` any public table and view
        of the archive can be asked, facets too. `draft_modified` of dandisets and `modified` of versions are null:
        they move without content, which the change log does not keep.

        A moment before the first sync is refused, and so is one before the named dandiset was first read completely.
        """
        named = None if dandiset_id is None else [dandiset(dandiset_id)]
        if sql is not None:
            with self.past(moment, source=source, dandiset_ids=named) as past:
                return past.sql(sql)
        columns = [name for name in _columns_of(table) if name != "content_hash"]
        rows = past_rows(self.door.database, moment, table, source=source, dandiset_ids=named)
        key = ("source", "dandiset_id", *KINDS[table].key) if table in KINDS else ()
        ordered = sorted(rows, key=lambda row: tuple(row[name] for name in key))
        return frame_of(columns, [[row.get(name) for name in columns] for row in ordered])

    def search(self, text: str, *, limit: int = 20) -> "pd.DataFrame":
        """Return the dandisets whose name, description, keywords, about or contributors have all the words.

        The best comes first. `"several words"` must stand together, `begin*` finds what begins so, `-word` leaves
        out what has it.
        """
        with self.door.database.reading() as connection:
            hits = search_texts(connection, text, limit=limit)
        columns = ["source", "dandiset_id", "name", "rank", "found_in", "excerpt"]
        rows = [[hit.source, hit.dandiset_id, hit.name, hit.rank, ", ".join(hit.found_in), hit.excerpt] for hit in hits]
        return frame_of(columns, rows)

    def describe(self) -> "pd.DataFrame":
        """Return what can be asked: each column of each public table and view, with its meaning."""
        described = [[name, column.name, column.meaning] for name, table in PUBLIC.items() for column in table.columns]
        shaped = [[name, "", "a view of users' own records"] for name in self.door.public() if name not in PUBLIC]
        return frame_of(["table", "column", "meaning"], described + shaped)

    @contextmanager
    def past(
        self, moment: Moment, *, source: str | None = None, dandiset_ids: Collection[str] | None = None
    ) -> Iterator["Connection"]:
        """Lend a connection to the mirror as it was, which is made for the time; it speaks SQLite's SQL."""
        there = past_mirror(self.door.database, moment, source=source, dandiset_ids=dandiset_ids)
        with there as url, Connection(url) as past:
            yield past

    def close(self) -> None:
        """Close what is open."""
        self.door.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _frame(self, text: str, parameters: Mapping[str, Value] | None = None) -> "pd.DataFrame":
        with self.door.reading(text, parameters, bounds=UNBOUNDED, by_text=False) as reading:
            return frame_of(reading.columns, reading.rows())


def connect(url: str | None = None) -> Connection:
    """Open the mirror at a SQLAlchemy URL, or the one that MIRROR_DATABASE_URL and DAGSTER_HOME say.

    Raises `DatabaseUnavailable` where there is none.
    """
    settings = Settings.from_environment(os.environ, Path.cwd())
    if url is None:
        return Connection(settings.mirror_database_url, reader_url=settings.mirror_reader_url)
    return Connection(url)


def question_of(number: str | int) -> Question:
    """Return one of the twenty questions: "Q07", "q7" or 7. Raises `QueryRefused` for any other."""
    digits = str(number).upper().removeprefix("Q")
    question = QUESTIONS.get(f"Q{digits:0>2}")
    if question is None:
        raise QueryRefused(f"there is no question {number!r}; there are {min(QUESTIONS)} to {max(QUESTIONS)}")
    return question


def newest_changes(
    columns: str,
    since: Moment | timedelta | int | None = None,
    *,
    source: str | None = None,
    dandiset_id: str | int | None = None,
    record: str | None = None,
    kind: str | None = None,
) -> tuple[str, dict[str, Value]]:
    """Return the SELECT of the changes since a moment, the newest first, and its parameters."""
    conditions, parameters = _since(since)
    partition = None if dandiset_id is None else dandiset(dandiset_id)
    wanted = {"source": source, "partition": partition, "record": record, "kind": kind}
    for name, value in wanted.items():
        if value is not None:
            conditions.append(f"{name} = :{name}")
            parameters[name] = value
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    statement = f"SELECT {columns} FROM changes{where} ORDER BY sequence DESC"  # noqa: S608 - columns of ours
    return statement, parameters


def dandiset(identifier: str | int) -> str:
    """Return the six digits of a dandiset: 3, "000003" or "DANDI:000003"; any other partition as it is."""
    match = _DANDISET.fullmatch(str(identifier))
    return match[1].zfill(6) if match else str(identifier)


def frame_of(columns: Sequence[str], rows: Sequence[Row]) -> "pd.DataFrame":
    """Return rows as a DataFrame; a column of canonical instants becomes one of moments."""
    import pandas as pd

    series = [_series([row[place] for row in rows]) for place in range(len(columns))]
    frame: pd.DataFrame = pd.DataFrame(dict(enumerate(series)), columns=range(len(columns)))
    frame.columns = pd.Index(list(columns))
    return frame


def _series(values: list[Any]) -> "pd.Series[Any]":
    import pandas as pd

    series: pd.Series[Any] = pd.Series(values, dtype=_dtype(values))
    if series.dtype == "object" and are_instants(values):
        return pd.to_datetime(series, utc=True, format="ISO8601")
    return series


def _dtype(values: list[Any]) -> str:
    kinds = {type(value) for value in values if value is not None}
    complete = None not in values
    if kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return "int64" if complete else "Int64"
    if kinds == {bool}:
        return "bool" if complete else "boolean"
    return "float64" if kinds and kinds <= {int, float} else "object"


def are_instants(values: Sequence[Any]) -> bool:
    """Say whether these are moments as the mirror spells them, some of which may be missing."""
    told = [value for value in values if value is not None]
    return bool(told) and all(isinstance(value, str) and _INSTANT.fullmatch(value) for value in told)


def _since(since: Moment | timedelta | int | None) -> tuple[list[str], dict[str, Value]]:
    if since is None:
        return [], {}
    if isinstance(since, int):
        return ["sequence > :since"], {"since": since}
    if isinstance(since, timedelta):
        from datetime import datetime, timezone

        since = datetime.now(timezone.utc) - since
    return ["at >= :since"], {"since": instant_of(since)}


def _columns_of(table: str) -> Sequence[str]:
    if table not in KINDS:
        raise QueryRefused(f"the past of {table!r} is not kept by itself; it is of {', '.join(KINDS)}, or ask in SQL")
    return [column.name for column in PUBLIC[table].columns]


def default_bounds(limit: int | None, seconds: float | None) -> Bounds:
    """Return the bounds of a question that a stranger asks, with other rows and seconds where they are given."""
    usual = Bounds()
    return Bounds(usual.rows if limit is None else limit, usual.size, usual.seconds if seconds is None else seconds)
