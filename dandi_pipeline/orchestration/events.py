"""The events that tell, partition by partition, what a sync did: Dagster's materializations and observations.

What comes from a platform (names, error messages) is only ever put into plain-text metadata, on printable lines.
"""

from collections.abc import Sequence
from dataclasses import replace

import dagster as dg

from dandi_pipeline.errors import PipelineError
from dandi_pipeline.http import TOTALS, Traffic
from dandi_pipeline.platforms.contract import RecordKind
from dandi_pipeline.sync.report import Outcome, PartitionReport, Tally

_LONGEST_LINE = 1_000

Metadata = dict[str, dg.TextMetadataValue | dg.IntMetadataValue | dg.FloatMetadataValue]


def printable(text: str) -> str:
    """Return hostile text as one bounded, printable line."""
    bounded = text[: 2 * _LONGEST_LINE]
    shown = bounded if bounded.isprintable() else "".join(c if c.isprintable() else " " for c in bounded)
    line = " ".join(shown.split())
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"


def materialization(
    asset: dg.AssetKey, report: PartitionReport, kinds: Sequence[RecordKind], token: str | None, reason: str
) -> dg.AssetMaterialization:
    """Return the event of one part of a partition that came through, its counts as metadata.

    `kinds` are the part's kinds of record; `token` is the state the mirror now has, shown as the data version;
    `reason` is why the partition was synced.
    """
    of_part = replace(
        report, tallies={kind.name: report.tallies[kind.name] for kind in kinds if kind.name in report.tallies}
    )
    return dg.AssetMaterialization(
        asset_key=asset,
        partition=report.partition,
        description=printable(of_part.describe()),
        metadata=_metadata(of_part, reason),
        tags={"dagster/data_version": token} if token else {},
    )


def failure(asset: dg.AssetKey, partition: str, error: PipelineError) -> dg.AssetObservation:
    """Return the event that says, on the partition's own page, why it failed."""
    return dg.AssetObservation(
        asset_key=asset,
        partition=partition,
        description=printable(f"failed: {error}"),
        metadata={
            "outcome": dg.MetadataValue.text(Outcome.FAILED.value),
            "group": dg.MetadataValue.text(error.group),
            "error": dg.MetadataValue.text(printable(str(error))),
        },
    )


def run_traffic(asset: dg.AssetKey, traffic: Traffic) -> dg.AssetObservation:
    """Return the event that puts what a whole run sent and received on its asset, where Dagster plots it."""
    totals = {**{name: getattr(traffic, name) for name in TOTALS}, **traffic.counters}
    planned = f", {traffic.counters['requests_planned']:,} planned" if "requests_planned" in traffic.counters else ""
    return dg.AssetObservation(
        asset_key=asset,
        description=f"{traffic.requests:,} requests sent{planned}",
        metadata={name: dg.MetadataValue.float(float(value)) for name, value in totals.items()},
    )


def _metadata(report: PartitionReport, reason: str) -> Metadata:
    total = sum(report.tallies.values(), Tally())
    texts = {
        "outcome": report.outcome.value,
        "name": report.name,
        "reason": reason,
        "plan": report.plan,
        "warning": report.warning,
    }
    metadata: Metadata = {key: dg.MetadataValue.text(printable(text)) for key, text in texts.items() if text}
    if report.tallies:
        metadata |= {count: dg.MetadataValue.int(getattr(total, count)) for count in _COUNTS}
        metadata["duration_seconds"] = dg.MetadataValue.float(round(report.duration_seconds, 3))
    if report.tallies and report.outcome is Outcome.SYNCED:
        rows = total.added + total.updated + total.unchanged
        metadata["dagster/partition_row_count"] = dg.MetadataValue.int(rows)
    return metadata


_COUNTS = ("checked", "added", "updated", "deleted", "unchanged")
