"""Reads one dandiset: published versions, assets, and last the draft's own row, which tells whether it held still.

A complete listing of the assets always; their metadata in the cheapest exact way.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from math import ceil
from typing import TypeVar
from zlib import crc32

from dandi_pipeline.errors import ResourceMissing, TornRead
from dandi_pipeline.http.payload import integer, mapping
from dandi_pipeline.instants import canonical_instant, moment_of
from dandi_pipeline.model import (
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
from dandi_pipeline.platforms.dandi.api import BY_PATH, NEWEST_FIRST, AssetPage, DandiApi, Page, as_listed
from dandi_pipeline.platforms.dandi.manifests import Manifests
from dandi_pipeline.platforms.dandi.plan import (
    BARE_BYTES,
    FIRST_PAGES,
    FULL_BYTES,
    MANIFEST_BYTES,
    OVERLAP,
    SHARES,
    VERSION_BYTES,
    Cost,
    Draft,
    FetchPlan,
    ReadPlan,
    ReadStrategy,
    Search,
    cost_of_manifest,
    cost_of_pages,
    cost_of_zarrs,
    has_metadata,
    plan_fetching,
    plan_reading,
    plan_search,
)
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

BATCH = 500
"""Records of a manifest handed on at a time."""

BARE_ROW = 1_000
"""About how many bytes an asset's row without metadata takes in memory."""

ACCESS = {"OPEN": "dandi:OpenAccess"}
"""What an asset's metadata says where the dandiset's embargo status is this; manifests of others are not public."""

AnyPage = TypeVar("AnyPage")


@dataclass(frozen=True, slots=True)
class Place:
    """Which page of which list: the one by path, the newest first, or that of the zarrs alone."""

    page: Page
    order: str = BY_PATH
    zarrs: bool = False


@dataclass(frozen=True, slots=True)
class ListedAsset:
    """An asset's row without metadata, and the page that it was on."""

    place: Place
    row: Json


Differing = dict[str, ListedAsset]
"""What a listing shows and the mirror has not, by asset id."""


@dataclass(frozen=True, slots=True)
class VersionAssets:
    """Whose assets are read: a version of a dandiset, and what its row says of it.

    `since`: what the mirror holds is what the version was when it was last read, and everything that has come into it
    since is modified at that time or later. None: that is not so.
    """

    dandiset: str
    version: str
    asset_count: int
    embargo_status: str
    since: str | None = None
    derives_facets: bool = True


@dataclass(frozen=True, slots=True)
class RecordsPage:
    """One page with metadata, of which nothing is kept but the records; see `AssetPage`."""

    number: int
    count: int | None
    more: bool
    records: Sequence[Record]


@dataclass(slots=True)
class Newest:
    """What pages of the newest assets have shown: records with metadata, rows that differ, paths as they were.

    `ids` holds the asset at each path, `listed` the paths that came since page 1 was asked for last. `count` is what
    the draft says it has; `reached`, whether nothing that is new can come on later pages.
    """

    count: int = 0
    reached: bool = False
    ids: dict[str, str] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    differing: Differing = field(default_factory=dict)
    lengths: dict[Place, int] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)
    zarrs: set[str] = field(default_factory=set)


