"""The archive's endpoints, as the sync needs them: paths, paging, page sizes, and the checks on what comes back."""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from threading import Lock
from typing import Any

from dandi_pipeline.canonical import canonical, digest_of
from dandi_pipeline.errors import (
    ContractError,
    PlatformFailing,
    ResourceMissing,
    TornRead,
    UnexpectedPayload,
    WrongAddress,
)
from dandi_pipeline.http.addresses import path as path_of
from dandi_pipeline.http.client import HttpClient, Overburdened, Unintelligible
from dandi_pipeline.http.paging import Turning, follow
from dandi_pipeline.http.payload import array, instant, integer, mapping, mappings, optional_mapping, text
from dandi_pipeline.instants import moment_of
from dandi_pipeline.model import Listed
from dandi_pipeline.platforms.dandi.plan import PAGE_SIZE
from dandi_pipeline.platforms.dandi.records import DRAFT, Json

SMALLEST = 50
"""Rows; a smaller page would hardly cost the server less than the request itself."""

MANAGED_TO_GROW = 8
"""Answers in a row that must arrive before twice as much is asked for again."""


@dataclass(frozen=True, slots=True)
class Page:
    """Page `number`, from 1, of `size` rows."""

    number: int
    size: int

    @property
    def divisible(self) -> bool:
        """Whether it can be asked for as two pages of half the size that hold the same rows."""
        return self.size % 2 == 0 and self.size // 2 >= SMALLEST

    @property
    def halves(self) -> tuple["Page", "Page"]:
        """The two pages that hold its rows."""
        return Page(2 * self.number - 1, self.size // 2), Page(2 * self.number, self.size // 2)


class PageSize:
    """The most rows that one kind of page is asked for with, whatever thread asks.

    It is halved when a page of that size was too much, and doubled after `MANAGED_TO_GROW` that were not, up to
    `largest`. What a walk calls a page stays the same: the pages asked for in its place hold the same rows.
    """

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._lock = Lock()
        self._most = largest
        self._managed = 0

    @property
    def most(self) -> int:
        """The size that larger pages are cut down to."""
        return self._most

    def too_much(self, page: Page) -> None:
        """Take note that a page could not be made in time."""
        with self._lock:
            self._managed = 0
            self._most = min(self._most, page.size // 2)

    def managed(self, page: Page) -> None:
        """Take note that a page has arrived."""
        with self._lock:
            if page.size < self._most or self._most == self._largest:
                return
            self._managed += 1
            if self._managed >= MANAGED_TO_GROW:
                self._managed, self._most = 0, min(self._largest, 2 * self._most)


class Portions(Iterator[Page]):
    """The pages to ask for in place of one; what was too much is put back and comes again as its halves."""

    def __init__(self, page: Page, size: PageSize) -> None:
        self._size = size
        self._left = deque([page])

    def __next__(self) -> Page:
        if not self._left:
            raise StopIteration
        page = self._left.popleft()
        while page.divisible and page.size > self._size.most:
            page, second = page.halves
            self._left.appendleft(second)
        return page

    def put_back(self, page: Page) -> None:
        """Take note that a page was too much: its halves come next."""
        self._size.too_much(page)
        self._left.extendleft(reversed(page.halves))


LISTING_ATTEMPTS = 3

BY_PATH, NEWEST_FIRST = "path", "-modified,path"
"""Orders of assets. Both are total: many assets share a time, and the server shows those in no order of its own."""


@dataclass(frozen=True, slots=True)
class AssetPage:
    """One page of a version's assets. Only page 1 knows `count`: the server counts lazily.

    `more` says that the server has another page after this one.
    """

    number: int
    count: int | None
    rows: Sequence[Json]
    where: str
    more: bool


class DandiApi:
    """Reads one archive, `page_size` assets at a time. Every method raises `PipelineError`s only."""

    def __init__(self, client: HttpClient, *, lists_embargoed: bool, page_size: int = PAGE_SIZE) -> None:
        self.page_size = page_size
        self._client = client
        self._lists_embargoed = lists_embargoed
        self._listing_size = PageSize(PAGE_SIZE)
        self._sizes = {metadata: PageSize(page_size) for metadata in (True, False)}

    def dandisets(self) -> list[Listed]:
        """Return every visible dandiset, or raise: pages that shifted while they turned are read again."""
        for _ in range(LISTING_ATTEMPTS):
            count, listed, more = self._dandiset_pages()
            keys = [item.key for item in listed if item.key]
            if len(set(keys)) == len(keys) and len(listed) == count and not more:
                return listed
        raise ContractError(
            f"the list of dandisets says it has {count} but shows {len(listed)}{' and more pages' * more},"
            f" {LISTING_ATTEMPTS} times in a row; nothing was changed: try again later"
        )

    def dandiset(self, identifier: str) -> Listed:
        """Return one dandiset as a row of the list shows it.

        Its own page tells of the published version that was saved last, the list of the newest (dandi-archive,
        `models/dandiset.py` and `views/dandiset.py`). So the newest is asked for, one more request where there is
        any, or the two would never agree on a token again once an older one has been corrected.
        """
        try:
            row = self._get(path_of("dandisets", identifier, ""))
        except Unintelligible as error:
            raise _no_archive(str(error)) from None
        if row.get("most_recent_published_version") is not None:
            with suppress(ContractError, PlatformFailing):  # the dandiset is read then, which fails it alone
                row = {**row, "most_recent_published_version": self._newest_published(identifier)}
        return as_listed(row, where=f"dandiset {identifier}")

    def versions(self, identifier: str) -> list[Json]:
        """Return the rows of all versions, the draft among them; raise `TornRead` if their number does not add up."""
        where, path, count = f"versions of dandiset {identifier}", path_of("dandisets", identifier, "versions", ""), 0

        def page(number: int) -> tuple[Sequence[Json], int | None]:
            nonlocal count
            try:
                answer = self._get(path, {"page": number, "page_size": PAGE_SIZE})
            except ResourceMissing as missing:
                if number == 1:
                    raise
                raise TornRead(f"{where}: the list became shorter while it was read ({missing})") from None
            count = integer(answer, "count", where=f"{where}, page {number}")
            rows = mappings(answer, "results", where=f"{where}, page {number}")
            return rows, number + 1 if _has_next(answer) else None

        found = [row for rows in follow(page, 1, where=where) for row in rows]
        names = {text(row, "version", where=where) for row in found}
        if not len(names) == len(found) == count:
            raise TornRead(f"dandiset {identifier} says it has {count} versions but lists {len(names)}")
        return found

    def _newest_published(self, identifier: str) -> Json | None:
        """Return the row of the version created last; a draft is the oldest version there is."""
        params = {"order": "-created", "page": 1, "page_size": 1}
        rows = mappings(
            self._get(f"dandisets/{identifier}/versions/", params), "results", where=f"dandiset {identifier}"
        )
        return next((row for row in rows if row.get("version") != DRAFT), None)

    def version_metadata(self, identifier: str, version: str) -> Json:
        """Return a version's metadata."""
        return self._get(path_of("dandisets", identifier, "versions", version, ""))

    def draft_info(self, identifier: str) -> Json:
        """Return the draft's row, metadata and dandiset in one answer, so they belong together."""
        return self._get(path_of("dandisets", identifier, "versions", "draft", "info", ""))

    def asset_page(
        self,
        identifier: str,
        version: str,
        page: Page,
        *,
        metadata: bool,
        order: str = BY_PATH,
        zarrs: bool = False,
    ) -> AssetPage:
        """Return one page of a version's assets, or of its `zarrs` alone.

        What is too much for the server at a time is asked for as smaller pages that hold the same rows.
        """
        where = f"assets of dandiset {identifier} {version}, page {page.number}"
        path = path_of("dandisets", identifier, "versions", version, "assets", "")
        params = {"order": order, "metadata": str(metadata).lower(), **({"zarr": "true"} if zarrs else {})}
        answers = list(self._portions(path, params, page, self._sizes[metadata], where=where))
        count = integer(answers[0], "count", where=where) if page.number == 1 else None
        rows = [row for answer in answers for row in mappings(answer, "results", where=where)]
        return AssetPage(page.number, count, rows, where, more=_has_next(answers[-1]))

    def asset_info(self, asset_id: str) -> Json:
        """Return one asset's row with metadata. Says nothing about whether any version still holds it."""
        return self._get(path_of("assets", asset_id, "info", ""))

    def _dandiset_pages(self) -> tuple[int, list[Listed], bool]:
        """Return how many dandisets there are to be, those that are listed, and whether there are more pages."""
        answers = self._first_page()
        count, turning = integer(answers[0], "count", where="list of dandisets"), Turning("list of dandisets")
        try:
            for page in range(2, ceil(count / PAGE_SIZE) + 1):
                if not _has_next(answers[-1]):
                    break
                turning.turned(array(answers[-1], "results", where="list of dandisets"), page)
                answers += self._dandiset_page(page)
        except ResourceMissing:
            # The list has become shorter than `count` said, and the server answers 404 past its end.
            return count, [], True
        listed = [item for answer in answers for item in _listed_rows(answer)]
        return count, listed, _has_next(answers[-1])

    def _first_page(self) -> list[Json]:
        """Return the first page; raise `WrongAddress` where something else than an archive answers."""
        try:
            answers = self._dandiset_page(1)
        except (ResourceMissing, Unintelligible) as error:
            raise _no_archive(str(error)) from None
        if not {"count", "results"} & answers[0].keys():
            raise _no_archive(f"the list of dandisets has neither a count nor results, but {sorted(answers[0])[:5]}")
        return answers

    def _dandiset_page(self, number: int) -> list[Json]:
        """Return one page by `id`: what is created while pages turn comes last. A key alone shows no embargoed one."""
        params = {"ordering": "id", **({"embargoed": "true"} if self._lists_embargoed else {})}
        return list(self._portions("dandisets/", params, Page(number, PAGE_SIZE), self._listing_size))

    def _portions(
        self, path: str, params: dict[str, Any], page: Page, size: PageSize, *, where: str = ""
    ) -> Iterator[Json]:
        """Yield the answers that hold a page's rows, up to where the list ends: one, if the server can manage that.

        With `where`, raise `TornRead` for an answer that is another page than a later one that was asked for: no row
        tells which page it is on. Page 1 alone knows how many rows there are.
        """
        portions = Portions(page, size)
        for portion in portions:
            query = {**params, "page": portion.number, "page_size": portion.size}
            try:
                answer = self._get(path, query, divisible=portion.divisible)
            except Overburdened:
                portions.put_back(portion)
                continue
            size.managed(portion)
            if where and portion.number > 1 and _page_before(answer, portion.number - 1) != portion.number - 1:
                raise TornRead(f"{where}: another page was answered")
            yield answer
            if not _has_next(answer):
                return

    def _get(self, path: str, params: dict[str, Any] | None = None, *, divisible: bool = False) -> Json:
        payload = self._client.get_json(path, params, divisible=divisible).payload
        if not isinstance(payload, dict):
            raise UnexpectedPayload(
                f"{path}: expected a JSON object, got {type(payload).__name__}; nothing was written"
            )
        return payload


def _no_archive(said: str) -> WrongAddress:
    return WrongAddress(
        f"no DANDI API answers at this address ({said}); check DANDI_API_URL or 'api_url', which ends in /api,"
        " or try again later; nothing was deleted"
    )


def _page_before(answer: Json, expected: int) -> int:
    """Return the number of the page before an answer, as its link says; the link to page 1 has no number."""
    if "previous" not in answer:
        return expected
    link = answer["previous"]
    found = _PAGE.search(link) if isinstance(link, str) else None
    return int(found[1]) if found else int(link is not None)


_PAGE = re.compile(r"[?&]page=(\d{1,9})(?:&|$)")


def _has_next(answer: Json) -> bool:
    return answer.get("next") is not None


def as_listed(row: Json, *, where: str) -> Listed:
    """Read a dandiset's row. Its token covers all that the row shows of content.

    `draft_version.modified` moves with every edit; the counts, sizes and the newest published version's row are
    covered too, since some changes (a DOI stored) move only those. `Dandiset.modified` is never moved by an edit,
    stars are not content. A zarr that is opened again moves nothing here: a version's `size` is what its paths were
    counted with when they were added or ingested, not what its assets add up to.
    """
    identifier = text(row, "identifier", where=where)
    here = f"{where}, dandiset {identifier}"
    draft = mapping(row, "draft_version", where=here)
    published = optional_mapping(row, "most_recent_published_version", where=here)
    embargo = text(row, "embargo_status", where=here)
    modified = instant(draft, "modified", where=f"{where}, draft of dandiset {identifier}")
    newest = b"" if published is None else _content(published, instant(published, "modified", where=here), here)
    return Listed(
        key=identifier,
        token=f"{modified} {embargo} {digest_of(_content(draft, modified, here), newest)}",
        name=text(draft, "name", where=here),
        modified=moment_of(modified),
        record_count=integer(draft, "asset_count", where=here),
        row={"embargo_status": embargo, "draft": draft, "published": published},
    )


def _listed_rows(answer: Json) -> Iterator[Listed]:
    """Yield the rows of a page; an odd one as a dandiset that failed, and that is there all the same."""
    where = "list of dandisets"
    for row in array(answer, "results", where=where):
        try:
            yield as_listed(row, where=where)
        except UnexpectedPayload as odd:
            identifier = row.get("identifier") if isinstance(row, dict) else None
            yield Listed.failed(identifier, odd)


def _content(version: Json, modified: str, where: str) -> bytes:
    """Spell what a version's row says, the same from the list and from the dandiset's own page, which shows more."""
    return canonical(
        [
            text(version, "version", where=where),
            text(version, "name", where=where),
            integer(version, "asset_count", where=where),
            integer(version, "size", where=where),
            text(version, "status", where=where),
            modified,
        ]
    )
