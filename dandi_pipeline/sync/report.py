"""What a sync did: one report a partition, and their sum, as text for people and JSON for programs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from typing import TYPE_CHECKING, Any

from dandi_pipeline.errors import PipelineError
from dandi_pipeline.text import quantity

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


HIDDEN_WARNING = "hidden from this credential: its rows are kept, not refreshed"
"""What is to be known of a partition that is HIDDEN."""


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


MISSING, DIFFERENT, LEFT_BEHIND = "missing from the mirror", "different", "left behind"
"""How a record of the mirror may differ from the platform's."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One record that the mirror does not hold as the platform shows it; `fields` names what is `DIFFERENT`."""

    kind: str
    key: str
    difference: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """What happened to one partition. `tallies` is keyed by kind; `new` says it was not in the mirror before.

    `error` is set for FAILED and for a torn INCOMPLETE; `warning` says why an INCOMPLETE one stays stale. Of a FAILED
    one `parts` are those that failed, `kept` those that came through all the same. `held` is how many records the
    mirror holds of each part since the commit. `address` is the partition's on the web, if it is known.
    `differences` names records that a verification found to differ, up to a number; the tallies count them all.
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
    kept: tuple[str, ...] = ()
    held: Mapping[str, int] = field(default_factory=dict)
    address: str = ""
    differences: tuple[Difference, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether any record of the partition differs from before."""
        return any(tally.changed for tally in self.tallies.values())

    @property
    def changes(self) -> str:
        """What changed, in words, e.g. "2 assets added, 1 version updated"; nothing if nothing has."""
        return ", ".join(
            f"{quantity(count, kind)} {verb}"
            for kind, tally in self.tallies.items()
            for verb, count in (("added", tally.added), ("updated", tally.updated), ("deleted", tally.deleted))
            if count
        )

    def describe(self) -> str:
        """Return one line saying what changed, e.g. "000003: 2 assets added, 1 version updated"."""
        return f"{self.partition}: {self.outline}"

    @property
    def outline(self) -> str:
        """How the partition came out, e.g. "2 assets added, 1 version updated" or "failed: …"."""
        if self.error is not None:
            through = f"; its {', '.join(self.kept)} came through: {self.changes or 'nothing changed'}"
            return f"{self.outcome.value}: {self.error}{through if self.kept else ''}"
        line = self.changes or "nothing changed"
        if self.outcome is not Outcome.SYNCED:
            line += f" ({self.outcome.value})"
        return f"{line}; {self.warning}" if self.warning else line


