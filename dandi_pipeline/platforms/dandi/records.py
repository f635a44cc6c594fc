"""Turns the archive's JSON into records; every field is checked here and nowhere else."""

from collections.abc import Mapping
from typing import Any

from dandi_pipeline.canonical import canonical, digest_of
from dandi_pipeline.errors import UnexpectedPayload
from dandi_pipeline.http.payload import instant, integer, mapping, optional_text, text
from dandi_pipeline.model import Column, Derive, Fingerprint, Key, Record, RecordKind
from dandi_pipeline.platforms.dandi.facets import asset_facets, version_facets

DANDISETS = "dandisets"
ASSETS = "assets"

DANDISET = RecordKind("dandiset", DANDISETS, key=(), fingerprint=("draft_modified",))
VERSION = RecordKind(
    "version", DANDISETS, key=("version",), fingerprint=("modified", "status", "name", "asset_count", "size")
)
ASSET = RecordKind(
    "asset", ASSETS, key=("version", "path"), fingerprint=("asset_id", "modified", "size", "sha256", "zarr")
)

DRAFT = "draft"

Json = Mapping[str, Any]


def dandiset_record(info: Json, *, where: str) -> Record:
    """Make the dandiset's record from its draft's `info` answer, which nests the dandiset's own row.

    The draft's `modified` is not content: background validation moves it with nothing else changed.
    """
    dandiset = mapping(info, "dandiset", where=where)
    content: dict[str, Column] = {
        "name": text(info, "name", where=where),
        "embargo_status": text(dandiset, "embargo_status", where=where),
        "created": instant(dandiset, "created", where=where),
        "asset_count": integer(info, "asset_count", where=where),
        "size": integer(info, "size", where=where),
        "visible": True,
        "contact_person": text(dandiset, "contact_person", where=where),
    }
    moving = {"draft_modified": instant(info, "modified", where=where)}
    return _record(DANDISET, (), content, None, moving, where=where)


def version_record(row: Json, metadata: Json, *, where: str) -> Record:
    """Make a version's record from its row and its metadata.

    `modified` is not content: a draft's moves with validation, a published one's when its DOI is stored.
    """
    content: dict[str, Column] = {
        "status": text(row, "status", where=where),
        "name": text(row, "name", where=where),
        "created": instant(row, "created", where=where),
        "asset_count": integer(row, "asset_count", where=where),
        "size": integer(row, "size", where=where),
        "license": _license(metadata),
        "doi": _text_or_none(metadata.get("doi")),
    }
    moving = {"modified": instant(row, "modified", where=where)}
    key = (text(row, "version", where=where),)
    return _record(VERSION, key, content, metadata, moving, where=where, derive=version_facets)


def asset_record(
    version: str, row: Json, *, where: str, known: Mapping[Key, Fingerprint] | None = None, derived: bool = True
) -> Record:
    """Make an asset's record from a listing row with metadata (or an asset's `info` answer, the same shape).

    Facets are derived, if at all, unless `known` says that the mirror holds the very same record.
    """
    metadata = mapping(row, "metadata", where=where)
    blob, zarr = optional_text(row, "blob", where=where), optional_text(row, "zarr", where=where)
    if (blob is None) == (zarr is None):
        raise UnexpectedPayload(
            f"{where}: an asset is either a blob or a zarr, not both or neither; nothing was written"
        )
    digest = metadata.get("digest")
    digests = digest if isinstance(digest, dict) else {}
    content: dict[str, Column] = {
        "asset_id": text(row, "asset_id", where=where),
        "size": integer(row, "size", where=where),
        "encoding_format": _text_or_none(metadata.get("encodingFormat")),
        "sha256": _text_or_none(digests.get("dandi:sha2-256")),
        "dandi_etag": _text_or_none(digests.get("dandi:dandi-etag")),
        "blob": blob,
        "zarr": zarr,
        "created": instant(row, "created", where=where),
        "modified": instant(row, "modified", where=where),
    }
    key = (version, text(row, "path", where=where))
    derive = asset_facets if derived else None
    return _record(ASSET, key, content, metadata, {}, where=where, derive=derive, known=known)


def _record(
    kind: RecordKind,
    key: Key,
    content: dict[str, Column],
    metadata: Json | None,
    moving: dict[str, str],
    *,
    where: str,
    derive: Derive | None = None,
    known: Mapping[Key, Fingerprint] | None = None,
) -> Record:
    try:
        document = b"" if metadata is None else canonical(metadata)
    except UnexpectedPayload as error:
        raise UnexpectedPayload(f"{where}, {kind.name} {'/'.join(key)!r}: {error}") from None
    content_hash = digest_of(canonical([*key, *content.values()]), document)
    is_known = known is not None and known.get(key, (None,))[0] == content_hash
    return Record(
        kind=kind,
        key=key,
        columns={**content, **moving},
        metadata=None if metadata is None else document.decode(),
        content_hash=content_hash,
        facets=None if derive is None or is_known else derive(key, content, metadata),
    )


def _license(metadata: Json) -> str | None:
    """Return the licences as one text: DANDI keeps a list, nearly always of one."""
    licenses = metadata.get("license")
    if isinstance(licenses, list):
        return ", ".join(item for item in licenses if isinstance(item, str)) or None
    return _text_or_none(licenses)


def _text_or_none(value: Any) -> str | None:
    """Metadata is free-form: a typed column takes text and nothing else; the JSON beside it has the rest."""
    return value if isinstance(value, str) else None