class AssetReading:
    """One reading of one version's assets. `cut_short` tells afterwards whether the request's limit ended it."""

    def __init__(self, api: DandiApi, manifests: Manifests | None, request: ReadRequest, shelf: VersionAssets) -> None:
        self.cut_short = False
        self._api = api
        self._manifests = manifests
        self._request = request
        self._shelf = shelf
        self._version = shelf.version
        self._page_size = api.page_size
        self._where = f"dandiset {shelf.dandiset} {shelf.version}"
        known = request.known[ASSET.name]
        self._known = {path: fingerprint for (version, path), fingerprint in known.items() if version == shelf.version}

    def observations(self, *, full: bool) -> Iterator[Observation]:
        """Yield every asset; raise `TornRead` where the listing does not add up. `full`: all content by API."""
        plan = self._plan(full=full)
        yield _planned(str(plan), plan.cost)
        if plan.manner is ReadStrategy.FULL or self._request.max_records:
            yield from self._full_walk()
        elif plan.manner is ReadStrategy.NEWEST:
            yield from self._newest_walk(plan)
        else:
            yield from self._bare_walk({})

    def _plan(self, *, full: bool) -> ReadPlan:
        since, known = self._shelf.since, self._known.values()
        draft = Draft(
            listed=self._shelf.asset_count,
            known=len(self._known),
            recent=None if since is None else sum(str(fingerprint[_MODIFIED]) >= since for fingerprint in known),
            zarrs=sum(fingerprint[_ZARR] is not None for fingerprint in known),
            undigested=len(self._undigested()),
        )
        return plan_reading(
            draft,
            full=full,
            fetch=self._request.fetch,
            manifests=self._reaches_manifests,
            page_size=self._page_size,
        )

    def _undigested(self) -> list[str]:
        """Return the paths of known blobs whose sha256 was missing: it comes without moving anything."""
        return [path for path, known in self._known.items() if known[_SHA256] is None and known[_ZARR] is None]

    @property
    def _reaches_manifests(self) -> bool:
        return self._manifests is not None and self._shelf.embargo_status in ACCESS

    # Newest first

    def _newest_walk(self, plan: ReadPlan) -> Iterator[Observation]:
        """Yield the version as what is known and the newest pages tell; list it whole where they do not suffice."""
        newest = Newest()
        yield from self._newest_pages(newest, plan)
        paths = sorted({*self._known, *newest.ids})
        surplus = len(paths) - newest.count
        size = plan_search(surplus, newest.count, page_size=self._page_size) if surplus > 0 else None
        if not newest.reached or newest.count != self._shelf.asset_count or (surplus and not size):
            yield _planned("bare pages", cost_of_pages(newest.count, self._page_size, metadata=False))
            yield from self._bare_walk(newest.records)
            return
        yield Expected(newest.count)
        if size:
            search = Search(paths, newest.count, size)
            yield from self._search(search, newest)
            paths = [path for path in paths if path not in search.gone]
        yield Observed([*newest.records.values()])
        yield from self._rest_of_newest(newest, paths)
        yield Complete(ASSET, (self._version,))

    def _newest_pages(self, newest: Newest, plan: ReadPlan) -> Iterator[Observation]:
        """Fill `newest`, with metadata while little is expected, then without."""
        for number, size in enumerate(plan.first_pages):
            if number:
                yield Planned(f"the newest {size}", 1, size * FULL_BYTES)
            self._take_newest(newest, Place(Page(1, size), NEWEST_FIRST), metadata=True)
            if newest.reached:
                return
        for number in range(1, plan.bare_pages + 1):
            if number > 1 or plan.first_pages:
                yield Planned("bare" if number == 1 else "", 1, self._page_size * BARE_BYTES)
            self._take_newest(newest, Place(Page(number, self._page_size), NEWEST_FIRST), metadata=False)
            if newest.reached:
                return

    def _take_newest(self, newest: Newest, place: Place, *, metadata: bool) -> None:
        """Add one page of the newest assets. By a worker like the others: parsed pages are large."""

        def read(place: Place) -> tuple[AssetPage, Sequence[Record]]:
            page = self._page(place, metadata=metadata)
            return page, self._records(page) if metadata else [self._bare_record(page, row) for row in page.rows]

        [(page, records)] = self._request.workers.map(read, [place])
        number, size = place.page.number, place.page.size
        if number == 1:
            if newest.ids and page.count != newest.count:
                raise TornRead(f"{self._where} had {newest.count} assets and now has {page.count}")
            newest.count = page.count or 0
            newest.listed.clear()
        self._require_rows(page, size, newest.count)
        newest.lengths[place] = len(records)
        for record, row in zip(records, page.rows, strict=True):
            self._take_newest_row(newest, record, ListedAsset(place, row), metadata=metadata)
        last = records[-1].columns["modified"] if records else ""
        newest.reached = not page.more or self._is_known_from(str(last))

    def _is_known_from(self, modified: str) -> bool:
        """Tell whether every asset that was modified at this time or earlier is known.

        The stored draft's time alone does not tell: where a dandiset was copied from another archive, its assets may
        keep their times, and one that comes later may be older than that draft.
        """
        return modified < (self._shelf.since or "") and modified <= self._newest_known

    @cached_property
    def _newest_known(self) -> str:
        return max((str(fingerprint[_MODIFIED]) for fingerprint in self._known.values()), default="")

    def _take_newest_row(self, newest: Newest, record: Record, listed: ListedAsset, *, metadata: bool) -> None:
        path, asset_id = record.key[1], str(record.columns["asset_id"])
        if path in newest.listed or newest.ids.setdefault(path, asset_id) != asset_id:
            raise TornRead(f"{self._where}: {path[:200]!r} was listed twice")
        newest.listed.add(path)
        if record.columns["zarr"] is not None:
            newest.zarrs.add(path)
        if metadata:
            newest.records[path] = record
        elif path not in newest.records and not _is_unchanged(self._known.get(path), record):
            newest.differing[asset_id] = listed

    def _rest_of_newest(self, newest: Newest, paths: Sequence[str]) -> Iterator[Observation]:
        """Yield of `paths`, the version's, all but the records of `newest`: what differs, then what is as it was."""
        shown = {*newest.records, *(listed.row["path"] for listed in newest.differing.values())}
        if self._request.fetch:
            zarrs = {path for path in paths if self._is_known_zarr(path) and path not in newest.ids}
            if zarrs:
                yield from self._zarrs(newest, zarrs, shown)
            yield from self._contents(newest.differing, newest.lengths)
            undigested = [path for path in self._undigested() if path not in newest.ids]
            yield from self._digests(undigested, paths, shown)
        else:
            yield Outdated(ASSET, [(self._version, listed.row["path"]) for listed in newest.differing.values()])
        yield Unchanged(ASSET, [(self._version, path) for path in paths if path not in shown])

    def _is_known_zarr(self, path: str) -> bool:
        return path in self._known and self._known[path][_ZARR] is not None

    # What may change without moving anything, asked for by itself

    def _zarrs(self, newest: Newest, zarrs: set[str], shown: set[str]) -> Iterator[Observation]:
        """Yield the version's zarrs as they are now: one that is opened again is empty at once, and moves nothing.

        The zarrs of `newest` are listed as well, but have been seen.
        """
        count, listed = len(zarrs | newest.zarrs), 0
        metadata = has_metadata(count)
        yield _planned(f"{count} zarrs", cost_of_zarrs(count))
        for number in range(1, ceil(count / self._page_size) + 1):
            place = Place(Page(number, self._page_size), zarrs=True)
            page = self._page(place, metadata=metadata)
            self._require_rows(page, self._page_size, count)
            newest.lengths[place] = len(page.rows)
            listed += len(page.rows)
            rows = [row for row in page.rows if row["path"] not in newest.ids]
            if not zarrs.issuperset(row["path"] for row in rows) or (number == 1 and page.count != count):
                raise TornRead(f"{self._where} lists zarrs that its assets do not have")
            if metadata:
                shown.update(row["path"] for row in rows)
                yield Observed([self._record(row, page.where) for row in rows])
                continue
            for row in rows:
                record = self._bare_record(page, row)
                if not _is_unchanged(self._known.get(record.key[1]), record):
                    shown.add(record.key[1])
                    newest.differing[str(record.columns["asset_id"])] = ListedAsset(place, row)

    def _digests(self, undigested: Sequence[str], paths: Sequence[str], shown: set[str]) -> Iterator[Observation]:
        """Yield the assets at these paths, alone or with their pages; `paths` are all of the version's, in order."""
        size = min(FIRST_PAGES[-1], self._page_size)
        by_page: dict[Place, list[str]] = defaultdict(list)
        for path in undigested:
            rank = bisect_left(paths, path)
            if rank < len(paths) and paths[rank] == path:
                by_page[Place(Page(rank // size + 1, size))].append(str(self._known[path][_ASSET_ID]))
                shown.add(path)
        if by_page:
            lengths = {place: min(size, len(paths) - (place.page.number - 1) * size) for place in by_page}
            wanted = {asset_id for asset_ids in by_page.values() for asset_id in asset_ids}
            yield from self._from_api(wanted, plan_fetching(by_page, lengths))

    # What has left

    def _search(self, search: Search, newest: Newest) -> Iterator[Observation]:
        """Search among pages by path for what the version no longer has. The last page must be the last one."""
        probes = 0
        while number := search.next_page():
            page = self._page(Place(Page(number, search.size)), metadata=False)
            self._require_rows(page, search.size, search.count)
            if page.more != (number < search.pages):
                raise TornRead(f"{self._where} does not have the {search.count} assets that it says it has")
            search.take(number, [self._place_in(search.paths, newest, row) for row in page.rows], where=page.where)
            probes += 1
        how = f"{probes} pages that tell which {len(search.gone)} left"
        yield Planned(how, probes, probes * search.size * BARE_BYTES)

    def _place_in(self, paths: Sequence[str], newest: Newest, row: Json) -> int:
        path, place = row["path"], bisect_left(paths, row["path"])
        known = self._known.get(path)
        expected = newest.ids.get(path) or (known and known[_ASSET_ID])
        if row["asset_id"] != expected:
            raise TornRead(f"{self._where}: {path[:200]!r} changed while the version was read")
        return place

    # Pages with metadata

    def _full_walk(self) -> Iterator[Observation]:
        size = min(self._page_size, self._request.max_records or self._page_size)

        def read(number: int) -> RecordsPage:
            page = self._page(Place(Page(number, size)), metadata=True)
            return RecordsPage(number, page.count, page.more, self._records(page))

        # By a worker like the others: parsed pages are large, and there are never more than workers at once.
        [first] = self._request.workers.map(read, [1])
        count = first.count or 0
        pages = ceil(count / size)
        if self._request.max_records and count > self._request.max_records:
            self.cut_short = True
            pages = ceil(self._request.max_records / size)

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
        limit = self._request.max_records
        return length if limit is None else max(0, length - max(0, seen - limit))

    # Pages without, then what differs

    def _bare_walk(self, held: Mapping[str, Record]) -> Iterator[Observation]:
        """List the version whole; `held` are records with metadata, by path, that were read a moment ago."""
        first = self._bare_page(1)
        count = first.count or 0
        yield Expected(count)
        differing: Differing = {}
        lengths: dict[Place, int] = {}
        pages = ceil(count / self._page_size)
        for page in self._first_then_rest(first, self._bare_page, pages, _size_of_page):
            self._require_end(page, pages)
            lengths[self._place(page.number)] = len(page.rows)
            yield from self._compare(page, differing, held)
        self._require_count(sum(lengths.values()), count)
        if self._request.fetch:
            yield from self._contents(differing, lengths)
        else:
            yield Outdated(ASSET, [(self._version, listed.row["path"]) for listed in differing.values()])
        yield Complete(ASSET, (self._version,))

    def _place(self, number: int) -> Place:
        return Place(Page(number, self._page_size))

    def _bare_page(self, number: int) -> AssetPage:
        return self._page(self._place(number), metadata=False)

    def _compare(self, page: AssetPage, differing: Differing, held: Mapping[str, Record]) -> Iterator[Observation]:
        """Yield of a bare page what is as the mirror has it, and what is held; put its other rows to `differing`."""
        same, again = [], []
        for row in page.rows:
            record = self._bare_record(page, row)
            path = record.key[1]
            if path in held and _rows_agree(held[path], record):
                again.append(held[path])
            elif _is_unchanged(self._known.get(path), record):
                same.append(record.key)
            else:
                differing[str(record.columns["asset_id"])] = ListedAsset(self._place(page.number), row)
        yield Observed(again)
        yield Unchanged(ASSET, same)

    def _contents(self, differing: Differing, lengths: Mapping[Place, int]) -> Iterator[Observation]:
        """Yield the listed assets of `differing` with their metadata, from wherever that costs least."""
        plan = plan_fetching(_by_page(differing), lengths)
        listed = self._shelf.asset_count
        if self._reaches_manifests and plan.cost.weight > cost_of_manifest(listed).weight:
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

    def _from_api(self, wanted: set[str], plan: FetchPlan[Place]) -> Iterator[Observation]:
        """Yield the listed assets that are wanted, one by one or by pages, whichever costs the server less."""
        how = f"{len(wanted)} by the API: {len(plan.pages)} pages, {len(plan.singles)} alone"
        yield _planned(how, plan.cost)
        fetches: list[str | Place] = [*plan.singles, *plan.pages]
        for records in self._request.workers.map(self._fetch, fetches, measure=_size_of_records):
            found = [record for record in records if record.columns["asset_id"] in wanted]
            wanted.difference_update(str(record.columns["asset_id"]) for record in found)
            yield Observed(found)
        if wanted:
            raise TornRead(f"{self._where}: {len(wanted)} listed assets were gone when their metadata was asked for")

    def _fetch(self, what: str | Place) -> list[Record]:
        """Return one asset by its id, or a whole page by its place."""
        if isinstance(what, Place):
            return self._records(self._page(what, metadata=True))
        try:
            return [self._record(self._api.asset_info(what), f"asset {what}")]
        except ResourceMissing as error:
            raise TornRead(f"{self._where}: listed asset {what} does not exist") from error

    # Pages

    def _page(self, place: Place, *, metadata: bool) -> AssetPage:
        return self._api.asset_page(
            self._shelf.dandiset, self._version, place.page, metadata=metadata, order=place.order, zarrs=place.zarrs
        )

    def _records(self, page: AssetPage) -> list[Record]:
        return [self._record(row, page.where) for row in page.rows]

    def _record(self, row: Json, where: str) -> Record:
        known, derived = self._request.known[ASSET.name], self._shelf.derives_facets
        return asset_record(self._version, row, where=where, known=known, derived=derived)

    def _bare_record(self, page: AssetPage, row: Json) -> Record:
        return asset_record(self._version, {**row, "metadata": {}}, where=page.where, derived=False)

    def _first_then_rest(
        self, first: AnyPage, read: Callable[[int], AnyPage], pages: int, measure: Callable[[AnyPage], int]
    ) -> Iterable[AnyPage]:
        """Yield page 1, which is here already, then the others in any order."""
        yield first
        yield from self._request.workers.map(read, range(2, pages + 1), measure=measure)

    def _require_end(self, page: AssetPage | RecordsPage, pages: int) -> None:
        """Raise `TornRead` if `pages` are too few or too many: a wrong count neither ends the walk nor prolongs it."""
        if page.more and page.number >= pages and not self.cut_short:
            raise TornRead(f"{self._where} says it has {pages} pages of assets but has more")
        if page.number < pages and not page.more:
            raise TornRead(f"{self._where} says it has {pages} pages of assets but ends with page {page.number}")

    def _require_rows(self, page: AssetPage, size: int, count: int) -> None:
        """Raise `TornRead` unless a page is as long as `count` assets make it."""
        expected = max(0, min(size, count - (page.number - 1) * size))
        if len(page.rows) != expected:
            raise TornRead(f"{page.where} has {len(page.rows)} rows where {expected} of {count} were to be")

    def _require_count(self, seen: int, count: int) -> None:
        if seen != count:
            raise TornRead(f"{self._where} says it has {count} assets but lists {seen}")


def _size_of_records(records: Sequence[Record]) -> int:
    return sum(len(record.metadata or "") for record in records)


def _size_of_page(page: AssetPage) -> int:
    return len(page.rows) * BARE_ROW


def _by_page(differing: Differing) -> Mapping[Place, list[str]]:
    pages: dict[Place, list[str]] = defaultdict(list)
    for asset_id, listed in differing.items():
        pages[listed.place].append(asset_id)
    return pages


def _planned(plan: str, cost: Cost) -> Planned:
    return Planned(plan, cost.requests, round(cost.received_bytes))


_ASSET_ID, _MODIFIED, _SIZE, _SHA256, _ZARR = (
    1 + ASSET.fingerprint.index(name) for name in ("asset_id", "modified", "size", "sha256", "zarr")
)
"""Where a known asset's fingerprint has these."""


def _rows_agree(one: Record, other: Record) -> bool:
    return all(one.columns[name] == other.columns[name] for name in ("asset_id", "modified", "size"))


def _is_unchanged(known: Fingerprint | None, listed: Record) -> bool:
    """Tell whether a bare row proves that the stored metadata still holds.

    It does not for a blob whose sha256 was still missing, nor for a zarr that was empty: both are filled in
    without moving `modified`.
    """
    if known is None:
        return False
    columns = listed.columns
    if (known[_ASSET_ID], known[_MODIFIED], known[_SIZE]) != (
        columns["asset_id"],
        columns["modified"],
        columns["size"],
    ):
        return False
    return known[_SHA256] is not None if columns["zarr"] is None else known[_SIZE] != 0


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
        self._identifier = listed.key
        self._request = request
        self._full = request.full and (request.round is None or in_turn(self._identifier, request.round))
        self._published_assets = published_assets and ASSETS in request.parts
        self._derives_facets = derives_facets
        self._cut_short = False
        self._draft = f"draft of dandiset {self._identifier}"

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
        info = self._api.draft_info(self._identifier)
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
                "identifier": self._identifier,
                "embargo_status": mapping(info, "dandiset", where=self._draft).get("embargo_status"),
                "draft_version": info,
                "most_recent_published_version": self._listed.row["published"],
            },
            where=self._draft,
        )
        if now.token != self._listed.token:
            before, after = self._listed.modified.isoformat(), now.modified.isoformat()
            raise TornRead(
                f"dandiset {self._identifier} changed while it was read: its draft moved from {before} to {after}"
            )

    # Versions

    def _published_rows(self) -> list[Json]:
        """Return the published versions' rows; a dandiset never published costs no request.

        One that was published when it was last read is asked again: versions are deleted by a listing only.
        """
        if not self._lists_versions:
            return []
        newest = self._listed.row["published"]
        found = [row for row in self._api.versions(self._identifier) if row["version"] != DRAFT]
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
        listed = version_record(row, {}, where=f"versions of dandiset {self._identifier}")
        return known is not None and known[1:] == listed.fingerprint[1:]

    def _published_version(self, row: Json) -> Record:
        metadata = self._api.version_metadata(self._identifier, row["version"])
        return version_record(row, metadata, where=f"dandiset {self._identifier} {row['version']}")

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
        if self._request.max_records or self._request.full or not details:
            return None
        before, now = moment_of(stored), self._listed.modified
        return None if now < before - OVERLAP else canonical_instant((before - OVERLAP).isoformat())

    def _assets_of_published(self, published: Sequence[Json]) -> Iterator[Observation]:
        """Read what is not surely held as it is. A published version's assets are fixed, but for zarrs.

        No row tells of a zarr that was opened or uploaded again, so a version that may have some is listed.
        """
        if not self._published_assets:
            return
        held, digested = self._held_of_versions()
        for row in published:
            version, count = (
                row["version"],
                integer(row, "asset_count", where=f"versions of dandiset {self._identifier}"),
            )
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
        shelf = VersionAssets(self._identifier, version, count, embargo, since, self._derives_facets)
        reading = AssetReading(self._api, self._manifests, self._request, shelf)
        yield from reading.observations(full=full or self._full)
        self._cut_short = self._cut_short or reading.cut_short


def in_turn(dandiset: str, round_of_sweeps: int) -> bool:
    """Tell whether a dandiset's content is read in this round: in one of any `SHARES` that follow each other."""
    return crc32(dandiset.encode()) // SPREAD % SHARES == round_of_sweeps % SHARES


SPREAD = 1_000
"""The day on which a dandiset has its turn is told by the same number's smaller digits."""

_SHA256 = 1 + ASSET.fingerprint.index("sha256")
