"""What the archive computes into metadata by itself, for assets and for versions."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from .records import API_URL, BUCKET_URL, DRAFT, EMBARGOED, OPEN, Metadata

SCHEMA_VERSION = "0.7.0"

STRIPPED_FROM_ASSETS = frozenset(
    [
        "id",
        "access",
        "path",
        "identifier",
        "contentUrl",
        "contentSize",
        "digest",
        "@context",
        "datePublished",
        "publishedBy",
    ]
)
"""Keys that the archive fills in itself: what a client sends under these names is not kept."""

_ACCESS = {OPEN: "dandi:OpenAccess", EMBARGOED: "dandi:EmbargoedAccess"}
_SOFTWARE = {
    "id": "urn:uuid:0fca6ff4-84ca-42fe-bbed-85d3fb4291f0",
    "identifier": "RRID:SCR_017571",
    "name": "DANDI API",
    "schemaKey": "Software",
    "version": "0.1.0",
}


def access(embargoed: bool) -> list[dict[str, str]]:
    return [{"schemaKey": "AccessRequirements", "status": _ACCESS[EMBARGOED if embargoed else OPEN]}]


def content_url(asset_id: str, blob: str | None, zarr: str | None) -> list[str]:
    stored = f"blobs/{blob[:3]}/{blob[3:6]}/{blob}" if blob else f"zarr/{zarr}/"
    return [f"{API_URL}/assets/{asset_id}/download/", f"{BUCKET_URL}/{stored}"]


def context(schema_version: str) -> str:
    return f"https://raw.githubusercontent.com/dandi/schema/master/releases/{schema_version}/context.json"


def publication(at: datetime, activity: str) -> dict[str, Any]:
    """The two keys that publishing adds to a version and to each of its assets."""
    return {
        "datePublished": at.isoformat(),
        "publishedBy": {
            "id": f"urn:uuid:{activity}",
            "name": "DANDI publish",
            "startDate": at.isoformat(),
            "endDate": at.isoformat(),
            "schemaKey": "PublishActivity",
            "wasAssociatedWith": [_SOFTWARE],
        },
    }


def version_metadata(
    entered: Metadata, *, identifier: str, version: str, created: datetime, embargoed: bool
) -> dict[str, Any]:
    """Complete what a user entered by what the archive knows of the version."""
    schema_version = entered.get("schemaVersion", SCHEMA_VERSION)
    url = f"https://dandiarchive.org/dandiset/{identifier}/{version}"
    return {
        "dateCreated": created.isoformat(),
        **entered,
        "@context": context(schema_version),
        "schemaVersion": schema_version,
        "schemaKey": "Dandiset",
        "identifier": f"DANDI:{identifier}",
        "id": f"DANDI:{identifier}/{version}",
        "version": version,
        "url": url,
        "repository": "https://dandiarchive.org",
        "access": entered.get("access", access(embargoed)),
        "citation": _citation(entered, version, url, created),
        "assetsSummary": entered.get("assetsSummary", summary(())),
        "manifestLocation": [_manifest_location(identifier, version)],
    }


def summary(assets: Iterable[Metadata]) -> dict[str, Any]:
    """Sum assets up as the archive does: files, bytes, subjects and the kinds of data among them."""
    listed = list(assets)
    participants = [person for metadata in listed for person in metadata.get("wasAttributedTo") or ()]
    species = {
        person["species"]["identifier"]: person["species"]
        for person in participants
        if "identifier" in person.get("species", ())
    }
    return {
        "schemaKey": "AssetsSummary",
        "numberOfBytes": sum(metadata["contentSize"] for metadata in listed),
        "numberOfFiles": len(listed),
        "numberOfSubjects": len({person.get("identifier") for person in participants}),
        "species": [species[identifier] for identifier in sorted(species)],
        "approach": _distinct(listed, "approach", "name"),
        "measurementTechnique": _distinct(listed, "measurementTechnique", "name"),
        "variableMeasured": [item["value"] for item in _distinct(listed, "variableMeasured", "value")],
        "dataStandard": [],
    }


def _distinct(assets: Iterable[Metadata], key: str, name: str) -> list[Mapping[str, Any]]:
    items = {item[name]: item for metadata in assets for item in metadata.get(key) or ()}
    return [items[found] for found in sorted(items)]


def _citation(entered: Metadata, version: str, url: str, created: datetime) -> str:
    authors = "; ".join(
        person["name"] for person in entered.get("contributor") or () if person.get("includeInCitation")
    )
    place = f"https://doi.org/{entered['doi']}" if "doi" in entered else url
    year = entered.get("dateCreated", created.isoformat())[:4]
    return f"{authors} ({year}) {entered['name']} (Version {version}) [Data set]. DANDI archive. {place}"


def _manifest_location(identifier: str, version: str) -> str:
    if version == DRAFT:
        return f"{API_URL}/dandisets/{identifier}/versions/draft/assets/"
    return f"{BUCKET_URL}/dandisets/{identifier}/{version}/assets.yaml"