def cut_short(limit: int | None) -> str:
    """Return what is said of a partition of which no more was to be read."""
    return f"cut short at {limit:,} by --max-assets: it stays stale"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a partition stays stale, in words; `group` is that of its error, or how it came out."""

    partition: str
    group: str
    message: str

    @classmethod
    def of(cls, report: PartitionReport) -> "Problem":
        """Return what a report says of the reason."""
        if report.error is not None:
            return cls(report.partition, report.error.group, str(report.error))
        return cls(report.partition, report.outcome.value, report.warning or report.outcome.value)


INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class SyncReport:
    """The sum of one sync, made by `summarize`; `from_json` reads what `to_json` writes.

    `partitions` counts partitions: `updated` ones were known and differ, `added` are new, `deleted` gone,
    `failed` stay stale. `records` counts records of the bulk kind. `failures` counts the `problems` by group.
    `whole` says that all of the source was looked at, `tuning` how the platform was asked. `stopped` is what ended the
    sync early, if anything did: its error's group, or `INTERRUPTED`; `stopped_by` is the error's message.
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
    problems: Sequence[Problem] = ()
    incomplete: Sequence[Problem] = ()
    failures: Mapping[str, int] = field(default_factory=dict)
    whole: bool = False
    tuning: str = ""
    stopped: str | None = None
    stopped_by: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON: the nouns' plurals are the keys of the two tallies.

        What is empty is left out, but for the counts, `errors` and what a sync always has.
        """
        partitions, records = asdict(self.partitions), asdict(self.records)
        del partitions["unchanged"]
        present = {
            "counters": dict(self.traffic.counters),
            "traffic": _traffic_json(self.traffic),
            "failures": dict(self.failures),
            "incomplete": [{"partition": item.partition, "message": item.message} for item in self.incomplete],
            "tuning": self.tuning,
            "stopped": self.stopped,
            "stopped_by": self.stopped_by,
        }
        return {
            "run_id": self.run_id,
            "scope": self.scope,
            "whole": self.whole,
            "duration_seconds": round(self.duration_seconds, 3),
            "partition_noun": self.partition_noun,
            "record_noun": self.record_noun,
            plural(self.partition_noun): {**partitions, "failed": self.failed},
            plural(self.record_noun): records,
            "requests": self.traffic.requests,
            "bytes_received": self.traffic.bytes_received,
            **{name: value for name, value in present.items() if value},
            "errors": [asdict(problem) for problem in self.problems],
        }

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> "SyncReport":
        """Return the report that was written; raise `ValueError` for what is none."""
        try:
            return cls._read(written)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a report of a sync: {error}") from None

    @classmethod
    def _read(cls, written: Mapping[str, Any]) -> "SyncReport":
        partitions = dict(written[plural(written["partition_noun"])])
        incomplete = written.get("incomplete", ())
        return cls(
            run_id=written["run_id"],
            scope=written["scope"],
            duration_seconds=written["duration_seconds"],
            partition_noun=written["partition_noun"],
            record_noun=written["record_noun"],
            failed=partitions.pop("failed"),
            partitions=Tally(**partitions),
            records=Tally(**written[plural(written["record_noun"])]),
            traffic=_traffic(written),
            problems=[Problem(**problem) for problem in written.get("errors", ())],
            incomplete=[Problem(group=Outcome.INCOMPLETE.value, **problem) for problem in incomplete],
            failures=written.get("failures", {}),
            whole=written.get("whole", False),
            tuning=written.get("tuning", ""),
            stopped=written.get("stopped"),
            stopped_by=written.get("stopped_by"),
        )

    @property
    def exit_code(self) -> int:
        """0 when every partition came through, 1 when some did not."""
        return 1 if self.problems else 0


def plural(noun: str) -> str:
    """Return a noun's plural as a key, e.g. "data_sources"."""
    return f"{noun.replace(' ', '_')}s"


_COUNTED_APART = ("requests", "bytes_received")


def _traffic_json(traffic: "Traffic") -> dict[str, Any]:
    """Return what was sent and waited for, zeros left out; the totals that a report has by themselves, by host only."""
    hosts = {host: {**_totals(of_host), **_counters(of_host)} for host, of_host in traffic.hosts.items()}
    totals = {name: value for name, value in _totals(traffic).items() if name not in _COUNTED_APART}
    return {**totals, **({"hosts": hosts} if hosts else {})}


def _totals(traffic: "Traffic") -> dict[str, Any]:
    counts = {name: round(value, 3) for name, value in _fields(traffic).items() if isinstance(value, int | float)}
    return {name: value for name, value in counts.items() if value}


def _counters(traffic: "Traffic") -> dict[str, Any]:
    return {"counters": dict(traffic.counters)} if traffic.counters else {}


def _fields(traffic: "Traffic") -> dict[str, Any]:
    return {item.name: getattr(traffic, item.name) for item in fields(traffic)}


def _traffic(written: Mapping[str, Any]) -> "Traffic":
    # Imported here: the command line shows reports of its own making without loading an HTTP client.
    from dandi_pipeline.http import Traffic

    totals = dict(written.get("traffic", {}))
    hosts = {host: Traffic(**of_host) for host, of_host in totals.pop("hosts", {}).items()}
    apart = {name: written[name] for name in _COUNTED_APART}
    return Traffic(**totals, **apart, counters=written.get("counters", {}), hosts=hosts)


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
    whole: bool = False,
    tuning: str = "",
    stopped: str | None = None,
    stopped_by: str | None = None,
) -> SyncReport:
    """Add the partitions' reports up; `checked` is how many partitions were looked at, stale or not."""
    records = sum((report.tallies.get(record_noun, Tally()) for report in reports), Tally())
    failed = [report for report in reports if report.error is not None]
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
        failed=len(failed),
        records=records,
        traffic=traffic,
        problems=[Problem.of(report) for report in failed],
        incomplete=[
            Problem.of(report) for report in reports if report.outcome is Outcome.INCOMPLETE and report.error is None
        ],
        failures=Counter(report.error.group for report in failed if report.error),
        whole=whole,
        tuning=tuning,
        stopped=stopped,
        stopped_by=stopped_by,
    )
