"""Asks the mirror, from Python: questions in, pandas DataFrames out. Dagster is not needed.

    from dandi_pipeline import query

    query.ask("Q07")
    query.sql("SELECT path, size FROM draft_assets WHERE dandiset_id = :id", id="000003")
    query.changes("2026-01-01", record="asset")
    query.as_of("2026-01-01", "draft_assets", dandiset_id=3)
    query.search('hippocamp* "place cells"')

These ask the mirror that the environment names. `connect(url)` opens any other, with the same methods.
"""

from typing import TYPE_CHECKING, Any

from dandi_pipeline.query.frames import Connection, connect

if TYPE_CHECKING:
    import pandas as pd

    from dandi_pipeline.query.door import Value
    from dandi_pipeline.query.past import Moment

__all__ = ["Connection", "as_of", "ask", "changes", "connect", "describe", "search", "sql"]


def sql(text: str, **parameters: "Value") -> "pd.DataFrame":
    """Return what one SELECT gives; see `Connection.sql`."""
    with connect() as mirror:
        return mirror.sql(text, **parameters)


def ask(number: str, *, as_of: "Moment | None" = None) -> "pd.DataFrame":
    """Return the answer to one of the twenty questions; see `Connection.ask`."""
    with connect() as mirror:
        return mirror.ask(number, as_of=as_of)


def changes(since: Any = None, **options: Any) -> "pd.DataFrame":
    """Return the changes since a moment; see `Connection.changes`."""
    with connect() as mirror:
        return mirror.changes(since, **options)


def as_of(moment: "Moment", table: str = "draft_assets", **options: Any) -> "pd.DataFrame":
    """Return what a table held at a moment; see `Connection.as_of`."""
    with connect() as mirror:
        return mirror.as_of(moment, table, **options)


def search(text: str, *, limit: int = 20) -> "pd.DataFrame":
    """Return the dandisets that have all the words; see `Connection.search`."""
    with connect() as mirror:
        return mirror.search(text, limit=limit)


def describe() -> "pd.DataFrame":
    """Return what can be asked; see `Connection.describe`."""
    with connect() as mirror:
        return mirror.describe()
