"""A sync of several sources: each in a process of its own, side by side, their reports put together.

In processes, because Dagster makes the storage of a run by a library whose settings all threads share: two runs that
begin at once in one process block each other for good. Each process is the same command for one source, so each sync
is a recorded run like any other; the platforms' rates are kept by all of them through the mirror.
"""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timezone
from threading import Lock
from typing import Any

from dandi_pipeline.catalogue import open_mirror, peek_mirror
from dandi_pipeline.cli.forecast import forecast_json, forecast_table, forecasts
from dandi_pipeline.cli.interrupts import INTERRUPTED, interrupts_heeded
from dandi_pipeline.cli.options import Shown
from dandi_pipeline.cli.output import RULE, byte_size, heading, in_one_line, tell, why
from dandi_pipeline.orchestration.history import Freshness, freshness_of
from dandi_pipeline.orchestration.launch import signals_interrupt
from dandi_pipeline.settings import Settings, Source
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.report import SyncReport, Tally
from dandi_pipeline.text import one_line, plain, quantity

_ERROR = "Error: "


@dataclass(frozen=True, slots=True)
class Child:
    """The sync of one source, its options those of all."""

    source: Source
    options: SyncOptions
    verbose: bool

    @property
    def command(self) -> list[str]:
        """What is run, with this very Python."""
        words = ["sync", "--source", self.source.alias, "--json", "--no-progress", *(["--verbose"] * self.verbose)]
        return [sys.executable, "-m", "dandi_pipeline", *words, "--options", self.options.model_dump_json()]


@dataclass(frozen=True, slots=True)
class Ended:
    """How the sync of one source ended: with its report, or with the error that stopped it."""

    platform: str
    code: int
    report: SyncReport | None
    error: str


class Children:
    """Some processes, `at_once` at a time; their lines are shown on standard error, behind their sources' names."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._lock = Lock()
        self._at_work: set[subprocess.Popen[str]] = set()
        self._interrupted = False

    def run(self, children: Sequence[Child]) -> dict[str, Ended]:
        """Run all and return how each ended, by its source's alias.

        An interrupt is passed on to those at work, and raised again when they have ended in order.
        """
        with ThreadPoolExecutor(self._at_once, thread_name_prefix="source") as threads:
            futures = {child.source.alias: threads.submit(self._run, child) for child in children}
            try:
                return {alias: future.result() for alias, future in futures.items()}
            except KeyboardInterrupt:
                self._interrupt()
                raise

    def kill(self) -> None:
        """End those at work at once."""
        with self._lock:
            self._interrupted = True
            for process in self._at_work:
                process.kill()

    def _run(self, child: Child) -> Ended:
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            process = self._start(child, output.fileno())
            if process is None:
                return Ended(child.source.platform, INTERRUPTED, None, "not begun")
            with process:
                error = self._show(child, process)
                code = process.wait()
            with self._lock:
                self._at_work.discard(process)
            output.seek(0)
            text = output.read()
        if not text:
            code = code if code > 0 else 1
            return Ended(
                child.source.platform, code, None, error or f"ended without a report, exit code {process.returncode}"
            )
        return Ended(child.source.platform, code, SyncReport.from_json(json.loads(text)), "")

    def _start(self, child: Child, output: int) -> "subprocess.Popen[str] | None":
        """Start a process, unless nothing is to be started any more.

        In a session of its own: Ctrl-C in the terminal reaches it once, from here, and not twice.
        """
        with self._lock:
            if self._interrupted:
                return None
            process = subprocess.Popen(  # noqa: S603 - this very command, with options that it has checked itself
                child.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
            self._at_work.add(process)
        return process

    def _show(self, child: Child, process: "subprocess.Popen[str]") -> str:
        """Show a process's lines as they come; return the error it ended with, if it did."""
        error = ""
        assert process.stderr is not None
        for line in process.stderr:
            text = plain(line.rstrip("\n"))
            if not self._interrupted:
                tell(f"{child.source.alias}: {text}")
            error = text.removeprefix(_ERROR) if text.startswith(_ERROR) else ""
        return error

    def _interrupt(self) -> None:
        with self._lock:
            self._interrupted = True
            for process in self._at_work:
                process.send_signal(signal.SIGINT)


def merged_json(ends: Mapping[str, Ended], seconds: float) -> dict[str, Any]:
    """Return each source's own report by its alias, and the total.

    A source whose sync was stopped has `error` and `exit_code` in place of a report.
    """
    sources = {
        alias: end.report.to_json() if end.report is not None else {"error": end.error, "exit_code": end.code}
        for alias, end in ends.items()
    }
    return {"sources": sources, "total": _total(ends, seconds)}


def merged_summary(ends: Mapping[str, Ended], seconds: float) -> str:
    """Return the SYNC SUMMARY block: a line a source, the total, and what did not come through."""
    total = _total(ends, seconds)
    lines = ["", RULE, "SYNC SUMMARY", RULE]
    lines += [f"{alias} ({end.platform}): {_in_words(end)}" for alias, end in ends.items()]
    lines += [f"{heading(name)[:-1]}: {value}" for name, value in total.items() if name not in _WORDED]
    lines.insert(-1, f"Data received: {byte_size(total['bytes_received'])}")
    return "\n".join([*lines, *_verdict(ends)])


