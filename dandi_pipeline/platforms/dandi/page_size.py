"""How much is asked for at a time: less while the archive cannot manage it, and more again once it can. No I/O."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock

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
