"""Faults that a simulator can be told to have: which requests they hit, and what can go wrong on any platform."""

import random
import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from json import JSONDecodeError
from typing import Any

from .messages import HTML, Reply

HUGE = 10**30

Effect = Callable[..., Reply]
"""Takes a reply and a fault's options, and returns the reply as it then is."""


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong, with the requests that it hits.

    `options` are the arguments of its effect. A request is hit if its kind and its path with query match, it is the
    `nth` such request (from 1) where that is given, chance allows it, and the fault has struck fewer than `times`
    times.
    """

    effect: str
    options: Mapping[str, Any] = field(default_factory=dict)
    kind: str | None = None
    path: str | None = None
    nth: int | None = None
    probability: float = 1.0
    times: int | None = None

    def matches(self, kind: str, target: str) -> bool:
        """Whether a request is of the sort that the fault hits."""
        return self.kind in (None, kind) and (self.path is None or bool(re.search(self.path, target)))


class Faults:
    """The faults now in force, with any of some effects; which requests chance picks is the same for the same seed."""

    def __init__(self, effects: Collection[str], seed: int = 0) -> None:
        self._effects = effects
        self._lock = threading.Lock()
        self._seed = seed
        self.clear()

    def clear(self) -> None:
        """Let everything work again, and start the seed anew."""
        with self._lock:
            self._random = random.Random(self._seed)
            self._faults: list[Fault] = []
            self._met: list[int] = []
            self._struck: list[int] = []

    def add(self, effect: str, **details: Any) -> None:
        """Put a fault in force: what `Fault` takes, any other keyword being an option of the effect."""
        if effect not in self._effects:
            raise ValueError(f"no fault is called {effect!r}; there are {', '.join(sorted(self._effects))}")
        matcher = {name: details.pop(name) for name in _MATCHERS & details.keys()}
        with self._lock:
            self._faults.append(Fault(effect, details, **matcher))
            self._met.append(0)
            self._struck.append(0)

    def struck(self) -> int:
        """How many requests were hit so far, counted once for each fault."""
        with self._lock:
            return sum(self._struck)

    def hitting(self, kind: str, target: str) -> list[Fault]:
        """Return the faults that hit this request, and count it."""
        with self._lock:
            return [
                fault
                for number, fault in enumerate(self._faults)
                if fault.matches(kind, target) and self._strikes(number, fault)
            ]

    def _strikes(self, number: int, fault: Fault) -> bool:
        self._met[number] += 1
        strikes = (
            (fault.nth is None or self._met[number] == fault.nth)
            and (fault.times is None or self._struck[number] < fault.times)
            and (fault.probability >= 1 or self._random.random() < fault.probability)
        )
        self._struck[number] += strikes
        return strikes


def spoil(reply: Reply, faults: Sequence[Fault], effects: Mapping[str, Effect]) -> Reply:
    """Return the reply with every fault's effect on it, in the order in which they were added."""
    for fault in faults:
        if fault.effect in effects:
            reply = effects[fault.effect](reply, **fault.options)
    return reply


def _reset(reply: Reply) -> Reply:
    return reply.delivered(reset=True)


def _slow_start(reply: Reply, *, seconds: float = 1.0) -> Reply:
    return reply.delivered(wait=seconds)


def _slow_body(reply: Reply, *, seconds: float = 1.0) -> Reply:
    return reply.delivered(body_seconds=seconds)


def _cut_body(reply: Reply, *, at: float = 0.5) -> Reply:
    return reply.delivered(cut_at=at)


def _cut_gzip(reply: Reply, *, at: float = 0.5) -> Reply:
    return reply.delivered(gzip_cut_at=at)


def _html(reply: Reply, *, status: int = 200) -> Reply:
    page = b"<!doctype html><html><body><h1>We are improving the archive</h1></body></html>"
    return replace(reply, status=status, body=page, content_type=HTML)


def _without_field(reply: Reply, *, name: str) -> Reply:
    """Leave a field out, wherever it occurs; a dotted name ("draft_version.modified") goes down into it."""
    return _altered(reply, name, lambda holder, key: holder.pop(key))


def _with_value(reply: Reply, *, name: str, value: Any = None) -> Reply:
    """Give a field another value (null by default), wherever it occurs."""
    return _altered(reply, name, lambda holder, key: holder.update({key: value}))


def _as_string(reply: Reply, *, name: str) -> Reply:
    """Spell a field's number as a string."""
    return _altered(reply, name, lambda holder, key: holder.update({key: str(holder[key])}))


def _huge(reply: Reply, *, name: str) -> Reply:
    """Give a field a number that fits no column."""
    return _as_written(reply, name=name, text=str(HUGE))


def _as_written(reply: Reply, *, name: str, text: str) -> Reply:
    """Give a field a value as this JSON text spells it, be it one that no Python value is spelled as."""
    marked = _with_value(reply, name=name, value="AS WRITTEN")
    return replace(marked, body=marked.body.replace(b'"AS WRITTEN"', text.encode()))


def _odd_row(reply: Reply, *, identifier: str, name: str, value: object = None) -> Reply:
    """Give a field of the one object with this identifier another value (null by default); dots lead down into it.

    Dandisets without a draft version were listed for weeks: dandi/dandi-archive#219.
    """
    answer = reply.json()
    for row in _objects(answer):
        if identifier in (row.get("identifier"), row.get("id")):
            *path, last = name.split(".")
            for step in path:
                row = row[step]
            row[last] = value
    return reply.saying(answer)


def _objects(value: Any) -> list[dict[str, Any]]:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = [each for child in children for each in _objects(child)]
    return [*found, value] if isinstance(value, dict) else found


def _with_header(reply: Reply, *, name: str, value: str) -> Reply:
    return replace(reply, headers={**reply.headers, name: value})


def _altered(reply: Reply, name: str, alter: Callable[[dict[str, Any], str], Any]) -> Reply:
    """Alter a field in every dictionary that has it; what is no JSON any more, as spoilt bulk files, stays as it is."""
    try:
        value = reply.json()
    except JSONDecodeError:
        return reply
    names = name.split(".")
    for holder in _holders(value, names):
        alter(holder, names[-1])
    return reply.saying(value)


def _holders(value: Any, names: list[str]) -> list[dict[str, Any]]:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = [holder for child in children for holder in _holders(child, names)]
    holder = value
    for name in names[:-1]:
        holder = holder.get(name) if isinstance(holder, dict) else None
    return [*found, holder] if isinstance(holder, dict) and names[-1] in holder else found


EFFECTS: Mapping[str, Effect] = {
    "reset": _reset,
    "slow_start": _slow_start,
    "slow_body": _slow_body,
    "cut_body": _cut_body,
    "cut_gzip": _cut_gzip,
    "html": _html,
    "without_field": _without_field,
    "with_value": _with_value,
    "as_string": _as_string,
    "huge": _huge,
    "as_written": _as_written,
    "odd_row": _odd_row,
    "with_header": _with_header,
}
"""What a fault does to a reply, whatever the platform."""

_MATCHERS = {"kind", "path", "nth", "probability", "times"}
