"""What of the mirror is public: the tables and views that people may ask, and what each column means."""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from dandi_pipeline.mirror.facets import ALL_RULES, FACET_METADATA
from dandi_pipeline.mirror.schema import METADATA
from dandi_pipeline.platforms.facets import FacetTable, PublicView, RollUp

PRIVATE = frozenset(
    {
        "change_log",
        "dandiset_texts",
        "facet_states",
        "first_syncs",
        "mirror_clock",
        "mirror_schema",
        "mirror_statistics",
        "partitions",
        "rate_budgets",
        "shapes",
    }
)
"""The mirror's own tables: what it still has to do, what failed and why, what it may still send."""

BEHIND_VIEWS = ("changes",)
"""The public views that read a private table."""


@dataclass(frozen=True)
class Relation:
    """A public table or view: what one row is, and what each column means."""

    row: str
    columns: Mapping[str, str]


_WHICH = {"source": "alias of the source", "dandiset_id": "six digits"}
_FILE = {
    "path": "path within the dandiset",
    "asset_id": "the archive's id of the asset",
    "size": "bytes",
    "encoding_format": "media type",
    "sha256": "digest of the content; null for a zarr",
    "dandi_etag": "the archive's own digest",
    "blob": "id of the blob; null for a zarr",
    "zarr": "id of the zarr; null for a blob",
    "created": "when it was created (UTC)",
    "modified": "when it was last modified (UTC)",
    "metadata": "the archive's metadata, JSON",
}

_RECORDS = {
    "dandisets": Relation(
        "a dandiset",
        {
            **_WHICH,
            "name": "name of the draft",
            "embargo_status": "OPEN, EMBARGOED or UNEMBARGOING",
            "created": "when it was created (UTC)",
            "draft_modified": "when the draft was last modified or validated (UTC)",
            "asset_count": "assets of the draft, as the archive counts them",
            "size": "bytes of the draft, as the archive counts them",
            "contact_person": "name of the contact person",
            "visible": "whether the archive shows it to this mirror",
        },
    ),
    "versions": Relation(
        "a version of a dandiset; the draft is the version 'draft'",
        {
            **_WHICH,
            "version": "'draft' or a number such as 0.210812.1448",
            "status": "what validation found",
            "name": "name of the version",
            "created": "when it was created (UTC)",
            "modified": "when it was last modified or validated (UTC)",
            "asset_count": "assets, as the archive counts them",
            "size": "bytes, as the archive counts them",
            "license": "licence, e.g. spdx:CC-BY-4.0",
            "doi": "DOI of a published version",
            "metadata": "the archive's metadata, JSON",
        },
    ),
    "draft_assets": Relation("an asset of a draft", {**_WHICH, **_FILE}),
    "assets": Relation("an asset of any version", {**_WHICH, "version": "'draft' or a number", **_FILE}),
    "version_assets": Relation(
        "an asset of any version, by its id",
        {**_WHICH, "version": "'draft' or a number", "path": _FILE["path"], "asset_id": _FILE["asset_id"]},
    ),
    "changes": Relation(
        "a change of a record",
        {
            "sequence": "number of the change; later changes have higher ones",
            "at": "when the mirror took it over (UTC)",
            "run_id": "the sync that did",
            "source": "alias of the source",
            "partition": "the dandiset, data source or table",
            "record": "dandiset, version, asset, page, record or item",
            "scope": "of an asset its version",
            "key": "of an asset its path, of a version its number",
            "kind": "insert, update or delete",
            "before": "the row before, JSON",
            "after": "the row after, JSON",
        },
    ),
    "notion_pages": Relation("a Notion page", {"source": "alias of the source", "metadata": "Notion's own JSON"}),
    "airtable_records": Relation(
        "an Airtable record", {"source": "alias of the source", "metadata": "Airtable's own JSON"}
    ),
    "items": Relation("a record of any other platform", {"source": "alias of the source", "metadata": "its own JSON"}),
}


def _facets() -> Mapping[str, Relation]:
    """Return what the platforms describe of their facets."""
    described: list[PublicView | FacetTable | RollUp] = []
    for rules in ALL_RULES:
        described += [*rules.views, *rules.tables, *rules.roll_ups]
    return {
        each.name: Relation(each.meaning, {column.name: column.meaning for column in each.columns})
        for each in described
    }


PUBLIC: Mapping[str, Relation] = {**_RECORDS, **_facets()}
"""Everything that people may ask, but for the views that users' own schemas make."""


def public_relations(connection: sa.Connection) -> tuple[str, ...]:
    """Return the names of what is public in a mirror: `PUBLIC`, and the views that users' own schemas make."""
    shaped = connection.execute(sa.text("SELECT view_name FROM shapes ORDER BY view_name")).scalars()
    return (*PUBLIC, *shaped)


def readable_relations(public: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a public view may read beneath it: every table of the mirror but its own."""
    return tuple(sorted({*public, *METADATA.tables, *FACET_METADATA.tables} - PRIVATE))
