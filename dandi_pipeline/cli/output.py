"""Text for people: in tables, in words, and the block that closes a sync."""

import errno
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import TYPE_CHECKING, Any, TextIO

from dandi_pipeline.sync.report import Problem, SyncReport, Tally
from dandi_pipeline.text import one_line, quantity

if TYPE_CHECKING:
    from dandi_pipeline.orchestration.history import Freshness


def tell(line: str, *, to: TextIO | None = None) -> None:
    """Write one line at once, to standard error unless said otherwise: standard output is for results."""
    stream = to or sys.stderr
    stream.write(line + "\n")
    stream.flush()


def screen_width() -> int | None:
    """Return how many columns the terminal shows that results go to; None where it is none, or does not say."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError):
        return None  # a file, a pipe, or a stream in memory


def prepare_streams() -> None:
    """Let a stream that cannot spell a character (an ASCII locale) show its code, and a closed terminal end nothing."""
    sys.stdout, sys.stderr = _tolerant(sys.stdout), _tolerant(sys.stderr)


def _tolerant(stream: TextIO) -> TextIO:
    if not isinstance(stream, TextIOWrapper):
        return stream
    stream.reconfigure(errors="backslashreplace")
    if not stream.isatty():
        return stream
    written = BufferedWriter(_Terminal(stream.fileno(), "w", closefd=False))
    return TextIOWrapper(written, encoding=stream.encoding, errors=stream.errors, line_buffering=True)


class _Terminal(FileIO):
    """Takes and forgets what is written once the terminal is closed, which is no reason not to end in order."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return memoryview(data).nbytes


Row = Sequence[str]


def table(headings: Row, rows: Sequence[Row], *, numbers: Collection[str] = (), width: int | None = None) -> str:
    """Return the rows below their headings; `numbers` are the headings of the columns that hold numbers.

    If lines would be longer than `width`, each row is a block instead: its first cell, and below it those not empty.
    """
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if heading in numbers else cell.ljust(width)
            for heading, cell, width in zip(headings, row, widths, strict=True)
        ).rstrip()
        for row in (headings, *rows)
    ]
    if width is None or max(map(len, lines)) <= width:
        return "\n".join(lines)
    return "\n".join(line for row in rows for line in (row[0], *named(list(zip(headings, row, strict=True))[1:])))


def named(cells: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield a line for each cell that is not empty, behind its name."""
    longest = max(len(name) for name, _ in cells)
    yield from (f"  {name:<{longest}}  {cell}" for name, cell in cells if cell)


_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def in_words(span: timedelta) -> str:
    """Return a span in its largest unit, e.g. "15 min"."""
    seconds = max(0, int(span.total_seconds()))
    for size, unit in _UNITS:
        if seconds >= 2 * size or seconds == size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def why(standing: "Freshness", now: datetime) -> str:
    """Say why a source is due or not, e.g. "last looked at 2 h ago, every 15 min"."""
    if standing.in_part_only and standing.partly is not None and not standing.emptied:
        return f"only parts of it were synced, the last {in_words(now - standing.partly)} ago"
    if standing.emptied and (standing.checked or standing.partitions):
        return "the mirror holds nothing of it"
    if standing.missing:
        return f"the mirror lacks {standing.missing:,} of its {quantity(standing.partitions, 'partition')}"
    if standing.checked is None:
        return "never synced"
    due = "" if standing.is_due(now) else f", due in {in_words(standing.checked + standing.every - now)}"
    return f"last looked at {in_words(now - standing.checked)} ago, every {in_words(standing.every)}{due}"


RULE = "=" * 50
_BYTE_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def summary(report: SyncReport, *, dry_run: bool = False) -> str:
    """Return the SYNC SUMMARY block, an empty line before it.

    Every line is `name: value` with the value last and unformatted but for sizes, so that a script can cut it.
    """
    return "\n".join(["", RULE, "SYNC SUMMARY", RULE, *_figures(report), *_verdict(report, dry_run=dry_run)])


def _figures(report: SyncReport) -> Iterator[str]:
    partitions, records = heading(report.partition_noun), heading(report.record_noun)
    yield f"Duration: {report.duration_seconds:.2f} seconds"
    yield from _counts(partitions, report.partitions)
    yield f"{partitions} failed: {report.failed}"
    yield from _counts(records, report.records)
    yield f"{records} unchanged: {report.records.unchanged}"
    yield f"Requests: {report.traffic.requests}"
    yield f"Data received: {byte_size(report.traffic.bytes_received)}"
    for name, count in report.traffic.counters.items():
        yield f"{counter_heading(name)}: {count}"
    yield f"Errors: {len(report.problems)}"


def heading(noun: str) -> str:
    """Return a noun as it begins a line of the summary, e.g. "Data sources"."""
    return f"{noun.replace('_', ' ').capitalize()}s"


def counter_heading(name: str) -> str:
    """Return what a platform counts beside the usual as it begins a line, e.g. "Manifests read"."""
    return name.replace("_", " ").capitalize()


def _counts(name: str, tally: Tally) -> Iterator[str]:
    yield f"{name} checked: {tally.checked}"
    yield f"{name} updated: {tally.updated}"
    yield f"{name} added: {tally.added}"
    yield f"{name} deleted: {tally.deleted}"


def _verdict(report: SyncReport, *, dry_run: bool) -> Iterator[str]:
    """Yield how it ended, the partitions that stay stale named last, where the eye rests."""
    if report.incomplete:
        noun = report.partition_noun
        yield f"{quantity(len(report.incomplete), noun)} read in part, to be synced again:"
        yield from (f"  {item.partition}: {one_line(item.message)}" for item in report.incomplete)
    ending = "Dry run" if dry_run else "Sync"
    if not report.problems:
        yield f"{ending} completed successfully" + ("; nothing was written" if dry_run else "")
        return
    yield f"{ending} completed with {quantity(len(report.problems), 'error')}:"
    yield from (f"  {in_one_line(item)}" for item in report.problems)


def in_one_line(problem: Problem) -> str:
    """Return which partition stays stale, who acts and why."""
    return f"{problem.partition} ({problem.group}): {one_line(problem.message)}"


def byte_size(count: int) -> str:
    """Return a size for people, in decimal units, e.g. "12.3 MB"."""
    size, unit = float(count), 0
    while size >= 999.95 and unit < len(_BYTE_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{count} bytes" if unit == 0 else f"{size:.1f} {_BYTE_UNITS[unit]}"
