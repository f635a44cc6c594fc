"""The data dictionary: every table and view that people query, what it is made of, and the meaning of each column.

`public_tables` makes it from the schema; `docs/data-dictionary.md` shows it (`to_markdown`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from dandi_pipeline.mirror.facets import FacetSchema
from dandi_pipeline.mirror.schema import METADATA, RECORD_TABLES, Instant, JsonText
from dandi_pipeline.model import FacetColumn, FacetRules, FacetTable


@dataclass(frozen=True, slots=True)
class PublicColumn:
    """One column: what it means, an example, and its path in the platform's metadata where it comes from there.

    `type` is "text", "integer", "number", "boolean", "instant" or "json".
    """

    name: str
    meaning: str
    example: str = ""
    path: str = ""
    type: str = "text"


@dataclass(frozen=True, slots=True)
class PublicTable:
    """One table or view that people query.

    `made_of` names the tables and views from which its rows follow; it is empty for records, which platforms deliver.
    """

    name: str
    meaning: str
    columns: tuple[PublicColumn, ...]
    made_of: tuple[str, ...] = ()
    is_view: bool = False

    def column(self, name: str) -> PublicColumn:
        """Return one column by its name."""
        return next(column for column in self.columns if column.name == name)


INTERNAL = frozenset(
    [
        "change_log",
        "dandiset_texts",
        "dandiset_words",
        "facet_states",
        "first_syncs",
        "mirror_clock",
        "mirror_statistics",
        "partitions",
        "rate_budgets",
        "schemas",
        "shapes",
    ]
)
"""The mirror's own tables, which nobody is to build on."""

_SOURCE = PublicColumn("source", "the source's alias", "dandi")
_DANDISET = PublicColumn("dandiset_id", "the dandiset's six digits", "000008")
_VERSION = PublicColumn("version", "`draft`, or a published version", "draft")
_HASH = PublicColumn("content_hash", "tells two contents apart", "0e5751c026e543b2e8ab2eb06099daa1")
_DOCUMENT = PublicColumn("metadata", "the complete metadata, to the letter", '{"schemaKey": "Asset", …}')
_ASSET = (
    PublicColumn("path", "the asset's path", "sub-1/sub-1_ecephys.nwb", "path"),
    PublicColumn("asset_id", "the asset's identifier", "d3b1b5a6-5f0c-4a4f-8d3f-0d9d7d3c0f51", "identifier"),
    PublicColumn("size", "bytes", "1048576", "contentSize"),
    PublicColumn("encoding_format", "the file's media type", "application/x-nwb", "encodingFormat"),
    PublicColumn("sha256", "the file's SHA-256, once the archive has computed it", "9f86d0…", "digest.dandi:sha2-256"),
    PublicColumn("dandi_etag", "the file's DANDI ETag", "b1946ac9…-1", "digest.dandi:dandi-etag"),
    PublicColumn("blob", "the blob's identifier; null for a zarr", "0c8a…", ""),
    PublicColumn("zarr", "the zarr's identifier; null for a blob", "7d1f…", ""),
    PublicColumn("created", "when the asset was created", "2022-01-26T18:52:00.000000Z"),
    PublicColumn("modified", "when the asset was last modified", "2022-01-26T18:52:00.000000Z"),
    _DOCUMENT,
)
_CELLS = PublicColumn("cells", "the values by property, as JSON", '{"fld1": "Mouse 7"}')
_CREATED = PublicColumn("created", "when it was created", "2024-03-11T14:02:51.000000Z")


def _table(name: str, meaning: str, *columns: PublicColumn) -> PublicTable:
    return PublicTable(name, meaning, columns)


