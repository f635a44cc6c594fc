"""`dandi-pipeline verify`: compare all that the mirror holds with the platforms, and repair what differs."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any

from dandi_pipeline.cli.interrupts import interrupts_heeded
from dandi_pipeline.cli.output import tell
from dandi_pipeline.cli.progress import Display, display, warnings_beside
from dandi_pipeline.cli.sources import (
    configured_sources,
    dandiset_keys,
    existing_mirror,
    refuse_for_others,
    selection_of,
    wording_of,
)
from dandi_pipeline.errors import PipelineError
from dandi_pipeline.orchestration.launch import run_sync
from dandi_pipeline.platforms.registry import open_platform
from dandi_pipeline.settings import Settings, Source
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.report import (
    DIFFERENT,
    LEFT_BEHIND,
    MISSING,
    Outcome,
    PartitionReport,
    Problem,
    SyncReport,
    Tally,
)
from dandi_pipeline.text import one_line, plain, quantity

_NAMED = 10
"""Records of a partition that are named to people."""

_FIELDS = 8
"""Fields of a record that are named to people."""


def verify(*, partitions: tuple[str, ...], repair: bool, no_progress: bool, as_json: bool, **given: Any) -> int:
    """Read everything again and compare it with the mirror, record by record, whatever the timestamps say."""
    settings, sources = configured_sources()
    chosen = selection_of(given).of(sources)
    if partitions:
        refuse_for_others(["--dandiset-id"], chosen)
    keys = dandiset_keys(partitions, chosen[0], settings) if partitions else ()
    # Nothing is deleted here: that a source lists far less than is held is what is to be told.
    options = SyncOptions(partitions=keys, full=True, allow_mass_deletion=True)
    found = {source.alias: _verified(source, settings, options, repair, no_progress) for source in chosen}
    if as_json:
        tell(json.dumps(found if len(found) > 1 else next(iter(found.values())), indent=2), to=sys.stdout)
    else:
        tell("\n".join(line for alias, result in found.items() for line in _text(alias, result)), to=sys.stdout)
    return max(_exit_code(result) for result in found.values())


def _verified(
    source: Source, settings: Settings, options: SyncOptions, repair: bool, no_progress: bool
) -> dict[str, Any]:
    """Return what was found of one source; where it could not be verified, why."""
    shown = display(wording_of(source, (), dry_run=True), bars=not no_progress, hold=True)
    with shown as watcher, interrupts_heeded(watcher.call_out), warnings_beside(watcher, of_libraries=False):
        try:
            noun, reports = _compare(source, settings, options, watcher)
            differing = [report for report in reports if report.differences]
            repaired = _repair(source, settings, options, differing, watcher) if repair and differing else None
        except PipelineError as error:
            return {"error": str(error), "exit_code": error.exit_code}
    return _result(noun, reports, repaired)


def _compare(
    source: Source, settings: Settings, options: SyncOptions, watcher: Display
) -> tuple[str, list[PartitionReport]]:
    """Return what a partition is called, and the reports of all, by key."""
    with existing_mirror(settings) as mirror, closing(open_platform(source, settings, mirror)) as platform:
        sync = Sync(source.alias, platform, mirror, options, watcher, max_concurrent=source.settings.max_concurrent)
        plan = sync.plan()
        reports = sorted(sync.preview(plan), key=lambda report: report.partition)
        if plan.unread:
            raise plan.unread
        return platform.description.partition_noun, reports


def _repair(
    source: Source,
    settings: Settings,
    options: SyncOptions,
    differing: Sequence[PartitionReport],
    watcher: Display,
) -> SyncReport:

    keys = tuple(report.partition for report in differing)
    changes = {"partitions": keys, "ignore_unknown": True, "allow_mass_deletion": False}
    return run_sync(source, settings, options.model_copy(update=changes), progress=watcher)


def _result(noun: str, reports: Sequence[PartitionReport], repaired: SyncReport | None) -> dict[str, Any]:
    """Return what was found, as the JSON shows it; a partition whose repair failed remains."""

    differing = {report.partition: report for report in reports if report.differences}
    hidden = [report.partition for report in reports if report.outcome in (Outcome.HIDDEN, Outcome.FRESH)]
    unread = [report for report in reports if report.error is not None]
    failed = [*map(Problem.of, unread), *(repaired.problems if repaired else ())]
    left = {problem.partition for problem in (*failed, *(repaired.incomplete if repaired else ()))}
    return {
        "run_id": repaired.run_id if repaired else None,
        "partition_noun": noun,
        "checked": len(reports),
        "equal": len(reports) - len(differing) - len(unread) - len(hidden),
        "hidden": hidden,
        "differing": {partition: _counted(report.tallies) for partition, report in differing.items()},
        "records": {
            partition: [asdict(difference) for difference in report.differences]
            for partition, report in differing.items()
        },
        "remaining": sorted(left & differing.keys() if repaired else differing.keys()),
        "errors": [asdict(problem) for problem in failed],
    }


def _counted(tallies: Mapping[str, "Tally"]) -> dict[str, dict[str, int]]:

    counts = (("added", MISSING), ("updated", DIFFERENT), ("deleted", LEFT_BEHIND))
    found = {
        kind: {words: getattr(tally, count) for count, words in counts if getattr(tally, count)}
        for kind, tally in tallies.items()
    }
    return {kind: counted for kind, counted in found.items() if counted}


def _exit_code(result: Mapping[str, Any]) -> int:
    if "error" in result:
        return int(result["exit_code"])
    return 1 if result["remaining"] or result["errors"] else 0


def _text(alias: str, result: Mapping[str, Any]) -> Iterator[str]:
    """Yield what differs, record by record, and the verdict on a source."""
    if "error" in result:
        yield f"{alias}: not verified: {one_line(result['error'])}"
        return
    for partition, found in result["differing"].items():
        yield plain(f"{partition}: {_in_words(found)}")
        yield from _records(result["records"][partition], sum(sum(counts.values()) for counts in found.values()))
    yield from (f"{item['partition']} ({item['group']}): {one_line(item['message'])}" for item in result["errors"])
    hidden = f", {len(result['hidden']):,} hidden and not compared" if result["hidden"] else ""
    total = quantity(result["checked"], result["partition_noun"])
    verdict = f"{alias}: {total} verified: {result['equal']:,} equal, {len(result['differing']):,} differ{hidden}"
    if result["run_id"]:
        mended = len(result["differing"]) - len(result["remaining"])
        yield f"{verdict}; {mended:,} repaired by run {result['run_id']}"
        return
    advice = "; run with --repair to bring them up to date (no plain sync sees what moved no timestamp)"
    yield f"{verdict}{advice if result['remaining'] else ''}"


def _records(differences: Sequence[Mapping[str, Any]], total: int) -> Iterator[str]:
    for each in differences[:_NAMED]:
        fields = each["fields"]
        more = f" and {len(fields) - _FIELDS:,} more" if len(fields) > _FIELDS else ""
        named = f": {', '.join(fields[:_FIELDS])}{more}" if fields else ""
        yield plain(f"  {' '.join(filter(None, (each['kind'], each['key'])))} {each['difference']}{named}")
    if total > _NAMED:
        yield f"  and {total - _NAMED:,} more (--json names up to 1,000)"


def _in_words(found: Mapping[str, Mapping[str, int]]) -> str:
    return ", ".join(
        f"{quantity(count, kind)} {words}" for kind, counts in found.items() for words, count in counts.items()
    )
