"""What the mirror remembers of a table: the state token, which says from when on to ask for changes.

Airtable shows no time of modification and counts nothing, so a table's state is told by three hashes and a moment:

- `layout` covers what decides the content of cells (fields, their types and options), `schema` the whole schema;
- `recent` covers the content of every record that was edited or created after `since`.

**Nothing is lost at a boundary.** `since` lies at least the overlap before the server's own time, on a fixed grid, so
that whatever was edited up to `since` had become visible when the mark was made, although stamps are cut to whole
seconds and queries may lag. The mirror was read after that. From then on a change (other than those which Airtable
lets no query see) stamps its record later than `since`: the record newly belongs to the recent ones or differs among
them, and `recent` differs. A reading then asks for everything after the *stored* `since`. The filter's comparisons are
strict, which the same overlap covers: a record stamped exactly `since` was visible before the mark was made. No clock
but the server's takes part, and no moment is ever taken from a record.

**A quiet table stays fresh at one request a check**: as long as `since` stays, so do both hashes. It moves with the
grid, every thirty days (every day, every hour) for a table with no more than one page of changes since then; the
table is then read once from the old `since` on, mostly one request, and is fresh under the new one.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from dandi_pipeline.errors import ContractError, PlatformFailing, ResourceMissing, TornRead
from dandi_pipeline.http.instants import instant, moment_of
from dandi_pipeline.platforms.airtable.api import AirtableApi, Json, Question
from dandi_pipeline.platforms.airtable.fields import edited_fields, layout_of
from dandi_pipeline.platforms.airtable.records import sorted_cells
from dandi_pipeline.platforms.airtable.refusals import FilterRefused, SchemaMoved
from dandi_pipeline.platforms.canonical import canonical, digest_of

GRIDS = (timedelta(days=30), timedelta(days=1), timedelta(hours=1))
"""How far back a mark may reach: as far as the changes since then fit one page, or else the last."""

_log = logging.getLogger(__name__)

_UNFILTERED = "unfiltered"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FAR = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Mark:
    """The state of a table, as the module says. `since` is None where the table's filter does not work.

    Such a table counts as unchanged until its schema changes or a sweep reads it: only reading all of it could tell.
    """

    layout: str
    since: datetime | None
    recent: str
    schema: str

    def __str__(self) -> str:
        since = _UNFILTERED if self.since is None else instant(self.since.isoformat())
        return f"{self.layout} {since} {self.recent} {self.schema}"

    @classmethod
    def of_token(cls, token: str | None) -> "Mark | None":
        """Return the mark that a state token spells; None for none, or what stands for a hidden table."""
        words = (token or "").split(" ")
        if len(words) != 4:
            return None
        layout, since, recent, schema = words
        return cls(layout, None if since == _UNFILTERED else moment_of(since), recent, schema)


def changed_since(moment: datetime) -> str:
    """Return the formula for records edited or created after a moment; one never edited may have no other stamp."""
    spelled = moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    bound = f"DATETIME_PARSE('{spelled}')"
    return f"OR(IS_AFTER(LAST_MODIFIED_TIME(),{bound}),IS_AFTER(CREATED_TIME(),{bound}))"


@dataclass(frozen=True, slots=True)
class Check:
    """How a table stands, and since when nothing has changed in it (or now, if something may have)."""

    mark: Mark
    modified: datetime


def check_table(api: AirtableApi, table: Json, *, now: datetime, overlap: timedelta) -> Check:
    """Ask a table what has changed, in one request if that fits a page.

    `now` is the server's time, not later than that of the requests. A table that gives no usable answer counts as
    changed, so that its own reading fails and no other's. Raises `SchemaMoved` if `table`, its schema, is out of date.
    """
    where = f"table {api.base_id}/{table['id']}"
    layout, schema = layout_of(table, where=where), digest_of(canonical(table))
    fields, latest = edited_fields(table, where=where), now - overlap
    try:
        since, rows = _recent(api, table["id"], fields, latest, now)
    except FilterRefused:
        since, rows = None, []
    except (SchemaMoved, ResourceMissing):
        raise
    except (PlatformFailing, TornRead, ContractError) as failure:
        _log.warning("%s; the table is taken for changed", failure)
        return Check(Mark(layout, _on_grid(latest, GRIDS[-1]), f"unchecked@{now.isoformat()}", schema), now)
    recent = digest_of(*sorted(canonical([row["id"], *sorted_cells(row.get("fields", {}))]) for row in rows))
    return Check(Mark(layout, since, recent, schema), now if rows or since is None else since)


def _recent(
    api: AirtableApi, table_id: str, fields: Sequence[str], latest: datetime, now: datetime
) -> tuple[datetime | None, list[Json]]:
    """Return a moment on a grid and the records changed since; None where the filter lets through what it must not.

    A filter that lets too much through is harmless as long as that fits a page, and found out where it does not:
    records changed in the future are asked for, of which there are none.
    """
    for grid in GRIDS:
        since = _on_grid(latest, grid)
        question = Question(table_id, changed_since(since), fields)
        page = api.page(question)
        if page.offset is None:
            return since, list(page.rows)
    if api.page(Question(table_id, changed_since(now + _FAR), fields[:1]), size=1).rows:
        return None, []
    return since, [row for rows in api.pages(question) for row in rows]


def _on_grid(moment: datetime, grid: timedelta) -> datetime:
    """Return the last moment of a grid up to another moment."""
    return _EPOCH + (moment - _EPOCH) // grid * grid
