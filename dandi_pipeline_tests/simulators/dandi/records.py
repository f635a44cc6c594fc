"""The archive's rows as the simulator holds them: dandisets, their versions, and assets that versions share."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import orjson

API_URL = "https://api.dandiarchive.org/api"
BUCKET_URL = "https://dandiarchive.s3.amazonaws.com"

OPEN, EMBARGOED, UNEMBARGOING = "OPEN", "EMBARGOED", "UNEMBARGOING"
DRAFT = "draft"
VERSION_PATTERN = r"(?:0\.\d{6}\.\d{4}|draft)"

Metadata = Mapping[str, Any]
Instant = datetime | str

_BLOB_URL = re.compile(r"/blobs/[^/]{3}/[^/]{3}/([0-9a-f-]{36})")


def spell(instant: datetime) -> str:
    """Spell an instant as the API does: UTC, `Z`, microseconds, the fraction dropped when it is zero."""
    return instant.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def as_instant(value: Instant) -> datetime:
    """Read an instant in any ISO spelling; one without a zone is UTC."""
    instant = value if isinstance(value, datetime) else datetime.fromisoformat(value.replace("Z", "+00:00"))
    return instant.replace(tzinfo=timezone.utc) if instant.tzinfo is None else instant


@dataclass(frozen=True)
class User:
    """Somebody with a token; a superuser sees every embargoed dandiset."""

    name: str
    superuser: bool = False


@dataclass(eq=False)
class Asset:
    """One asset row. `metadata_json` is the complete metadata as it is served, computed keys included.

    `counted` is the size with which its versions count it, where that is not `size`: the sum of paths, from which a
    version's size is taken, follows a zarr when it is ingested, not when it is opened again (dandi-archive,
    `api/asset_paths.py`, `zarr/models.py`).
    """

    asset_id: str
    dandiset_id: str
    path: str
    size: int
    created: datetime
    modified: datetime
    blob: str | None
    zarr: str | None
    metadata_json: bytes = field(repr=False)
    embargoed: bool = False
    counted: int | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """A fresh copy of the metadata."""
        loaded: dict[str, Any] = orjson.loads(self.metadata_json)
        return loaded

    @property
    def published(self) -> bool:
        """Whether some version was published with it."""
        return "datePublished" in self.metadata

    @classmethod
    def from_json(cls, dandiset_id: str, row: Mapping[str, Any]) -> "Asset":
        """Read a recorded asset; what old recordings lack (`created`, the blob) is derived from the rest."""
        metadata = row["metadata"]
        zarr = row.get("zarr")
        return cls(
            asset_id=row["asset_id"],
            dandiset_id=dandiset_id,
            path=row["path"],
            size=row["size"],
            created=as_instant(row.get("created") or row["modified"]),
            modified=as_instant(row["modified"]),
            blob=None if zarr else row.get("blob") or _blob_of(row["asset_id"], metadata),
            zarr=zarr,
            metadata_json=orjson.dumps(metadata),
        )


@dataclass(eq=False)
class Version:
    """A draft or published version. `assets` maps each path to its asset; published ones share them."""

    version: str
    status: str
    created: datetime
    modified: datetime
    metadata: Metadata = field(repr=False)
    assets: dict[str, Asset] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The name in the metadata, which upstream keeps equal to the row's."""
        return str(self.metadata.get("name", ""))

    @property
    def size(self) -> int:
        """Bytes of all assets as they were counted last, which is not what they add up to now."""
        return sum(asset.size if asset.counted is None else asset.counted for asset in self.assets.values())

    @property
    def contact_person(self) -> str:
        """The first contributor who is a contact person, or nobody: an empty string."""
        for contributor in listed(self.metadata.get("contributor")):
            if "dcite:ContactPerson" in (contributor.get("roleName") or ()):
                return str(contributor.get("name") or "")
        return ""


@dataclass(eq=False)
class Dandiset:
    """A dandiset and its versions, the draft first and the others as they were created."""

    identifier: str
    created: datetime
    modified: datetime
    embargo_status: str
    owners: set[str]
    versions: dict[str, Version]

    @property
    def draft(self) -> Version:
        """The one draft that every dandiset has."""
        return self.versions[DRAFT]

    @property
    def most_recent_published(self) -> Version | None:
        """The published version created last, as the list chooses it (by its id: `api/views/dandiset.py`)."""
        latest = next(reversed(self.versions.values()))
        return None if latest.version == DRAFT else latest

    @property
    def last_saved_published(self) -> Version | None:
        """The published version modified last, as the dandiset's own page chooses it (`api/models/dandiset.py`)."""
        published = [version for version in self.versions.values() if version.version != DRAFT]
        return max(published, key=lambda version: version.modified, default=None)


def listed(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list, or a single one as a list: metadata that is not validated may have either."""
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict)]


def _blob_of(asset_id: str, metadata: Metadata) -> str:
    """The blob that the download address names, else one derived from the asset's id."""
    for url in metadata.get("contentUrl", ()):
        if found := _BLOB_URL.search(url):
            return found.group(1)
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"blob of {asset_id}"))