_WORDED = ("bytes_received", "duration_seconds")


def _total(ends: Mapping[str, Ended], seconds: float) -> dict[str, Any]:
    reports = [end.report for end in ends.values() if end.report is not None]
    return {
        "duration_seconds": round(seconds, 3),
        "sources_synced": len(reports),
        "sources_failed": len(ends) - len(reports),
        "records_changed": sum(report.records.changed for report in reports),
        "requests": sum(report.traffic.requests for report in reports),
        "bytes_received": sum(report.traffic.bytes_received for report in reports),
        "errors": len(ends) - len(reports) + sum(len(report.problems) for report in reports),
    }


def _in_words(end: Ended) -> str:
    report = end.report
    if report is None:
        return f"failed, exit code {end.code}"
    counts = [_counted(report.partition_noun, report.partitions), _counted(report.record_noun, report.records)]
    failed = [quantity(len(report.problems), "error")] if report.problems else []
    took = f"{quantity(report.traffic.requests, 'request')}, {report.duration_seconds:.2f} seconds"
    return "; ".join([*counts, *failed, took])


def _counted(noun: str, tally: Tally) -> str:
    counts = {"added": tally.added, "updated": tally.updated, "deleted": tally.deleted}
    changes = [f"{count:,} {verb}" for verb, count in counts.items() if count]
    return ", ".join([f"{quantity(tally.checked, noun)} checked", *changes])


def _verdict(ends: Mapping[str, Ended]) -> Iterator[str]:
    problems = [line for alias, end in ends.items() for line in _problems(alias, end)]
    if not ends:
        yield "Nothing was due"
        return
    yield from (line for alias, end in ends.items() for line in _incomplete(alias, end))
    if not problems:
        yield "Sync completed successfully"
        return
    yield f"Sync completed with {quantity(len(problems), 'error')}:"
    yield from (f"  {problem}" for problem in problems)


def _incomplete(alias: str, end: Ended) -> Iterator[str]:
    for item in end.report.incomplete if end.report is not None else ():
        yield f"{alias}: {item.partition} read in part, to be synced again: {one_line(item.message)}"


def _problems(alias: str, end: Ended) -> Iterator[str]:
    if end.report is None:
        yield f"{alias}: {one_line(end.error)}"
        return
    yield from (f"{alias}: {in_one_line(problem)}" for problem in end.report.problems)


_AT_ONCE = 5
"""Sources that are synced side by side, unless --max-concurrent says otherwise."""


def sync_several(
    sources: Sequence[Source], settings: Settings, options: SyncOptions, shown: Shown, *, only_due: bool
) -> int:
    """Sync the sources, or for a dry run say what would be done; print the result and return the exit code."""
    now = datetime.now(timezone.utc)
    if not (shown.dry_run or only_due):
        return _sync(sources, options, shown)
    # A sync may have to upgrade the mirror; a dry run only looks.
    look = peek_mirror if shown.dry_run else open_mirror
    with look(settings.mirror_database_url) or nullcontext() as mirror:
        standing = freshness_of(settings.dagster_home, sources, mirror, now)
    if shown.dry_run:
        found = forecasts(sources, settings, options, standing, now, only_due=only_due)
        text = json.dumps(forecast_json(found), indent=2) if shown.as_json else forecast_table(found)
        tell(text, to=sys.stdout)
        return max((outlook.exit_code for outlook in found), default=0)
    left_out = [source for source in sources if not standing[source.alias].is_due(now)]
    _say_left_out(left_out, standing, now)
    return _sync([source for source in sources if source not in left_out], options, shown)


def _sync(sources: Sequence[Source], options: SyncOptions, shown: Shown) -> int:
    started = time.monotonic()
    children = Children(options.tuning.max_concurrent or _AT_ONCE)
    with interrupts_heeded(tell, give_up=children.kill), signals_interrupt():
        ends = children.run([Child(source, options, shown.verbose) for source in _interleaved(sources)])
    ordered = {source.alias: ends[source.alias] for source in sources}
    seconds = time.monotonic() - started
    text = json.dumps(merged_json(ordered, seconds), indent=2) if shown.as_json else merged_summary(ordered, seconds)
    tell(text, to=sys.stdout)
    return max((end.code for end in ordered.values()), default=0)


def _say_left_out(sources: Sequence[Source], standing: Mapping[str, Freshness], now: datetime) -> None:
    for source in sources:
        tell(plain(f"{source.alias}: not due ({why(standing[source.alias], now)})"))


def _interleaved(sources: Sequence[Source]) -> list[Source]:
    """Return the sources with the platforms taking turns, so that one with many does not keep the others waiting."""
    turn: dict[str, int] = {}
    turns = []
    for source in sources:
        turn[source.platform] = turn.get(source.platform, 0) + 1
        turns.append(turn[source.platform])
    return [source for _, source in sorted(zip(turns, sources, strict=True), key=lambda pair: pair[0])]
