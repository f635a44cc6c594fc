"""Reads the assets of one version: a complete listing always, and their metadata in the cheapest exact way."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil
from typing import TypeVar

from dandi_pipeline.errors import ResourceMissing, TornRead
from dandi_pipeline.http.instants import moment_of
from dandi_pipeline.platforms.contract import (
    Complete,
    Expected,
    Fingerprint,
    Observation,
    Observed,
    Outdated,
    Planned,
    ReadRequest,
    Record,
    Unchanged,
)
from dandi_pipeline.platforms.dandi.api import AssetPage, DandiApi
from dandi_pipeline.platforms.dandi.manifests import Manifests
from dandi_pipeline.platforms.dandi.plan import (
    MANIFEST_BYTES,
    FetchPlan,
    Manner,
    ReadPlan,
    cost_of_manifest,
    plan_fetching,
    plan_reading,
)
from dandi_pipeline.platforms.dandi.records import ASSET, Json, asset_record

BATCH = 500
"""Records of a manifest handed on at a time."""

BARE_ROW = 1_000
"""About how many bytes an asset's row without metadata takes in memory."""

ACCESS = {"OPEN": "dandi:OpenAccess"}
"""What an asset's metadata says where the dandiset's embargo status is this; manifests of others are not public."""

Page = TypeVar("Page")


@dataclass(frozen=True, slots=True)
class ListedAsset:
    """An asset's row without metadata, and the page that it was on."""

    page: int
    row: Json