_RECORDS = (
    _table(
        "dandisets",
        "one row a dandiset",
        _SOURCE,
        _DANDISET,
        PublicColumn("name", "the draft's name", "Physiological properties of CA1", "name"),
        PublicColumn("embargo_status", "OPEN, EMBARGOED or UNEMBARGOING", "OPEN"),
        PublicColumn("created", "when the dandiset was created", "2020-03-15T22:56:55.655000Z"),
        PublicColumn("draft_modified", "when the draft was last modified", "2022-01-26T18:52:00.000000Z"),
        PublicColumn("asset_count", "assets of the draft, as the archive says", "101"),
        PublicColumn("size", "bytes of the draft, as the archive says", "2559248010229"),
        PublicColumn("contact_person", "the contact person, as the archive says", "Buzsáki, György"),
        PublicColumn("visible", "false while the archive hides the dandiset from the source's key", "true"),
        _HASH,
    ),
    _table(
        "versions",
        "one row a version, the draft included",
        _SOURCE,
        _DANDISET,
        _VERSION,
        PublicColumn("status", "Pending, Validating, Valid, Invalid, Publishing or Published", "Valid"),
        PublicColumn("name", "the version's name", "Physiological properties of CA1", "name"),
        PublicColumn("created", "when the version was created", "2022-01-26T18:52:00.000000Z"),
        PublicColumn("modified", "when the version was last modified", "2022-01-26T18:52:00.000000Z"),
        PublicColumn("asset_count", "assets of the version, as the archive says", "101"),
        PublicColumn("size", "bytes of the version, as the archive says", "2559248010229"),
        PublicColumn("license", "the licences as written, comma-separated", "spdx:CC-BY-4.0", "license[]"),
        PublicColumn("doi", "the version's DOI", "10.48324/dandi.000008/0.220126.1852", "doi"),
        _DOCUMENT,
        _HASH,
    ),
    _table("assets", "one row an asset of a version", _SOURCE, _DANDISET, _VERSION, *_ASSET, _HASH),
    _table("draft_assets", "the assets of drafts, with their metadata", _SOURCE, _DANDISET, *_ASSET),
    _table("version_assets", "which assets each version has", _SOURCE, _DANDISET, _VERSION, *_ASSET[:2]),
    _table(
        "changes",
        "the change feed: every insert, update and delete of every record",
        PublicColumn("sequence", "the change's number, in the order of commits", "90125"),
        PublicColumn("at", "when the mirror committed it", "2026-03-11T14:02:51.000000Z"),
        PublicColumn("run_id", "the run that did", "2f1c…"),
        _SOURCE,
        PublicColumn("partition", "the dandiset, data source or table", "000008"),
        PublicColumn("record", "the kind of record", "asset"),
        PublicColumn("scope", "the version that an asset belongs to; empty for other kinds", "draft"),
        PublicColumn("key", "the record within its partition", "sub-1/sub-1_ecephys.nwb"),
        PublicColumn("kind", "insert, update or delete", "update"),
        PublicColumn("before", "the row before the change, as JSON; null for an insert", '{"path": …}'),
        PublicColumn("after", "the row after it, as JSON; null for a delete", '{"path": …}'),
    ),
    _table(
        "notion_pages",
        "one row a Notion page",
        _SOURCE,
        PublicColumn("data_source_id", "the data source", "248104cd-477e-80af-bc30-000bd28de8f9"),
        PublicColumn("page_id", "the page's identifier", "59833787-2cf9-4fdf-8782-e53db20768a5", "id"),
        PublicColumn("created", "when the page was created", "2024-03-11T14:02:00.000000Z", "created_time"),
        PublicColumn("last_edited", "when it was last edited", "2024-03-11T14:02:00.000000Z", "last_edited_time"),
        PublicColumn("title", "the page's title", "Bug bash", "properties.*.title"),
        PublicColumn("url", "the page's address", "https://www.notion.so/…", "url"),
        PublicColumn("in_trash", "whether the page is in the trash", "false", "in_trash"),
        _CELLS,
        _DOCUMENT,
        _HASH,
    ),
    _table(
        "airtable_records",
        "one row an Airtable record",
        _SOURCE,
        PublicColumn("table_id", "the table", "tblwTlVO6e1gfsLcv"),
        PublicColumn("record_id", "the record's identifier", "rec560UJdUtocSouk", "id"),
        _CREATED,
        _CELLS,
        PublicColumn("errors", "the cells whose formulas failed, as JSON", '{"fld2": "#ERROR!"}'),
        _DOCUMENT,
        _HASH,
    ),
    _table(
        "items",
        "one row a record of any other platform",
        _SOURCE,
        PublicColumn("partition", "the partition", "samples"),
        PublicColumn("item_id", "the record's identifier", "17"),
        PublicColumn("modified", "when it was last modified", "2024-03-11T14:02:51.000000Z"),
        _CELLS,
        _DOCUMENT,
        _HASH,
    ),
)


_VIEWS: Mapping[str, tuple[str, ...]] = {
    "draft_assets": ("assets",),
    "version_assets": ("assets",),
    "changes": tuple(table.name for table in _RECORDS if table.name in METADATA.tables),
}
"""Of which tables the views over records are made."""

