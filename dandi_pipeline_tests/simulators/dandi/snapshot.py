"""What a perfect mirror of the archive would hold, as plain data.

A snapshot is one dictionary, dandisets by identifier::

    {"000003": {
        "identifier", "created", "modified", "contact_person", "embargo_status",     # as GET /dandisets/ says
        "star_count", "is_starred", "most_recent_published_version", "draft_version",
        "versions": {
            "draft": {
                "version", "name", "asset_count", "active_uploads", "size", "status", "created", "modified",
                "dandiset", "release_notes", "asset_validation_errors", "version_validation_errors",
                "metadata", "contact_person",                                        # as …/info/ says
                "assets": {
                    "sub-1/sub-1.nwb": {
                        "asset_id", "blob", "zarr", "path", "size", "created", "modified",
                        "metadata",                                                  # as metadata=true says
                    }}}}}}

Instants are spelled as the API spells them. Dandisets that the viewer may not read are absent. The data is a
copy: what happens to the world afterwards does not show in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from .records import DRAFT, OPEN, Dandiset, User, Version
from .views import full_asset_row, listing_row, version_info

if TYPE_CHECKING:
    from .world import World

Snapshot = dict[str, dict[str, Any]]


def take_snapshot(world: World, user: User | None, published_assets: bool) -> Snapshot:
    """Copy what `user` may read; without `published_assets`, only drafts have their assets listed."""
    shown = {
        dandiset.identifier: _dandiset(dandiset, published_assets)
        for dandiset in world.dandisets.values()
        if dandiset.embargo_status == OPEN or world.sees(user, dandiset.identifier)
    }
    copied: Snapshot = orjson.loads(orjson.dumps(shown))
    return copied


def _dandiset(dandiset: Dandiset, published_assets: bool) -> dict[str, Any]:
    return listing_row(dandiset) | {
        "versions": {
            version.version: _version(dandiset, version, published_assets or version.version == DRAFT)
            for version in dandiset.versions.values()
        }
    }


def _version(dandiset: Dandiset, version: Version, with_assets: bool) -> dict[str, Any]:
    assets = version.assets if with_assets else {}
    return version_info(dandiset, version) | {
        "assets": {path: orjson.Fragment(full_asset_row(asset)) for path, asset in assets.items()}
    }
