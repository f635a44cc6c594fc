"""What a perfect mirror of a workspace would hold, as plain data.

A snapshot is one dictionary, data sources by id::

    {"248104cd-…": {
        "data_source": {…},                       # as GET /data_sources/{id} says, schema and all
        "pages": {"be633bf1-…": {…}, …},          # as GET /pages/{id} says, every page that a query can show
        "child_data_sources": ["22222222-…", …],  # of a wiki, the data sources among its rows
    }}

Data sources and pages that the token may not see, or that are in the trash or archived, are absent. Values of the
types in `complete` are whole (a relation then says `"has_more": false`); rollups and formulas are as the page object
has them, computed from 25 references. Addresses of kept files are normalised as `files.normalised` says: apply that
to what a mirror holds before comparing. The data is a copy: what happens to the world afterwards does not show in it.
"""

from typing import Any

from .files import normalised
from .records import Connection, DataSource, Page
from .views import COMPLETABLE, Views
from .workspace import Workspace

Snapshot = dict[str, dict[str, Any]]

COMPLETED = COMPLETABLE
"""Types whose values a mirror reads to their end."""


def take_snapshot(
    workspace: Workspace, connection: Connection, version: str, complete: frozenset[str] = COMPLETED
) -> Snapshot:
    """Copy what a connection may see; the caller holds the world's lock."""
    views = Views(workspace, connection, version, complete=complete)
    taken = {
        source.id: _data_source(workspace, connection, views, source)
        for source in workspace.data_sources.values()
        if workspace.sees(connection, source.id)
    }
    copied: Snapshot = normalised(taken)
    return copied


def _data_source(workspace: Workspace, connection: Connection, views: Views, source: DataSource) -> dict[str, Any]:
    rows = [row for row in workspace.rows(source) if workspace.sees(connection, row.id)]
    return {
        "data_source": views.data_source(source),
        "pages": {row.id: views.page(row) for row in rows if isinstance(row, Page) and not row.is_archived},
        "child_data_sources": sorted(row.id for row in rows if isinstance(row, DataSource)),
    }