Differing = dict[str, ListedAsset]
"""What a listing shows and the mirror has not, by asset id."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """Whose assets are read: a version of a dandiset, and what its row says of it."""

    dandiset: str
    version: str
    asset_count: int
    embargo_status: str
    derives_facets: bool = True


@dataclass(frozen=True, slots=True)
class RecordsPage:
    """One page with metadata, of which nothing is kept but the records; see `AssetPage`."""

    number: int
    count: int | None
    more: bool
    records: Sequence[Record]


class AssetReading:
    """One reading of one version's assets. `cut_short` tells afterwards whether the request's limit ended it."""

    def __init__(self, api: DandiApi, manifests: Manifests | None, request: ReadRequest, shelf: Shelf) -> None:
        self.cut_short = False
        self._api = api
        self._manifests = manifests
        self._request = request
        self._shelf = shelf
        self._version = shelf.version
        self._page_size = api.page_size
        self._where = f"dandiset {shelf.dandiset} {shelf.version}"

    def observations(self, *, full: bool) -> Iterator[Observation]:
        """Yield every asset; raise `TornRead` where the listing does not add up. `full`: all content by API."""
        plan = self._plan(full=full)
        yield Planned(str(plan), plan.requests, plan.received_bytes)
        if plan.manner is Manner.FULL or self._request.limit:
            yield from self._full_walk()
        else:
            yield from self._bare_walk()

    def _plan(self, *, full: bool) -> ReadPlan:
        return plan_reading(
            known=sum(version == self._version for version, _ in self._request.known[ASSET.name]),
            listed=self._shelf.asset_count,
            full=full,
            fetch=self._request.fetch,
            manifests=self._reaches_manifests,
            page_size=self._page_size,
        )

    @property
    def _reaches_manifests(self) -> bool:
        return self._manifests is not None and self._shelf.embargo_status in ACCESS

    # Pages with metadata

    def _full_walk(self) -> Iterator[Observation]:
        size = min(self._page_size, self._request.limit or self._page_size)

        def read(number: int) -> RecordsPage:
            page = self._page(number, metadata=True, size=size)
            return RecordsPage(number, page.count, page.more, self._records(page))

        # By a worker like the others: parsed pages are large, and there are never more than workers at once.
        [first] = self._request.workers.map(read, [1])
        count = first.count or 0
        pages = ceil(count / size)
        if self._request.limit and count > self._request.limit:
            self.cut_short = True
            pages = ceil(self._request.limit / size)

        yield Expected(count)
        seen = 0
        for page in self._first_then_rest(first, read, pages, lambda page: _size_of_records(page.records)):
            self._require_end(page, pages)
            seen += len(page.records)
            yield Observed(page.records[: self._left(seen, len(page.records))])
        if not self.cut_short:
            self._require_count(seen, count)
            yield Complete(ASSET, (self._version,))

    def _left(self, seen: int, length: int) -> int:
        """Return how many of a page's records the limit still takes."""
        limit = self._request.limit
        return length if limit is None else max(0, length - max(0, seen - limit))

    # Pages without, then what differs

    def _bare_walk(self) -> Iterator[Observation]:
        first = self._bare_page(1)
        count = first.count or 0
        yield Expected(count)
        differing: Differing = {}
        lengths: dict[int, int] = {}
        pages = ceil(count / self._page_size)
        for page in self._first_then_rest(first, self._bare_page, pages, _size_of_page):
            self._require_end(page, pages)
            lengths[page.number] = len(page.rows)
            yield Unchanged(ASSET, [(self._version, path) for path in self._compare(page, differing)])
        self._require_count(sum(lengths.values()), count)
        if self._request.fetch:
            yield from self._contents(differing, lengths)
        else:
            yield Outdated(ASSET, [(self._version, listed.row["path"]) for listed in differing.values()])
        yield Complete(ASSET, (self._version,))

    def _bare_page(self, number: int) -> AssetPage:
        return self._page(number, metadata=False)

    def _compare(self, page: AssetPage, differing: Differing) -> list[str]:
        """Return the paths of a bare page that are as the mirror has them; put its other rows to `differing`."""
        known = self._request.known[ASSET.name]
        same = []
        for row in page.rows:
            record = asset_record(self._version, {**row, "metadata": {}}, where=page.where, derived=False)
            if _is_unchanged(known.get(record.key), record):
                same.append(record.key[1])
            else:
                differing[str(record.columns["asset_id"])] = ListedAsset(page.number, row)
        return same

    def _contents(self, differing: Differing, lengths: Mapping[int, int]) -> Iterator[Observation]:
        """Yield the listed assets of `differing` with their metadata, from wherever that costs least."""
        plan = plan_fetching(_by_page(differing), lengths)
        listed = sum(lengths.values())
        if self._reaches_manifests and plan.cost > cost_of_manifest(listed):
            yield Planned(f"{len(differing)} from the manifest", 1, listed * MANIFEST_BYTES)
            yield from self._from_manifest(differing)
            plan = plan_fetching(_by_page(differing), lengths)
        if differing:
            yield from self._from_api(set(differing), plan)

    def _from_manifest(self, differing: Differing) -> Iterator[Observation]:
        """Yield what the archive's bulk copy vouches for, and take it out of `differing`."""
        records = self._vouched_for(differing)
        while batch := list(islice(records, BATCH)):
            yield Observed(batch)

    def _vouched_for(self, differing: Differing) -> Iterator[Record]:
        assert self._manifests is not None, "asked only where there are manifests"
        access = ACCESS[self._shelf.embargo_status]
        oldest = min(moment_of(listed.row["modified"]) for listed in differing.values())
        for entry in self._manifests.entries(self._shelf.dandiset, self._version, written_after=oldest):
            listed = differing.get(entry.asset_id or "")
            if listed and entry.describes(listed.row, access=access):
                del differing[listed.row["asset_id"]]
                yield self._record({**listed.row, "metadata": entry.metadata}, self._where)

    def _from_api(self, wanted: set[str], plan: FetchPlan) -> Iterator[Observation]:
        """Yield the listed assets that are wanted, one by one or by pages, whichever costs the server less."""
        how = f"{len(wanted)} by the API: {len(plan.pages)} pages, {len(plan.singles)} alone"
        yield Planned(how, plan.requests, plan.received_bytes)
        fetches: list[str | int] = [*plan.singles, *plan.pages]
        for records in self._request.workers.map(self._fetch, fetches, measure=_size_of_records):
            found = [record for record in records if record.columns["asset_id"] in wanted]
            wanted.difference_update(str(record.columns["asset_id"]) for record in found)
            yield Observed(found)
        if wanted:
            raise TornRead(f"{self._where}: {len(wanted)} listed assets were gone when their metadata was asked for")

    def _fetch(self, what: str | int) -> list[Record]:
        """Return one asset by its id, or a whole page by its number."""
        if isinstance(what, int):
            return self._records(self._page(what, metadata=True))
        try:
            return [self._record(self._api.asset_info(what), f"asset {what}")]
        except ResourceMissing as error:
            raise TornRead(f"{self._where}: listed asset {what} does not exist") from error

    # Both

    def _page(self, number: int, *, metadata: bool, size: int | None = None) -> AssetPage:
        return self._api.asset_page(
            self._shelf.dandiset, self._version, number, metadata=metadata, page_size=size or self._page_size
        )

    def _records(self, page: AssetPage) -> list[Record]:
        return [self._record(row, page.where) for row in page.rows]

    def _record(self, row: Json, where: str) -> Record:
        known, derived = self._request.known[ASSET.name], self._shelf.derives_facets
        return asset_record(self._version, row, where=where, known=known, derived=derived)

    def _first_then_rest(
        self, first: Page, read: Callable[[int], Page], pages: int, measure: Callable[[Page], int]
    ) -> Iterable[Page]:
        """Yield page 1, which is here already, then the others in any order."""
        yield first
        yield from self._request.workers.map(read, range(2, pages + 1), measure=measure)

    def _require_end(self, page: AssetPage | RecordsPage, pages: int) -> None:
        """Raise `TornRead` if `pages` are too few or too many: a wrong count neither ends the walk nor prolongs it."""
        if page.more and page.number >= pages and not self.cut_short:
            raise TornRead(f"{self._where} says it has {pages} pages of assets but has more")
        if page.number < pages and not page.more:
            raise TornRead(f"{self._where} says it has {pages} pages of assets but ends with page {page.number}")

    def _require_count(self, seen: int, count: int) -> None:
        if seen != count:
            raise TornRead(f"{self._where} says it has {count} assets but lists {seen}")


def _size_of_records(records: Sequence[Record]) -> int:
    return sum(len(record.metadata or "") for record in records)


def _size_of_page(page: AssetPage) -> int:
    return len(page.rows) * BARE_ROW


def _by_page(differing: Differing) -> Mapping[int, list[str]]:
    pages: dict[int, list[str]] = defaultdict(list)
    for asset_id, listed in differing.items():
        pages[listed.page].append(asset_id)
    return pages


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
