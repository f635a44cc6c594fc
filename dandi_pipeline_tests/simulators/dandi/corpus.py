"""Fills a world from a folder of recorded public metadata, value by value.

The folder holds `latest/NNNNNN.jsonl.gz`: a header with the dandiset's metadata and its published versions, then
one asset a line. What such a recording does not say is filled in: dandisets were created when their metadata says
and last modified then; a draft was modified when its state was recorded; a version was created and modified when its
metadata says that it was published, or when it was tagged. Versions of unknown asset count are left out.
"""

import gzip
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import orjson

from dandi_pipeline_tests.simulators.clock import Clock

from .records import DRAFT, OPEN, VERSION_PATTERN, Asset, Dandiset, Version, as_instant
from .world import World


def corpus_world(
    folder: Path, *, identifiers: Collection[str] | None = None, seed: int = 0, clock: Clock | None = None
) -> World:
    """Return the archive that `folder` records, or the named dandisets of it.

    Raises `FileNotFoundError` if the folder holds no `latest/*.jsonl.gz`.
    """
    files = sorted((folder / "latest").glob("*.jsonl.gz"))
    if not files:
        raise FileNotFoundError(f"{folder}: no latest/*.jsonl.gz in it")
    world = World(seed=seed, clock=clock)
    for file in files:
        if identifiers is None or file.name.split(".")[0] in identifiers:
            world.adopt(_read_dandiset(file))
    return world


def _read_dandiset(file: Path) -> Dandiset:
    with gzip.open(file, "rb") as lines:
        header = orjson.loads(next(lines))
        identifier = header["identifier"]
        assets = [Asset.from_json(identifier, orjson.loads(line)) for line in lines]
    created = as_instant(header["dandiset"]["dateCreated"])
    draft = Version(
        version=DRAFT,
        status="Valid",
        created=created,
        modified=as_instant(header["state"]["at"]),
        metadata=header["dandiset"],
        assets={asset.path: asset for asset in assets},
    )
    recorded = [row for row in header["versions"] if _is_known(row)]
    by_likelihood = sorted(assets, key=lambda asset: (not asset.published, asset.created))
    published = {row["version"]: _published_version(row, by_likelihood) for row in recorded}
    return Dandiset(identifier, created, created, OPEN, {"owner"}, {DRAFT: draft, **published})


def _is_known(row: Mapping[str, Any]) -> bool:
    """Whether a tag is a version, and one of which it is recorded how much it held."""
    return row["asset_count"] is not None and bool(re.fullmatch(VERSION_PATTERN, row["version"]))


def _published_version(row: Mapping[str, Any], by_likelihood: list[Asset]) -> Version:
    """A version with as many assets as recorded, taken from today's draft: published ones first, old ones first.

    Which assets a version had is not recorded; those that the draft lacks by now are missing from its count.
    """
    metadata = row["dandiset"]
    at = as_instant(metadata.get("datePublished", row["tagged_at"]))
    return Version(
        version=row["version"],
        status="Valid",
        created=at,
        modified=at,
        metadata=metadata,
        assets={asset.path: asset for asset in by_likelihood[: row["asset_count"]]},
    )
