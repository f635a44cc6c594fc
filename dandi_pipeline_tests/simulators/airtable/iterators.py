"""The server-side iterators behind offsets: who is in a list, and where, is settled when its first page is read."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .instants import Clock
from .refusals import invalid_offset, iterator_gone

TIME_TO_LIVE = timedelta(minutes=5)
"""How long an iterator outlives its last page; the real ones die "within minutes"."""

_OFFSET = re.compile(r"(itr\w{14})/(rec\w{14})", re.ASCII)


@dataclass
class Iterator:
    """A list in the making: the question it answers, and its records in their order."""

    id: str
    question: object
    record_ids: Sequence[str]
    used: datetime

    def offset_after(self, end: int) -> str:
        """Return the offset under which the list goes on after its first `end` records."""
        return f"{self.id}/{self.record_ids[end - 1]}"


class Iterators:
    """The iterators alive. They die of `time_to_live` without a request, and all at once when told."""

    def __init__(self, clock: Clock, time_to_live: timedelta = TIME_TO_LIVE) -> None:
        self._clock = clock
        self._time_to_live = time_to_live
        self._alive: dict[str, Iterator] = {}

    def open(self, iterator_id: str, question: object, record_ids: Sequence[str]) -> Iterator:
        """Start a list."""
        self._alive = {key: iterator for key, iterator in self._alive.items() if not self._is_dead(iterator)}
        self._alive[iterator_id] = Iterator(iterator_id, question, record_ids, self._clock.now())
        return self._alive[iterator_id]

    def resume(self, offset: str, question: object) -> tuple[Iterator, int]:
        """Return the iterator that an offset names and how far it has come; the question must be the same."""
        match = _OFFSET.fullmatch(offset)
        if match is None:
            raise invalid_offset()
        iterator = self._alive.get(match[1])
        if iterator is None or self._is_dead(iterator):
            raise iterator_gone()
        if iterator.question != question or match[2] not in iterator.record_ids:
            raise invalid_offset()
        iterator.used = self._clock.now()
        return iterator, iterator.record_ids.index(match[2]) + 1

    def forget_all(self) -> None:
        """Lose them all, as a restart of the server does."""
        self._alive.clear()

    def _is_dead(self, iterator: Iterator) -> bool:
        return self._clock.now() > iterator.used + self._time_to_live
