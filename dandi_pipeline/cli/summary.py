"""The block that closes a sync: what was looked at, what changed, what did not come through."""

from collections.abc import Iterator

from dandi_pipeline.cli.terminal import one_line, quantity
from dandi_pipeline.sync.report import PartitionReport, SyncReport, Tally

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
        yield from (f"  {item.partition}: {one_line(item.warning or item.outcome.value)}" for item in report.incomplete)
    ending = "Dry run" if dry_run else "Sync"
    if not report.problems:
        yield f"{ending} completed successfully" + ("; nothing was written" if dry_run else "")
        return
    yield f"{ending} completed with {quantity(len(report.problems), 'error')}:"
    yield from (f"  {_problem(item)}" for item in report.problems)


def _problem(item: PartitionReport) -> str:
    group = item.error.group if item.error else item.outcome.value
    return f"{item.partition} ({group}): {one_line(str(item.error or item.warning))}"


def byte_size(count: int) -> str:
    """Return a size for people, in decimal units, e.g. "12.3 MB"."""
    size, unit = float(count), 0
    while size >= 999.95 and unit < len(_BYTE_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{count} bytes" if unit == 0 else f"{size:.1f} {_BYTE_UNITS[unit]}"
