"""`dandi-pipeline verify`: compare the whole mirror with the archive, and repair what differs."""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from dandi_pipeline.cli.interrupts import interrupts_heeded
from dandi_pipeline.cli.output import quantity, tell
from dandi_pipeline.cli.progress import Display, display, warnings_beside
from dandi_pipeline.text import one_line, plain

if TYPE_CHECKING:
    from dandi_pipeline.settings import Settings, Source
    from dandi_pipeline.sync.options import SyncOptions
    from dandi_pipeline.sync.report import PartitionReport, SyncReport, Tally

_DIFFERENCES = (("added", "missing from the mirror"), ("updated", "different"), ("deleted", "left behind"))


@click.command(short_help="Compare the whole mirror with the archive.")
@click.option(
    "--dandiset-id",
    "partitions",
    multiple=True,
    metavar="ID",
    help="Verify this dandiset alone: 3, 000003 or DANDI:000003. May be given several times.",
)
@click.option("--repair", is_flag=True, help="Bring what differs up to date; this is a run in Dagster's history.")
@click.option("--no-progress", is_flag=True, help="Plain lines in place of progress bars, e.g. for a log file.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and nothing else, on standard output.")
def verify(*, partitions: tuple[str, ...], repair: bool, no_progress: bool, as_json: bool) -> int:
    """Read everything again and compare it with the mirror, whatever the timestamps say.

    Finds what moves no timestamp, and whatever else may have gone wrong. Without --repair nothing is written. What
    changed in the archive since the last sync differs too.

    Exit codes: 0 equal, or repaired; 1 differences remain; 2 wrong usage or configuration; 3 the archive could not be
    reached.
    """
    from dandi_pipeline.cli import sources as dandi
    from dandi_pipeline.cli.sources import wording_of
    from dandi_pipeline.sync.options import SyncOptions

    settings, source = dandi.configured_archive()
    options = SyncOptions(
        partitions=dandi.dandiset_keys(partitions, source, settings),
        full=True,
    )
    wording = wording_of(source, (), dry_run=True)
    shown = display(wording, bars=not no_progress, hold=True)
    with shown as watcher, interrupts_heeded(watcher.call_out), warnings_beside(watcher, of_libraries=False):
        checked, reports = _compare(source, settings, options, watcher)
        differing = [report for report in reports if report.changed]
        repaired = _repair(source, settings, options, differing, watcher) if repair and differing else None
    result = _result(checked, reports, repaired)
    tell(json.dumps(result, indent=2) if as_json else _text(result), to=sys.stdout)
    return 1 if result["remaining"] or result["errors"] else 0


def _compare(
    source: "Source", settings: "Settings", options: "SyncOptions", watcher: Display
) -> tuple[int, list["PartitionReport"]]:
    from dandi_pipeline.catalogue import peek_mirror
    from dandi_pipeline.errors import ConfigurationError
    from dandi_pipeline.platforms.registry import open_platform
    from dandi_pipeline.sync.engine import Sync

    mirror = peek_mirror(settings.mirror_database_url)
    if mirror is None:
        raise ConfigurationError("there is no mirror yet; dandi-pipeline sync makes it")
    with mirror, closing(open_platform(source, settings, mirror)) as platform:
        sync = Sync(source.alias, platform, mirror, options, watcher, max_concurrent=source.settings.max_concurrent)
        plan = sync.plan()
        return plan.checked, sorted(sync.preview(plan), key=lambda report: report.partition)


def _repair(
    source: "Source",
    settings: "Settings",
    options: "SyncOptions",
    differing: Sequence["PartitionReport"],
    watcher: Display,
) -> "SyncReport":
    from dandi_pipeline.orchestration.launch import run_sync

    keys = tuple(report.partition for report in differing)
    repairing = options.model_copy(update={"partitions": keys, "ignore_unknown": True})
    return run_sync(source, settings, repairing, progress=watcher)


def _result(checked: int, reports: Sequence["PartitionReport"], repaired: "SyncReport | None") -> dict[str, Any]:
    """Return what was found, as the JSON shows it; a partition whose repair failed remains."""
    from dandi_pipeline.sync.report import Problem

    differing = {report.partition: _differences(report.tallies) for report in reports if report.changed}
    unread = [report for report in reports if report.error is not None]
    failed = [*map(Problem.of, unread), *(repaired.problems if repaired else ())]
    remaining = {report.partition for report in failed} & differing.keys() if repaired else differing.keys()
    return {
        "run_id": repaired.run_id if repaired else None,
        "checked": checked,
        "equal": len(reports) - len(differing) - len(unread),
        "differing": differing,
        "remaining": sorted(remaining),
        "errors": [asdict(problem) for problem in failed],
    }


def _differences(tallies: Mapping[str, "Tally"]) -> dict[str, dict[str, int]]:
    found = {
        kind: {words: getattr(tally, count) for count, words in _DIFFERENCES if getattr(tally, count)}
        for kind, tally in tallies.items()
    }
    return {kind: counts for kind, counts in found.items() if counts}


def _text(result: Mapping[str, Any]) -> str:
    lines = [plain(f"{partition}: {_in_words(found)}") for partition, found in result["differing"].items()]
    lines += [f"{item['partition']} ({item['group']}): {one_line(item['message'])}" for item in result["errors"]]
    total = quantity(result["checked"], "dandiset")
    verdict = f"{total} verified: {result['equal']:,} equal, {len(result['differing']):,} differ"
    if result["run_id"]:
        mended = len(result["differing"]) - len(result["remaining"])
        return "\n".join([*lines, f"{verdict}; {mended:,} repaired by run {result['run_id']}"])
    advice = "; run with --repair to bring them up to date (no plain sync sees what moved no timestamp)"
    return "\n".join([*lines, f"{verdict}{advice if result['remaining'] else ''}"])


def _in_words(found: Mapping[str, Mapping[str, int]]) -> str:
    return ", ".join(
        f"{quantity(count, kind)} {words}" for kind, counts in found.items() for words, count in counts.items()
    )
