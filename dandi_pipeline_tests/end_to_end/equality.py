"""Compares a mirror, as SQL shows it, with what the simulated archive says a perfect one would hold.

Every column of every table is compared but those of `_OWN`, which the mirror makes itself. A column that is neither
expected nor among those is an error: nothing is left out because nobody thought of it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from dandi_pipeline.instants import canonical_instant

Snapshot = Mapping[str, Mapping[str, Any]]
Rows = dict[tuple[str, ...], dict[str, Any]]


def differences(url: str, snapshot: Snapshot, *, source: str = "dandi", published_assets: bool = False) -> list[str]:
    """Return a line for every row that is missing, left behind or different; empty means equal value by value."""
    return list(map(str, compared(url, snapshot, source=source, published_assets=published_assets)))


@dataclass(frozen=True)
class Difference:
    """One row that is missing, left behind or different, and how."""

    table: str
    key: tuple[str, ...]
    how: str

    def __str__(self) -> str:
        return f"{self.table} {self.key}: {self.how}"


def compared(
    url: str, snapshot: Snapshot, *, source: str = "dandi", published_assets: bool = False
) -> Iterator[Difference]:
    """Yield every difference of the mirror from what it is to hold; a row may have several."""
    held, expected = held_rows(url, source), expected_rows(snapshot, published_assets=published_assets)
    for table in TABLES:
        for key in expected[table].keys() | held[table].keys():
            for how in _compare(table, expected[table].get(key), held[table].get(key)):
                yield Difference(table, key, how)


def held_rows(url: str, source: str = "dandi") -> dict[str, Rows]:
    """Return every row of the mirror's tables: JSON parsed, instants as the mirror spells them."""
    with plain_engine(url).connect() as connection:
        return {table: _held(connection, table, key, source) for table, key in _KEYS.items()}


def expected_rows(snapshot: Snapshot, *, published_assets: bool = False) -> dict[str, Rows]:
    """Return the rows that a perfect mirror would hold; of the columns, those that the platform decides."""
    return {
        "dandisets": dict(_dandisets(snapshot)),
        "versions": dict(_versions(snapshot)),
        "assets": dict(_assets(snapshot, published_assets)),
    }


def plain_engine(url: str) -> sa.Engine:
    """Return an engine of one's own on the mirror's database, as a user of the mirror has."""
    return sa.create_engine(url.replace("postgresql://", "postgresql+psycopg2://", 1), poolclass=sa.NullPool)


_KEYS = {
    "dandisets": ("dandiset_id",),
    "versions": ("dandiset_id", "version"),
    "assets": ("dandiset_id", "version", "path"),
}

TABLES = tuple(_KEYS)

_OWN = frozenset({"source", "content_hash"})
"""Columns of every table that no platform decides."""

_INSTANTS = ("created", "modified", "draft_modified")


def _held(connection: sa.Connection, table: str, key: tuple[str, ...], source: str) -> Rows:
    rows = connection.execute(sa.text(f"SELECT * FROM {table} WHERE source = :source"), {"source": source}).mappings()
    return {tuple(row[name] for name in key): _plain(row) for row in rows}


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    plain = {str(name): value for name, value in row.items()}
    if isinstance(plain.get("metadata"), str):
        plain["metadata"] = orjson.loads(plain["metadata"])
    for name in _INSTANTS:
        value = plain.get(name)
        if value is not None:
            plain[name] = canonical_instant(value if isinstance(value, str) else value.isoformat())
    if "visible" in plain:
        assert plain["visible"] in (0, 1), "SQLite has no booleans"
        plain["visible"] = bool(plain["visible"])
    return plain


def _dandisets(snapshot: Snapshot) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    for identifier, dandiset in snapshot.items():
        draft = dandiset["draft_version"]
        yield (
            (identifier,),
            {
                "name": draft["name"],
                "embargo_status": dandiset["embargo_status"],
                "created": canonical_instant(dandiset["created"]),
                "draft_modified": canonical_instant(draft["modified"]),
                "asset_count": draft["asset_count"],
                "size": draft["size"],
                "contact_person": dandiset["contact_person"],
                "visible": True,
            },
        )


def _versions(snapshot: Snapshot) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    for identifier, dandiset in snapshot.items():
        for name, version in dandiset["versions"].items():
            yield (
                (identifier, name),
                {
                    "status": version["status"],
                    "name": version["name"],
                    "created": canonical_instant(version["created"]),
                    "modified": canonical_instant(version["modified"]),
                    "asset_count": version["asset_count"],
                    "size": version["size"],
                    "license": _joined(version["metadata"].get("license")),
                    "doi": version["metadata"].get("doi"),
                    "metadata": version["metadata"],
                },
            )


def _assets(snapshot: Snapshot, published: bool) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    for identifier, dandiset in snapshot.items():
        for name, version in dandiset["versions"].items():
            if name != "draft" and not published:
                continue
            for path, asset in version["assets"].items():
                yield (identifier, name, path), _asset(asset)


def _asset(asset: Mapping[str, Any]) -> dict[str, Any]:
    metadata = asset["metadata"]
    digest = metadata.get("digest") or {}
    return {
        "asset_id": asset["asset_id"],
        "size": asset["size"],
        "encoding_format": metadata.get("encodingFormat"),
        "sha256": digest.get("dandi:sha2-256"),
        "dandi_etag": digest.get("dandi:dandi-etag"),
        "blob": asset["blob"],
        "zarr": asset["zarr"],
        "created": canonical_instant(asset["created"]),
        "modified": canonical_instant(asset["modified"]),
        "metadata": metadata,
    }


def _compare(table: str, expected: dict[str, Any] | None, held: dict[str, Any] | None) -> Iterator[str]:
    if held is None or expected is None:
        yield "missing from the mirror" if held is None else "left behind in the mirror"
        return
    for name in expected.keys() ^ held.keys() - {*_KEYS[table], *_OWN}:
        yield f"nobody said what {name} is to be"
    if not re.fullmatch("[0-9a-f]{32}", held["content_hash"]):
        yield "content_hash is no hash"
    for name in expected.keys() & held.keys():
        if not same(held[name], expected[name]):
            yield f"{name} is {held[name]!r:.200} instead of {expected[name]!r:.200}"


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal, types included: 1 is neither true nor 1.0, at any depth."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _joined(licenses: Any) -> str | None:
    """The licences of a version's metadata as one text; whatever is no text is none."""
    texts = [item for item in (licenses if isinstance(licenses, list) else [licenses]) if isinstance(item, str)]
    return ", ".join(texts) or None
