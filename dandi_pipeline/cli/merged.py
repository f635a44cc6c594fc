"""The reports of several sources put together: as the block that closes a sync, and as JSON."""

from collections.abc import Iterator, Mapping
from typing import Any

from dandi_pipeline.cli.children import Ended
from dandi_pipeline.cli.summary import RULE, byte_size, heading
from dandi_pipeline.cli.terminal import one_line, quantity

_CHANGES = ("added", "updated", "deleted")


def merged_json(ends: Mapping[str, Ended], seconds: float) -> dict[str, Any]:
    """Return each source's own report by its alias, and the total.

    A source whose sync was stopped has `error` and `exit_code` in place of a report.
    """
    sources = {
        alias: end.report if end.report is not None else {"error": end.error, "exit_code": end.code}
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
        "records_changed": sum(_changed(report) for report in reports),
        "requests": sum(report["requests"] for report in reports),
        "bytes_received": sum(report["bytes_received"] for report in reports),
        "errors": len(ends) - len(reports) + sum(len(report["errors"]) for report in reports),
    }


def _in_words(end: Ended) -> str:
    if end.report is None:
        return f"failed, exit code {end.code}"
    counts = [_counted(noun, tally) for noun, tally in _tallies(end.report).items()]
    failed = quantity(len(end.report["errors"]), "error")
    took = f"{quantity(end.report['requests'], 'request')}, {end.report['duration_seconds']:.2f} seconds"
    return "; ".join([*counts, *([failed] if end.report["errors"] else []), took])


def _counted(nouns: str, tally: Mapping[str, int]) -> str:
    changes = [f"{tally[verb]:,} {verb}" for verb in _CHANGES if tally[verb]]
    noun = nouns.replace("_", " ").removesuffix("s")
    return ", ".join([f"{quantity(tally['checked'], noun)} checked", *changes])


def _tallies(report: Mapping[str, Any]) -> dict[str, Mapping[str, int]]:
    """Return the two tallies of a report, the partitions' and the records', by their nouns."""
    return {name: value for name, value in report.items() if isinstance(value, dict) and "checked" in value}


def _changed(report: Mapping[str, Any]) -> int:
    *_, records = _tallies(report).values()
    return sum(records[verb] for verb in _CHANGES)


def _verdict(ends: Mapping[str, Ended]) -> Iterator[str]:
    problems = [line for alias, end in ends.items() for line in _problems(alias, end)]
    if not ends:
        yield "Nothing was due"
        return
    if not problems:
        yield "Sync completed successfully"
        return
    yield f"Sync completed with {quantity(len(problems), 'error')}:"
    yield from (f"  {problem}" for problem in problems)


def _problems(alias: str, end: Ended) -> Iterator[str]:
    if end.report is None:
        yield f"{alias}: {one_line(end.error)}"
        return
    for error in end.report["errors"]:
        yield f"{alias}: {error['partition']} ({error['group']}): {one_line(error['message'])}"
