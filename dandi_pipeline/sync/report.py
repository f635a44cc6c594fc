"""What a sync did: one report a partition, and their sum, as text for people and JSON for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from dandi_pipeline.errors import PipelineError

if TYPE_CHECKING:
    # The command line shows reports without loading what a sync needs.
    from dandi_pipeline.http import Traffic


class Outcome(Enum):
    """How one partition came out of a sync."""

    SYNCED = "synced"
    FRESH = "fresh"
    INCOMPLETE = "incomplete"
    HIDDEN = "hidden"
    REMOVED = "removed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Tally:
    """Records of one kind: `checked` were compared, of which the rest says what became of them."""

    checked: int = 0
    added: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.checked + other.checked,
            self.added + other.added,
            self.updated + other.updated,
            self.deleted + other.deleted,
            self.unchanged + other.unchanged,
        )

    @property
    def changed(self) -> int:
        """How many records differ from before."""
        return self.added + self.updated + self.deleted


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """What happened to one partition. `tallies` is keyed by kind; `new` says it was not in the mirror before.

    `error` is set for FAILED and for a torn INCOMPLETE; `warning` says why an INCOMPLETE one stays stale.
    """

    partition: str
    name: str
    outcome: Outcome
    parts: tuple[str, ...] = ()
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    new: bool = False
    plan: str = ""
    duration_seconds: float = 0.0
    warning: str = ""
    error: PipelineError | None = None
    token: str | None = None

    @property
    def changed(self) -> bool:
        """Whether any record of the partition differs from before."""
        return any(tally.changed for tally in self.tallies.values())

    def describe(self) -> str:
        """Return one line saying what changed, e.g. "000003: 2 assets added, 1 version updated"."""
        if self.error is not None:
            return f"{self.partition}: {self.outcome.value}: {self.error}"
        changes = [
            f"{count:,} {kind}{'' if count == 1 else 's'} {verb}"
            for kind, tally in self.tallies.items()
            for verb, count in (("added", tally.added), ("updated", tally.updated), ("deleted", tally.deleted))
            if count
        ]
        line = f"{self.partition}: {', '.join(changes) or 'nothing changed'}"
        if self.outcome is not Outcome.SYNCED:
            line += f" ({self.outcome.value})"
        return f"{line}; {self.warning}" if self.warning else line


@dataclass(frozen=True, slots=True)
class SyncReport:
    """The sum of one sync, made by `summarize`.

    `partitions` counts partitions: `updated` ones were known and differ, `added` are new, `deleted` gone,
    `failed` stay stale. `records` counts records of the bulk kind.
    """

    run_id: str | None
    scope: str
    duration_seconds: float
    partition_noun: str
    record_noun: str
    partitions: Tally
    failed: int
    records: Tally
    traffic: "Traffic"
    problems: Sequence[PartitionReport]
    incomplete: Sequence[PartitionReport] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON: the nouns' plurals are its keys.

        `counters` are there if the platform has some, and `incomplete` if partitions were read in part only.
        """
        partitions, records = self.partitions, self.records
        return {
            "run_id": self.run_id,
            "scope": self.scope,
            "duration_seconds": round(self.duration_seconds, 3),
            f"{self.partition_noun.replace(' ', '_')}s": {
                "checked": partitions.checked,
                "updated": partitions.updated,
                "added": partitions.added,
                "deleted": partitions.deleted,
                "failed": self.failed,
            },
            f"{self.record_noun}s": {
                "checked": records.checked,
                "updated": records.updated,
                "added": records.added,
                "deleted": records.deleted,
                "unchanged": records.unchanged,
            },
            "requests": self.traffic.requests,
            "bytes_received": self.traffic.bytes_received,
            **({"counters": dict(self.traffic.counters)} if self.traffic.counters else {}),
            **({"incomplete": [_shortfall(report) for report in self.incomplete]} if self.incomplete else {}),
            "errors": [
                {
                    "partition": report.partition,
                    "group": report.error.group if report.error else "",
                    "message": str(report.error),
                }
                for report in self.problems
            ],
        }

    @property
    def exit_code(self) -> int:
        """0 when every partition came through, 1 when some did not."""
        return 1 if self.problems else 0


def _shortfall(report: PartitionReport) -> dict[str, str]:
    return {"partition": report.partition, "message": report.warning or report.outcome.value}


def summarize(
    reports: Sequence[PartitionReport],
    *,
    run_id: str | None,
    scope: str,
    checked: int,
    duration_seconds: float,
    partition_noun: str,
    record_noun: str,
    traffic: "Traffic",
) -> SyncReport:
    """Add the partitions' reports up; `checked` is how many partitions were looked at, stale or not."""
    records = sum((report.tallies.get(record_noun, Tally()) for report in reports), Tally())
    kept = [report for report in reports if report.outcome in (Outcome.SYNCED, Outcome.INCOMPLETE, Outcome.HIDDEN)]
    return SyncReport(
        run_id=run_id,
        scope=scope,
        duration_seconds=duration_seconds,
        partition_noun=partition_noun,
        record_noun=record_noun,
        partitions=Tally(
            checked=checked,
            added=sum(report.new for report in kept),
            updated=sum(report.changed and not report.new for report in kept),
            deleted=sum(report.outcome is Outcome.REMOVED for report in reports),
        ),
        failed=sum(report.error is not None for report in reports),
        records=records,
        traffic=traffic,
        problems=[report for report in reports if report.error is not None],
        incomplete=[report for report in reports if report.outcome is Outcome.INCOMPLETE and report.error is None],
    )
