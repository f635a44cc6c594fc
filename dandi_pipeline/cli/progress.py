"""How far a sync is, shown on standard error: bars on a terminal, lines everywhere else, warnings beside them."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import RLock, Timer
from typing import Any, NoReturn, TextIO, TypeAlias

from tqdm import tqdm

from dandi_pipeline.cli.output import tell
from dandi_pipeline.sync.progress import Stage
from dandi_pipeline.text import one_line, plain, quantity

_PARTITION_STAGES = (Stage.CHECK_PARTITIONS, Stage.UPDATE_PARTITIONS)
_BARS_AT_ONCE = 6
_HEARTBEAT_SECONDS = 10.0
_LONGEST_HOLD = 2.0


@dataclass(frozen=True, slots=True)
class Wording:
    """What the steps are called for one platform; `spelling` is how people tell partitions apart, see `Entry`."""

    platform: str
    partition_noun: str
    record_noun: str
    spelling: str
    with_records: bool = True
    dry_run: bool = False
    names: Mapping[str, str] = field(default_factory=dict)

    def label(self, partition: str) -> str:
        """Return a partition as people write it: one whose name is not known by its key."""
        return self.spelling.format(key=partition, name=self.names.get(partition) or partition)

    def stage(self, stage: Stage, partition: str | None) -> str:
        """Return a stage's name, e.g. "Checking assets for DANDI:000003"."""
        if stage is Stage.CHECK_PARTITIONS:
            return f"Checking {self.partition_noun}s for updates"
        if stage is Stage.UPDATE_PARTITIONS:
            return f"{'Comparing' if self.dry_run else 'Updating'} {self.partition_noun}s"
        verb = "Checking" if stage is Stage.CHECK_RECORDS else "Updating"
        return plain(f"{verb} {self.record_noun}s for {self.label(partition or '')}")

    def before(self, stage: Stage, total: int | None) -> list[str]:
        """Return the lines that announce a stage."""
        if stage is Stage.CHECK_PARTITIONS:
            return [f"Fetching {self.partition_noun}s from {self.platform} API..."]
        if stage is Stage.UPDATE_PARTITIONS:
            found = [f"Found {quantity(total or 0, self.partition_noun)} to update"]
            syncing = total and self.with_records and not self.dry_run
            return [*found, f"Syncing {self.record_noun}s..."] if syncing else found
        return []

    def unit(self, stage: Stage) -> str:
        """Return what a stage counts."""
        return self.partition_noun if stage in _PARTITION_STAGES else self.record_noun


Display: TypeAlias = "Lines | Bars"
"""Watches a sync as its `Progress`; lines may be written beside it with `say`. Left, it takes its bars away."""

_Running: TypeAlias = "tuple[Stage, str | None]"


def display(wording: Wording, *, bars: bool, hold: bool) -> Display:
    """Return what shows a sync's progress: bars if they are wanted and standard error is a terminal, else lines."""
    return Bars(wording) if bars and sys.stderr.isatty() else Lines(wording, hold=hold)