_FEED_TYPES = {"sequence": "integer", "at": "instant", "before": "json", "after": "json"}


def public_tables(facets: FacetSchema) -> Mapping[str, PublicTable]:
    """Return every table and view that people query, by its name."""
    derived = (table for rules in facets.rules for table in _facet_tables(rules, facets.metadata))
    return {table.name: table for table in (*map(_records, _RECORDS), *derived)}


def _records(table: PublicTable) -> PublicTable:
    """Add to a table or view of records what the schema says."""
    made_of = _VIEWS.get(table.name, ())
    types = _FEED_TYPES if table.name == "changes" else _types(METADATA.tables[(*made_of, table.name)[0]])
    return replace(table, columns=_typed(table.columns, types), made_of=made_of, is_view=bool(made_of))


def _typed(columns: Iterable[PublicColumn], types: Mapping[str, str]) -> tuple[PublicColumn, ...]:
    return tuple(replace(column, type=types.get(column.name, "text")) for column in columns)


_TYPE_NAMES: Sequence[tuple[type[sa.types.TypeEngine[Any]], str]] = (
    (Instant, "instant"),
    (JsonText, "json"),
    (sa.Boolean, "boolean"),
    (sa.Integer, "integer"),
    (sa.Numeric, "number"),
)


def _types(table: sa.Table) -> dict[str, str]:
    return {
        column.name: next((name for kind, name in _TYPE_NAMES if isinstance(column.type, kind)), "text")
        for column in table.columns
    }


def _facet_tables(rules: FacetRules, metadata: sa.MetaData) -> Iterator[PublicTable]:
    described = {column.name: _public(column) for column in rules.identity}
    for view in rules.views:
        yield PublicTable(
            view.name, view.meaning, tuple(map(_public, view.columns)), read_by(view.select), is_view=True
        )
    for table in rules.tables:
        columns = _described(metadata.tables[table.name], {**described, **_key(table), **_own(table.columns)})
        yield PublicTable(table.name, table.meaning, columns, _derived_from(rules, table))
    for sum_of in rules.roll_ups:
        columns = _described(metadata.tables[sum_of.name], {**described, **_own(sum_of.columns)})
        yield PublicTable(sum_of.name, sum_of.meaning, columns, read_by(sum_of.select))


def read_by(select: str) -> tuple[str, ...]:
    """Return the tables and views that a SELECT of facet rules reads, which are written with FROM and JOIN alone."""
    return tuple(dict.fromkeys(re.findall(r"\b(?:FROM|JOIN)\s+(\w+)", select)))


def _derived_from(rules: FacetRules, table: FacetTable) -> tuple[str, ...]:
    """Return the table of the records of which a facet speaks, or the shared table that it belongs to."""
    if table.of:
        return (RECORD_TABLES[table.of].table.name if table.of in RECORD_TABLES else table.of,)
    # A shared row is derived from the records whose rows refer to it, by way of other shared rows or at once.
    referrers = [each for each in rules.tables if any(column.shared == table.name for column in each.columns)]
    return tuple(dict.fromkeys(name for each in referrers for name in _derived_from(rules, each)))


def _key(table: FacetTable) -> dict[str, PublicColumn]:
    return {table.key: PublicColumn(table.key, "the row's key, within this mirror", "17")} if table.key else {}


def _own(columns: Iterable[FacetColumn]) -> dict[str, PublicColumn]:
    return {column.name: _public(column) for column in columns}


def _described(table: sa.Table, meanings: Mapping[str, PublicColumn]) -> tuple[PublicColumn, ...]:
    return _typed((meanings[column.name] for column in table.columns), _types(table))


def _public(column: FacetColumn) -> PublicColumn:
    return PublicColumn(column.name, column.meaning, column.example, column.path, column.type)


def to_markdown(tables: Iterable[PublicTable]) -> str:
    """Return the dictionary as sections of Markdown, one a table."""
    return "\n".join(line for table in tables for line in _section(table))


def _section(table: PublicTable) -> Iterator[str]:
    yield f"## {table.name}\n"
    yield f"{table.meaning[0].upper()}{table.meaning[1:]}.\n"
    yield "| column | meaning | example | path in the metadata |"
    yield "|---|---|---|---|"
    for column in table.columns:
        yield f"| `{column.name}` | {column.meaning} | {_code(column.example)} | {_code(column.path)} |"
    yield ""


def _code(text: str) -> str:
    return f"`{text}`" if text else ""
