"""Questions to the past: what the mirror held after its last commit at or before a moment.

Rows are read back from the change log. For questions in SQL they are put into a mirror of their own, in a temporary
file, so that facets, views and search are made of them by the same code as ever.
"""

import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timezone
from itertools import groupby, islice
from pathlib import Path

from dandi_pipeline.catalogue import FACET_SCHEMA, open_mirror
from dandi_pipeline.errors import QueryRefused
from dandi_pipeline.instants import spelled, written_moment
from dandi_pipeline.mirror.database import Database
from dandi_pipeline.mirror.facets import stored_json
from dandi_pipeline.mirror.mirror import Mirror
from dandi_pipeline.mirror.past import Past, PastRow, reading_past
from dandi_pipeline.mirror.schema import RECORD_TABLES
from dandi_pipeline.model import Record, RecordKind
from dandi_pipeline.platforms.dandi.records import ASSET, DANDISET, VERSION

KINDS = {"dandisets": DANDISET, "versions": VERSION, "assets": ASSET, "draft_assets": ASSET, "version_assets": ASSET}
"""The tables and views that the past of the archive can be read as."""

_BATCH = 500

Moment = str | date | datetime
"""A point in time; one without a zone is UTC, a date is its beginning."""


def instant_of(moment: Moment) -> str:
    """Return a moment as the mirror spells instants. Raises `QueryRefused` for what is none."""
    if isinstance(moment, str):
        moment = _read(moment)
    elif not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    return spelled(moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc))


def past_rows(
    database: Database,
    moment: Moment,
    table: str,
    *,
    source: str | None = None,
    dandiset_ids: Collection[str] | None = None,
) -> Iterator[PastRow]:
    """Yield the rows that a table or view of the archive had at a moment, in no order.

    Without `dandiset_ids` those of dandisets that the mirror did not hold completely yet are left out. Raises
    `QueryRefused` for a named dandiset of which it did not, and where the moment is before the first sync.
    """
    kind = KINDS.get(table)
    if kind is None:
        raise QueryRefused(f"the past of {table!r} is not kept; it is of {', '.join(KINDS)}")
    with reading_past(database, instant_of(moment)) as past:
        for alias in _sources(past, kind.part, source, dandiset_ids, instant_of(moment)):
            for row in past.rows(kind, alias, dandiset_ids):
                if table != "draft_assets" or row["version"] == "draft":
                    yield row


@contextmanager
def past_mirror(
    database: Database,
    moment: Moment,
    *,
    source: str | None = None,
    dandiset_ids: Collection[str] | None = None,
    assets: bool = True,
) -> Iterator[str]:
    """Make a mirror of what was held at a moment, in a temporary file; lend its URL.

    `assets=False` leaves the assets out. Raises `QueryRefused` like `past_rows`.
    """
    at = instant_of(moment)
    kinds = (DANDISET, VERSION, *((ASSET,) if assets else ()))
    with tempfile.TemporaryDirectory(prefix="dandi-past-") as folder:
        url = f"sqlite:///{Path(folder) / 'past.sqlite'}"
        with open_mirror(url) as mirror:
            with reading_past(database, at) as past:
                for kind in kinds:
                    for alias in _sources(past, kind.part, source, dandiset_ids, at):
                        _copy(mirror, past.rows(kind, alias, dandiset_ids), kind, alias)
            mirror.complete()
        yield url


def _copy(mirror: Mirror, rows: Iterator[PastRow], kind: RecordKind, source: str) -> None:
    """Store rows as a sync would, those of a dandiset at a time."""
    partition = RECORD_TABLES[kind.name].partition
    for dandiset_id, held in groupby(rows, key=lambda row: str(row[partition])):
        with mirror.session(source, dandiset_id, (kind.part,)) as session:
            for batch in _in_batches(held):
                session.stage([_record(kind, row) for row in batch])
            session.commit(run_id="past", tokens={kind.part: "past"})


def _record(kind: RecordKind, row: PastRow) -> Record:
    table = RECORD_TABLES[kind.name]
    key = tuple(row[name] for name in table.key)
    columns = {name: row.get(name) for name in table.values}
    if "visible" in columns:
        columns["visible"] = bool(columns["visible"])
    rules = FACET_SCHEMA.rules_of([kind.name])
    derive = rules.derive.get(kind.name) if rules else None
    facets = derive(key, columns, stored_json(row.get("metadata"))) if derive else None
    return Record(kind, key, columns, row.get("metadata"), row["content_hash"], facets)


def _sources(
    past: Past, part: str, source: str | None, dandiset_ids: Collection[str] | None, moment: str
) -> Sequence[str]:
    """Return the sources to read, having refused what the mirror cannot know."""
    since = {key: at for key, at in past.first_syncs(part).items() if source in (None, key[0])}
    if not since:
        raise QueryRefused("the mirror holds no dandiset completely yet; dandi-pipeline sync reads them")
    for dandiset_id in dandiset_ids or ():
        starts = [at for (_, partition), at in since.items() if partition == dandiset_id]
        if not starts:
            raise QueryRefused(f"the mirror has never held dandiset {dandiset_id} completely")
        if min(starts) > moment:
            raise QueryRefused(
                f"dandiset {dandiset_id} was first held completely at {min(starts)}, or its changes until then were"
                f" pruned; nothing is known of {moment}, before it"
            )
    if min(since.values()) > moment:
        raise QueryRefused(
            f"the first sync ended at {min(since.values())}, or the changes until then were pruned; nothing is known of"
            f" {moment}, before it"
        )
    return sorted({alias for alias, _ in since})


def _in_batches(rows: Iterator[PastRow]) -> Iterator[list[PastRow]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _read(text: str) -> datetime:
    try:
        found = written_moment(text)
    except (ValueError, OverflowError):
        found = None
    if found is None:
        raise QueryRefused(f"{text!r} is no moment; write 2026-01-31 or 2026-01-31T12:00:00Z")
    return found
