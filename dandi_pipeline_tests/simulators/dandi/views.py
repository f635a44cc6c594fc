"""The shapes in which the API shows rows: which keys, in which order, spelled how."""

from typing import Any

import orjson

from .records import Asset, Dandiset, Version, spell

Row = dict[str, Any]


def asset_row(asset: Asset) -> Row:
    return {
        "asset_id": asset.asset_id,
        "blob": asset.blob,
        "zarr": asset.zarr,
        "path": asset.path,
        "size": asset.size,
        "created": spell(asset.created),
        "modified": spell(asset.modified),
    }


def full_asset_row(asset: Asset) -> bytes:
    """The row with its metadata, serialised without parsing the metadata."""
    return orjson.dumps(asset_row(asset) | {"metadata": orjson.Fragment(asset.metadata_json)})


def dandiset_row(dandiset: Dandiset) -> Row:
    return {
        "identifier": dandiset.identifier,
        "created": spell(dandiset.created),
        "modified": spell(dandiset.modified),
        "contact_person": dandiset.draft.contact_person,
        "embargo_status": dandiset.embargo_status,
        "star_count": 0,
        "is_starred": False,
    }


def listing_row(dandiset: Dandiset) -> Row:
    """A row of the dandiset listing, with short rows of its newest published version and its draft."""
    published = dandiset.most_recent_published
    return dandiset_row(dandiset) | {
        "most_recent_published_version": published and _short_version_row(published),
        "draft_version": _short_version_row(dandiset.draft),
    }


def dandiset_detail(dandiset: Dandiset) -> Row:
    published = dandiset.last_saved_published
    return dandiset_row(dandiset) | {
        "most_recent_published_version": published and _version_row(published) | {"release_notes": ""},
        "draft_version": _version_row(dandiset.draft) | {"release_notes": ""},
    }


def version_row(dandiset: Dandiset, version: Version) -> Row:
    """A row of the version listing."""
    return _version_row(version) | {"dandiset": dandiset_row(dandiset), "release_notes": ""}


def version_info(dandiset: Dandiset, version: Version) -> Row:
    return version_row(dandiset, version) | {
        "asset_validation_errors": [],
        "version_validation_errors": [],
        "metadata": version.metadata,
        "contact_person": version.contact_person,
    }


def _short_version_row(version: Version) -> Row:
    return {
        "version": version.version,
        "name": version.name,
        "asset_count": len(version.assets),
        "size": version.size,
        "status": version.status,
        "created": spell(version.created),
        "modified": spell(version.modified),
    }


def _version_row(version: Version) -> Row:
    return {
        "version": version.version,
        "name": version.name,
        "asset_count": len(version.assets),
        "active_uploads": 0,
        "size": version.size,
        "status": version.status,
        "created": spell(version.created),
        "modified": spell(version.modified),
    }
