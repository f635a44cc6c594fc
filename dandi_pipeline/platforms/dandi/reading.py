"""Reads one dandiset: published versions, assets, and last the draft's own row, which tells whether it held still."""

from collections.abc import Callable, Iterator, Sequence
from math import ceil
from typing import TypeVar

from dandi_pipeline.errors import ResourceMissing, TornRead
from dandi_pipeline.platforms.contract import (
    Complete,
    Expected,
    Fingerprint,
    Listed,
    Observation,
    Observed,
    Outdated,
    Planned,
    ReadRequest,
    Record,
    Settled,
    Unchanged,
)
from dandi_pipeline.platforms.dandi.api import AssetPage, DandiApi, as_listed
from dandi_pipeline.platforms.dandi.plan import PAGE_SIZE, plan_fetching, plan_reading
from dandi_pipeline.platforms.dandi.records import (
    ASSET,
    ASSETS,
    DANDISET,
    DANDISETS,
    DRAFT,
    VERSION,
    Json,
    asset_record,
    dandiset_record,
    version_record,
)

Page = TypeVar("Page")


class DandisetReading:
    """One reading of one dandiset, as `ReadRequest` asks for it."""

    def __init__(self, api: DandiApi, listed: Listed, request: ReadRequest, *, published_assets: bool) -> None:
        self._api = api
        self._listed = listed
        self._id = listed.key
        self._request = request
        self._published_assets = published_assets and ASSETS in request.parts
        self._cut_short = False

    def observations(self) -> Iterator[Observation]:
        """Yield everything asked for; raise `TornRead` if the draft moved between the listing and the end."""
        published = self._published_rows()
        if DANDISETS in self._request.parts:
            yield from self._published_versions(published)
        if ASSETS in self._request.parts:
            yield from self._draft_assets()
            yield from self._assets_of_published(published)
        info = self._api.draft_info(self._id)
        self._require_still(info)
        if DANDISETS in self._request.parts:
            yield Observed(self._dandiset_records(info))
            yield Complete(DANDISET)
            yield Complete(VERSION)
        yield Settled(self._listed.token, [part for part in self._request.parts if not self._is_cut(part)])

    def _is_cut(self, part: str) -> bool:
        return part == ASSETS and self._cut_short

    def _require_still(self, info: Json) -> None:
        now = as_listed(
            {
                "identifier": self._id,
                "embargo_status": info.get("dandiset", {}).get("embargo_status"),
                "draft_version": info,
                "most_recent_published_version": self._listed.row["published"],
            },
            where=f"draft of dandiset {self._id}",
        )
        if now.token != self._listed.token:
            before, after = self._listed.modified.isoformat(), now.modified.isoformat()
            raise TornRead(f"dandiset {self._id} changed while it was read: its draft moved from {before} to {after}")

    # Versions

    def _published_rows(self) -> list[Json]:
        """Return the published versions' rows; a dandiset never published costs no request."""
        newest = self._listed.row["published"]
        if newest is None or not (DANDISETS in self._request.parts or self._published_assets):
            return []
        found = [row for row in self._api.versions(self._id) if row.get("version") != DRAFT]
        if newest["version"] not in {row.get("version") for row in found}:
            raise TornRead(f"version {newest['version']} is in the dandiset's row but not among its versions")
        return found

    def _published_versions(self, published: Sequence[Json]) -> Iterator[Observation]:
        known = self._request.known[VERSION.name]
        stale = []
        for row in published:
            key = (str(row["version"]),)
            fingerprint = known.get(key)
            if fingerprint and not self._request.full and self._same_instant(fingerprint, row):
                yield Unchanged(VERSION, [key])
            else:
                stale.append(row)
        if self._request.fetch:
            for record in self._request.workers.map(self._published_version, stale):
                yield Observed([record])
        elif stale:
            yield Outdated(VERSION, [(str(row["version"]),) for row in stale])

    def _same_instant(self, fingerprint: Fingerprint, row: Json) -> bool:
        return fingerprint[1] == version_record(row, {}, where=f"versions of dandiset {self._id}").columns["modified"]

    def _published_version(self, row: Json) -> Record:
        metadata = self._api.version_metadata(self._id, str(row["version"]))
        return version_record(row, metadata, where=f"dandiset {self._id} {row['version']}")

    def _dandiset_records(self, info: Json) -> list[Record]:
        where = f"draft of dandiset {self._id}"
        return [dandiset_record(info, where=where), version_record(info, info["metadata"], where=where)]

    # Assets of the draft

    def _draft_assets(self) -> Iterator[Observation]:
        known = sum(version == DRAFT for version, _ in self._request.known[ASSET.name])
        plan = plan_reading(
            known=known,
            listed=self._listed.record_count,
            full=self._request.full or self._embargo_changed(),
            fetch=self._request.fetch,
        )
        yield Planned(str(plan), plan.requests)
        yield from self._full_walk(DRAFT) if plan.full or self._request.limit else self._bare_walk()

    def _embargo_changed(self) -> bool:
        """Tell whether `access` in every asset's metadata may have changed, which moves no asset's `modified`."""
        stored = self._request.tokens.get(ASSETS)
        return stored is not None and stored.split(" ")[1:2] != [self._listed.row["embargo_status"]]

    def _full_walk(self, version: str) -> Iterator[Observation]:
        size = min(PAGE_SIZE, self._request.limit or PAGE_SIZE)
        first = self._api.asset_page(self._id, version, 1, metadata=True, page_size=size)
        count = first.count or 0
        pages = ceil(count / size)
        if self._request.limit and count > self._request.limit:
            self._cut_short = True
            pages = ceil(self._request.limit / size)

        def records_of(number: int) -> list[Record]:
            return self._records(
                version, self._api.asset_page(self._id, version, number, metadata=True, page_size=size)
            )

        yield Expected(count)
        seen = 0
        for records in _first_then_rest(self._records(version, first), records_of, pages, self._request):
            seen += len(records)
            yield Observed(records[: self._left(seen, len(records))])
        if not self._cut_short:
            self._require_count(version, seen, count)
            yield Complete(ASSET, (version,))

    def _left(self, seen: int, length: int) -> int:
        """Return how many of a page's records the limit still takes."""
        limit = self._request.limit
        return length if limit is None else max(0, length - max(0, seen - limit))

    def _bare_walk(self) -> Iterator[Observation]:
        first = self._api.asset_page(self._id, DRAFT, 1, metadata=False)
        count = first.count or 0

        def page_of(number: int) -> AssetPage:
            return self._api.asset_page(self._id, DRAFT, number, metadata=False)

        yield Expected(count)
        differing: dict[int, dict[str, str]] = {}
        lengths: dict[int, int] = {}
        for page in _first_then_rest(first, page_of, ceil(count / PAGE_SIZE), self._request):
            lengths[page.number] = len(page.rows)
            same, other = self._compare(page)
            yield Unchanged(ASSET, [(DRAFT, path) for path in same])
            differing[page.number] = other
        self._require_count(DRAFT, sum(lengths.values()), count)
        yield from self._fetch(differing, lengths)
        yield Complete(ASSET, (DRAFT,))

    def _compare(self, page: AssetPage) -> tuple[list[str], dict[str, str]]:
        """Split a bare page into the paths that are as the mirror has them, and asset id to path of the rest."""
        known = self._request.known[ASSET.name]
        same, other = [], {}
        for row in page.rows:
            record = asset_record(DRAFT, {**row, "metadata": {}}, where=page.where)
            if _is_unchanged(known.get(record.key), record):
                same.append(record.key[1])
            else:
                other[str(record.columns["asset_id"])] = record.key[1]
        return same, other

    def _fetch(self, differing: dict[int, dict[str, str]], lengths: dict[int, int]) -> Iterator[Observation]:
        wanted = {asset_id: path for page in differing.values() for asset_id, path in page.items()}
        if not self._request.fetch:
            yield Outdated(ASSET, [(DRAFT, path) for path in wanted.values()])
            return
        plan = plan_fetching({page: list(ids) for page, ids in differing.items()}, lengths)
        yield Planned(f"{len(wanted)} differing: {len(plan.pages)} pages, {len(plan.singles)} alone", plan.requests)
        for record in self._request.workers.map(self._single, plan.singles):
            wanted.pop(str(record.columns["asset_id"]), None)
            yield Observed([record])
        for records in self._request.workers.map(self._draft_page, plan.pages):
            found = [record for record in records if wanted.pop(str(record.columns["asset_id"]), None)]
            yield Observed(found)
        if wanted:
            raise TornRead(f"{len(wanted)} listed assets were gone when their metadata was asked for")

    def _single(self, asset_id: str) -> Record:
        try:
            return asset_record(DRAFT, self._api.asset_info(asset_id), where=f"asset {asset_id}")
        except ResourceMissing as error:
            raise TornRead(f"listed asset {asset_id} does not exist") from error

    def _draft_page(self, number: int) -> list[Record]:
        return self._records(DRAFT, self._api.asset_page(self._id, DRAFT, number, metadata=True))

    # Assets of published versions

    def _assets_of_published(self, published: Sequence[Json]) -> Iterator[Observation]:
        """Read what is not held in full yet. A published version's assets are fixed, so their number tells."""
        if not self._published_assets:
            return
        held = self._held_by_version()
        for row in published:
            version = str(row["version"])
            if held.get(version, 0) == row["asset_count"] and not self._request.full:
                keys = [key for key in self._request.known[ASSET.name] if key[0] == version]
                yield Unchanged(ASSET, keys)
                yield Complete(ASSET, (version,))
            elif self._request.fetch:
                yield from self._full_walk(version)
        for version in held.keys() - {DRAFT} - {str(row["version"]) for row in published}:
            yield Complete(ASSET, (version,))

    def _held_by_version(self) -> dict[str, int]:
        held: dict[str, int] = {}
        for version, _ in self._request.known[ASSET.name]:
            held[version] = held.get(version, 0) + 1
        return held

    def _records(self, version: str, page: AssetPage) -> list[Record]:
        return [asset_record(version, row, where=page.where) for row in page.rows]

    def _require_count(self, version: str, seen: int, count: int) -> None:
        if seen != count:
            raise TornRead(f"{version} says it has {count} assets but lists {seen}")


def _is_unchanged(known: Fingerprint | None, listed: Record) -> bool:
    """Tell whether a bare row proves that the stored metadata still holds.

    It does not for a blob whose sha256 was still missing, nor for a zarr that was empty: both are filled in
    without moving `modified`.
    """
    if known is None:
        return False
    _, asset_id, modified, size, sha256 = known
    columns = listed.columns
    if (asset_id, modified, size) != (columns["asset_id"], columns["modified"], columns["size"]):
        return False
    return sha256 is not None if columns["zarr"] is None else size != 0


def _first_then_rest(first: Page, read: Callable[[int], Page], pages: int, request: ReadRequest) -> Iterator[Page]:
    """Yield page 1, which is here already, then the others in any order."""
    yield first
    yield from request.workers.map(read, range(2, pages + 1))
