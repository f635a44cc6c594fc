"""Says what a sync would change in one partition, without writing anything."""

from collections.abc import Sequence

from dandi_pipeline.errors import PipelineError
from dandi_pipeline.mirror import Mirror
from dandi_pipeline.platforms.contract import Gone, Hidden, Listed, Record
from dandi_pipeline.sync.planning import Stale
from dandi_pipeline.sync.reading import Reading, Tools
from dandi_pipeline.sync.report import Outcome, PartitionReport, Tally


def preview_partition(tools: Tools, source: str, mirror: Mirror | None, item: Stale) -> PartitionReport:
    """Return the report that a sync of this partition would give, as far as cheap reading can tell.

    A new partition is not read: its listing row says how many records would come. A known one is listed without
    content, so changes that no listing shows are not foreseen.
    """
    try:
        sighting = item.listed or tools.platform.look_up(item.key)
        if isinstance(sighting, Listed):
            known = mirror is not None and item.reason != "new"
            return _compared(tools, source, mirror, item, sighting) if mirror and known else _new(tools, item, sighting)
        return _vanished(tools, source, mirror, item, sighting)
    except PipelineError as error:
        return PartitionReport(item.key, "", Outcome.FAILED, item.parts, error=error)


def _new(tools: Tools, item: Stale, listed: Listed) -> PartitionReport:
    bulk = tools.platform.kinds[-1]
    count = listed.record_count if bulk.part in item.parts else 0
    tallies = {bulk.name: Tally(checked=count, added=count)}
    return PartitionReport(item.key, listed.name, Outcome.SYNCED, item.parts, tallies, new=True)


def _vanished(
    tools: Tools, source: str, mirror: Mirror | None, item: Stale, sighting: Gone | Hidden
) -> PartitionReport:
    if isinstance(sighting, Hidden):
        return PartitionReport(item.key, "", Outcome.HIDDEN, item.parts)
    kinds = tools.platform.kinds
    held = {kind.name: len(mirror.known(source, item.key, kind)) if mirror else 0 for kind in kinds}
    tallies = {name: Tally(deleted=count) for name, count in held.items()}
    return PartitionReport(item.key, "", Outcome.REMOVED, item.parts, tallies)


def _compared(tools: Tools, source: str, mirror: Mirror, item: Stale, listed: Listed) -> PartitionReport:
    kinds = tools.platform.kinds
    known = {kind.name: mirror.known(source, item.key, kind) if kind.part in item.parts else {} for kind in kinds}
    reading = Reading(tools, listed, item.parts, known, {}, _drop, fetch=False)
    reading.run()
    tallies = reading.comparison.tallies()
    return PartitionReport(item.key, listed.name, Outcome.SYNCED, item.parts, tallies, plan=reading.plan)


def _drop(_: Sequence[Record]) -> None:
    """Stage nothing."""
