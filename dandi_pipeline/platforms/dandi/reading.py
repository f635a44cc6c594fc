"""Reads one dandiset: published versions, assets, and last the draft's own row, which tells whether it held still."""

from collections import Counter
from collections.abc import Iterator, Sequence
from zlib import crc32

from dandi_pipeline.errors import TornRead
from dandi_pipeline.http.instants import instant, moment_of
from dandi_pipeline.http.payload import integer, mapping
from dandi_pipeline.platforms.contract import (
    Complete,
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
from dandi_pipeline.platforms.dandi.api import DandiApi, as_listed
from dandi_pipeline.platforms.dandi.asset_reading import AssetReading, Shelf
from dandi_pipeline.platforms.dandi.manifests import Manifests
from dandi_pipeline.platforms.dandi.plan import OVERLAP, SHARES, VERSION_BYTES
from dandi_pipeline.platforms.dandi.records import (
    ASSET,
    ASSETS,
    DANDISET,
    DANDISETS,
    DRAFT,
    VERSION,
    Json,
    dandiset_record,
    version_record,
)


class DandisetReading:
    """One reading of one dandiset, as `ReadRequest` asks for it."""

    def __init__(
        self,
        api: DandiApi,
        manifests: Manifests | None,
        listed: Listed,
        request: ReadRequest,
        *,
        published_assets: bool,
        derives_facets: bool = True,
    ) -> None:
        self._api = api
        self._manifests = manifests
        self._listed = listed
        self._id = listed.key
        self._request = request
        self._full = request.full and (request.round is None or in_turn(self._id, request.round))
        self._published_assets = published_assets and ASSETS in request.parts
        self._derives_facets = derives_facets
        self._cut_short = False
        self._draft = f"draft of dandiset {self._id}"

    def observations(self) -> Iterator[Observation]:
        """Yield everything asked for; raise `TornRead` if the draft moved between the listing and the end."""
        published = self._published_rows()
        asked = 1 + self._lists_versions
        yield Planned("", asked, asked * VERSION_BYTES)
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
                "embargo_status": mapping(info, "dandiset", where=self._draft).get("embargo_status"),
                "draft_version": info,
                "most_recent_published_version": self._listed.row["published"],
            },
            where=self._draft,
        )
        if now.token != self._listed.token:
            before, after = self._listed.modified.isoformat(), now.modified.isoformat()
            raise TornRead(f"dandiset {self._id} changed while it was read: its draft moved from {before} to {after}")

    # Versions

    def _published_rows(self) -> list[Json]:
        """Return the published versions' rows; a dandiset never published costs no request.

        One that was published when it was last read is asked again: versions are deleted by a listing only.
        """
        if not self._lists_versions:
            return []
        newest = self._listed.row["published"]
        found = [row for row in self._api.versions(self._id) if row["version"] != DRAFT]
        if newest is not None and newest["version"] not in {row["version"] for row in found}:
            raise TornRead(f"version {newest['version']} is in the dandiset's row but not among its versions")
        return found

    @property
    def _lists_versions(self) -> bool:
        wanted = DANDISETS in self._request.parts or self._published_assets
        ever = self._listed.row["published"] is not None or self._holds_published()
        return wanted and ever and not self._published_as_known

    @property
    def _published_as_known(self) -> bool:
        """Whether the newest published version is as the mirror has it, so that nothing was published since.

        Only older versions may have been corrected or deleted then: those are the sweep's. Where the assets of
        published versions are mirrored too, all rows are wanted: zarrs may have changed in each.
        """
        newest, read = self._listed.row["published"], " " in (self._request.tokens.get(DANDISETS) or "")
        if newest is None or not read or self._published_assets or self._request.full:
            return False
        known = self._request.known[VERSION.name]
        # Versions are named after the minute of their publication.
        latest = max((key for key in known if key != (DRAFT,)), default=None)
        return (newest["version"],) == latest and self._shows(newest, known[latest])

    def _holds_published(self) -> bool:
        known = (*self._request.known[VERSION.name], *self._request.known[ASSET.name])
        return any(key[0] != DRAFT for key in known)

    def _published_versions(self, published: Sequence[Json]) -> Iterator[Observation]:
        known = self._request.known[VERSION.name]
        if self._published_as_known:
            yield Unchanged(VERSION, [key for key in known if key != (DRAFT,)])
            return
        stale = []
        for row in published:
            key = (row["version"],)
            if not self._full and self._shows(row, known.get(key)):
                yield Unchanged(VERSION, [key])
            else:
                stale.append(row)
        if self._request.fetch:
            yield Planned("", len(stale), len(stale) * VERSION_BYTES)
            for record in self._request.workers.map(self._published_version, stale):
                yield Observed([record])
        elif stale:
            yield Outdated(VERSION, [(row["version"],) for row in stale])

    def _shows(self, row: Json, known: Fingerprint | None) -> bool:
        """Tell whether a version's row shows all that is known of it, not its `modified` alone."""
        listed = version_record(row, {}, where=f"versions of dandiset {self._id}")
        return known is not None and known[1:] == listed.fingerprint[1:]

    def _published_version(self, row: Json) -> Record:
        metadata = self._api.version_metadata(self._id, row["version"])
        return version_record(row, metadata, where=f"dandiset {self._id} {row['version']}")

    def _dandiset_records(self, info: Json) -> list[Record]:
        metadata = mapping(info, "metadata", where=self._draft)
        return [dandiset_record(info, where=self._draft), version_record(info, metadata, where=self._draft)]

    # Assets

    def _draft_assets(self) -> Iterator[Observation]:
        since = None if self._embargo_changed() else self._known_until()
        yield from self._assets_of(DRAFT, self._listed.record_count, since=since, full=self._embargo_changed())

    def _embargo_changed(self) -> bool:
        """Tell whether `access` in every asset's metadata may have changed, which moves no asset's `modified`.

        Rows that were stored without a token may be from before such a change, or from both sides of it.
        """
        stored = self._request.tokens.get(ASSETS) or ""
        same = stored.split(" ")[1:2] == [self._listed.row["embargo_status"]]
        return bool(self._request.known[ASSET.name]) and not same

    def _known_until(self) -> str | None:
        """Return from when on assets are modified that may have come since the draft was stored, if it is known so.

        The stored token has the draft's `modified`, a time of the archive that had passed when the draft was read. A
        draft whose time has gone back by more than changes can be late is not to be trusted with times.
        """
        stored, *details = (self._request.tokens.get(ASSETS) or "").split(" ")
        if self._request.limit or self._request.full or not details:
            return None
        before, now = moment_of(stored), self._listed.modified
        return None if now < before - OVERLAP else instant((before - OVERLAP).isoformat())

    def _assets_of_published(self, published: Sequence[Json]) -> Iterator[Observation]:
        """Read what is not surely held as it is. A published version's assets are fixed, but for zarrs.

        No row tells of a zarr that was opened or uploaded again, so a version that may have some is listed.
        """
        if not self._published_assets:
            return
        held, digested = self._held_of_versions()
        for row in published:
            version, count = row["version"], integer(row, "asset_count", where=f"versions of dandiset {self._id}")
            if digested[version] == held[version] == count and not self._full:
                yield Unchanged(ASSET, [key for key in self._request.known[ASSET.name] if key[0] == version])
                yield Complete(ASSET, (version,))
            else:
                yield from self._assets_of(version, count)
        for version in held.keys() - {DRAFT} - {row["version"] for row in published}:
            yield Complete(ASSET, (version,))

    def _held_of_versions(self) -> tuple[Counter[str], Counter[str]]:
        """Return how many assets the mirror holds of each version, and how many of them have a sha256: no zarr has."""
        known = self._request.known[ASSET.name].items()
        held = Counter(version for (version, _), _ in known)
        return held, Counter(version for (version, _), fingerprint in known if fingerprint[_SHA256] is not None)

    def _assets_of(
        self, version: str, count: int, *, since: str | None = None, full: bool = False
    ) -> Iterator[Observation]:
        embargo = self._listed.row["embargo_status"]
        shelf = Shelf(self._id, version, count, embargo, since, self._derives_facets)
        reading = AssetReading(self._api, self._manifests, self._request, shelf)
        yield from reading.observations(full=full or self._full)
        self._cut_short = self._cut_short or reading.cut_short


def in_turn(dandiset: str, round_of_sweeps: int) -> bool:
    """Tell whether a dandiset's content is read in this round: in one of any `SHARES` that follow each other."""
    return crc32(dandiset.encode()) // SPREAD % SHARES == round_of_sweeps % SHARES


SPREAD = 1_000
"""The day on which a dandiset has its turn is told by the same number's smaller digits."""

_SHA256 = 1 + ASSET.fingerprint.index("sha256")