class Lines:
    """Progress as lines: each step once, each partition as it is done, and a sign of life in between.

    What takes long, one very large partition or very many small ones, says how far it is every ten seconds. With
    `hold` nothing is said before the platform has answered, or has not for two seconds: a command that fails at once
    then says only why, and one that waits says for what.
    """

    def __init__(self, wording: Wording, *, hold: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._wording = wording
        self._clock = clock
        self._lock = RLock()
        self._counts: dict[_Running, _Count] = {}
        self._held: list[str] | None = [] if hold else None
        self._patience: Timer | None = None

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._patience is not None:
            self._patience.cancel()

    def say(self, line: str, *, to: TextIO | None = None) -> None:
        """Write one line, or hold it back as long as lines are."""
        with self._lock:
            if self._held is None:
                tell(line, to=to)
            else:
                self._held.append(line)

    def call_out(self, line: str) -> None:
        """Write one line at once."""
        with self._lock:
            tell(line)

    def learn(self, names: Mapping[str, str]) -> None:
        """Take what the partitions are called."""
        self._wording = replace(self._wording, names=names)

    def begin(self, stage: Stage, partition: str | None, total: int | None) -> None:
        """Announce a stage, or take note of a total that has become known."""
        with self._lock:
            if (stage, partition) not in self._counts:
                self._announce(stage, total)
            if total is not None:
                self._release()
            elif self._held is not None and self._patience is None:
                self._patience = Timer(_LONGEST_HOLD, self._release)
                self._patience.daemon = True
                self._patience.start()
            self._counts[stage, partition] = _Count(total, spoke=self._clock())

    def advance(self, stage: Stage, partition: str | None, by: int) -> None:
        """Count, and say how far it is if nothing was said for long."""
        with self._lock:
            count = self._counts.get((stage, partition))
            if count is None:
                return
            count.done += by
            if self._clock() - count.spoke >= _HEARTBEAT_SECONDS:
                count.spoke = self._clock()
                self.say(f"{self._wording.stage(stage, partition)}: {count}")

    def end(self, stage: Stage, partition: str | None) -> None:
        """Say what a stage came to."""
        with self._lock:
            if stage is Stage.CHECK_RECORDS:
                return  # its count is part of what is said when the partition has been updated
            count = self._counts.pop((stage, partition), None)
            if count is None:
                return
            if stage is Stage.UPDATE_RECORDS:
                self.say(self._partition_done(partition or "", count))
            elif count.total is not None and (count.done or stage is Stage.CHECK_PARTITIONS):
                self.say(f"{self._wording.stage(stage, partition)}: {count}")

    def _announce(self, stage: Stage, total: int | None) -> None:
        for line in self._wording.before(stage, total):
            self.say(line)

    def _release(self) -> None:
        with self._lock:
            held, self._held = self._held or [], None
            for line in held:
                tell(line)

    def _partition_done(self, partition: str, updated: "_Count") -> str:
        checked = self._counts.pop((Stage.CHECK_RECORDS, partition), None)
        if checked is None:
            return plain(f"Updated {self._wording.label(partition)}")
        name = self._wording.stage(Stage.UPDATE_RECORDS, partition)
        return f"{name}: {checked.done:,} checked, {updated.done:,} changed"


@dataclass(slots=True)
class _Count:
    """How far one stage is, and when that was last said."""

    total: int | None
    spoke: float
    done: int = 0

    def __str__(self) -> str:
        if not self.total:
            return f"{self.done:,}"
        return f"{100 * self.done // self.total}% {self.done:,}/{self.total:,}"


class Bars:
    """Progress as bars: the archive's stay on the screen, a partition's are gone when it is done.

    Only a few partitions are shown at a time, and only those that have records to show.
    """

    def __init__(self, wording: Wording) -> None:
        self._wording = wording
        self._lock = RLock()
        self._bars: dict[_Running, tqdm[NoReturn]] = {}

    def __enter__(self) -> "Bars":
        return self

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            for running in list(self._bars):
                self.end(*running)

    def say(self, line: str, *, to: TextIO | None = None) -> None:
        """Write one line above the bars."""

        with self._lock, tqdm.external_write_mode(file=to or sys.stderr):
            tell(line, to=to)

    def call_out(self, line: str) -> None:
        """Write one line at once, above the bars."""
        self.say(line)

    def learn(self, names: Mapping[str, str]) -> None:
        """Take what the partitions are called."""
        self._wording = replace(self._wording, names=names)

    def begin(self, stage: Stage, partition: str | None, total: int | None) -> None:
        """Show a bar, or give one the total that has become known."""
        with self._lock:
            if (bar := self._bars.get((stage, partition))) is not None:
                bar.n, bar.total = 0, total
                bar.refresh()
                return
            for line in self._wording.before(stage, total):
                self.say(line)
            if self._worth_a_bar(stage, total):
                self._bars[stage, partition] = self._bar(stage, partition, total)

    def advance(self, stage: Stage, partition: str | None, by: int) -> None:
        """Move a bar on."""
        with self._lock:
            if (bar := self._bars.get((stage, partition))) is not None:
                bar.update(by)

    def end(self, stage: Stage, partition: str | None) -> None:
        """Let a bar go."""
        with self._lock:
            if (bar := self._bars.pop((stage, partition), None)) is not None:
                bar.close()

    def _worth_a_bar(self, stage: Stage, total: int | None) -> bool:
        if stage in _PARTITION_STAGES:
            return total != 0
        return bool(total) and len(self._bars) < _BARS_AT_ONCE

    def _bar(self, stage: Stage, partition: str | None, total: int | None) -> "tqdm[NoReturn]":
        return tqdm(
            desc=self._wording.stage(stage, partition),
            total=total,
            unit=self._wording.unit(stage),
            leave=stage in _PARTITION_STAGES,
            file=sys.stderr,
            **_screen(),
        )


def _screen() -> dict[str, Any]:
    """Return how bars fit the terminal; one that does not know its own size, as some in containers, gets the usual."""
    try:
        known = all(os.get_terminal_size(sys.stderr.fileno()))
    except OSError:
        known = False
    return {"dynamic_ncols": True} if known else {"ncols": 80, "nrows": 24}


_OURS = "dandi_pipeline"


@contextmanager
def warnings_beside(watcher: Display, *, of_libraries: bool) -> Iterator[None]:
    """Show the project's warnings as lines of `watcher` meanwhile, and those of libraries if they are asked for.

    Written by themselves they would tear the bars apart, and a library's may be a stack trace: SQLAlchemy logs one
    for an interrupt that meets it closing a connection, which is raised as well.
    """
    root, handler = logging.getLogger(), _Beside(watcher)
    if not of_libraries:
        handler.addFilter(logging.Filter(_OURS))
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


class _Beside(logging.Handler):
    def __init__(self, watcher: Display) -> None:
        super().__init__(logging.WARNING)
        self._watcher = watcher

    def emit(self, record: logging.LogRecord) -> None:
        self._watcher.say(one_line(record.getMessage()))
