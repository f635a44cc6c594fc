"""A source as Dagster shows it: its names, its parts, its partitions, and what people select it by."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import dagster as dg

from dandi_pipeline.mirror.dictionary import INTERNAL
from dandi_pipeline.mirror.schema import RECORD_TABLES
from dandi_pipeline.model import RecordKind
from dandi_pipeline.orchestration.dagster_internals import shown_as_materialized
from dandi_pipeline.orchestration.instance import open_used
from dandi_pipeline.platforms.registry import PLATFORMS
from dandi_pipeline.settings import Source
from dandi_pipeline.sync.report import PartitionReport


def python_name(alias: str) -> str:
    """Return an alias where Dagster takes only letters, digits and underscores."""
    return re.sub(r"\W", "_", alias, flags=re.ASCII)


def sensor_name(alias: str) -> str:
    """Return what a source's sensor is called."""
    return f"{python_name(alias)}_changes"


@dataclass(frozen=True, slots=True)
class Presentation:
    """How a deployment shows the assets of all sources. `group` None: one for each source."""

    key_prefix: tuple[str, ...] = ()
    group: str | None = None
    owners: tuple[str, ...] = ()
    automation: bool = True


@dataclass(frozen=True, slots=True)
class MirroredSource:
    """What the definitions need to know of a source.

    `user` becomes the assets' owner if Dagster takes it for one (`team:…` or an e-mail address), else a tag.
    `labels` become tags: what people filter by in the UI and in selections. In any `sweep_days` every partition is
    read completely once.
    """

    alias: str
    platform: str
    title: str
    parts: tuple[str, ...]
    kinds: tuple[RecordKind, ...]
    partition_noun: str
    check_every: timedelta
    max_concurrent: int
    sweep_days: int = 7
    user: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    look: Presentation = Presentation()

    @property
    def python_name(self) -> str:
        """The alias where Dagster takes only letters, digits and underscores."""
        return python_name(self.alias)

    def asset_key(self, part: str) -> dg.AssetKey:
        """Return the asset that stands for one part of the source."""
        return dg.AssetKey([*self.look.key_prefix, self.alias, part])

    @property
    def group(self) -> str:
        """The group of the source's assets."""
        return self.look.group or self.python_name

    def kinds_of(self, part: str) -> list[RecordKind]:
        """Return the kinds of record that belong to a part."""
        return [kind for kind in self.kinds if kind.part == part]

    def tables_of(self, part: str) -> list[str]:
        """Return the tables that people query a part's records in."""
        return [RECORD_TABLES[kind.name].table.name for kind in self.kinds_of(part) if kind.name in self.row_kinds]

    @property
    def row_kinds(self) -> frozenset[str]:
        """The kinds of record that people query, by name: all but schemas."""
        return frozenset(kind.name for kind in self.kinds if RECORD_TABLES[kind.name].table.name not in INTERNAL)

    @property
    def has_views(self) -> bool:
        """Whether each partition has properties of its own, and so a view, and a name that its users chose."""
        return any("cells" in RECORD_TABLES[kind.name].table.columns for kind in self.kinds)

    def rows_held(self, part: str, records: int) -> int:
        """Return how many of a part's `records` are rows that people can query; its schema is none."""
        return max(0, records - (len(self.kinds_of(part)) - len(self.tables_of(part))))

    def of_part(self, part: str, report: PartitionReport) -> PartitionReport:
        """Return what a report says of one part."""
        names = {kind.name for kind in self.kinds_of(part)}
        return replace(report, tallies={name: tally for name, tally in report.tallies.items() if name in names})

    @property
    def partition_set(self) -> str:
        """The name of the dynamic partition set: one partition a dandiset, table, …"""
        return self.alias

    @property
    def job_name(self) -> str:
        """The job that syncs any of the source's partitions."""
        return f"sync_{self.python_name}"

    @property
    def step_name(self) -> str:
        """The one step of that job, to which its config goes."""
        return f"{self.python_name}_mirror"

    @property
    def sensor_name(self) -> str:
        """The sensor that launches the job for what is stale."""
        return sensor_name(self.alias)

    @property
    def schedule_name(self) -> str:
        """The schedule that launches the job for the whole source."""
        return f"{self.python_name}_full_check"

    @property
    def sweep_name(self) -> str:
        """The schedule that reads every partition completely in its turn."""
        return f"{self.python_name}_sweep"

    @property
    def pool(self) -> str:
        """The pool shared by all sources of the platform: it bounds how many of their runs go at a time."""
        return f"{self.platform}_api"

    @property
    def tags(self) -> dict[str, str]:
        """The labels as Dagster's tags, with what a tag may not hold replaced by dashes."""
        return {name: re.sub(r"[^A-Za-z0-9_.-]+", "-", value)[:63] for name, value in self._labelled.items()}

    @property
    def owners(self) -> list[str]:
        """The user, if Dagster takes it for an owner, and those of the deployment."""
        return list(dict.fromkeys([*([self.user] if self.user and self._owned else []), *self.look.owners]))

    @property
    def _owned(self) -> bool:
        return self.user is not None and _OWNER.fullmatch(self.user) is not None

    @property
    def _labelled(self) -> dict[str, str]:
        return {**self.labels, **({"user": self.user} if self.user and not self._owned else {})}


_OWNER = re.compile(r"team:.+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}")
"""What Dagster accepts as the owner of an asset."""


def mirrored(source: Source, look: Presentation | None = None) -> MirroredSource:
    """Return a configured source as Dagster shows it. Nothing is opened: what a platform is it describes by a value."""
    labels = {"application": source.application, "component": source.component, "vault": source.vault}
    platform = PLATFORMS[source.platform].description
    return MirroredSource(
        alias=source.alias,
        platform=source.platform,
        title=platform.title,
        parts=platform.parts,
        kinds=platform.kinds,
        partition_noun=platform.partition_noun,
        check_every=source.every,
        max_concurrent=source.settings.max_concurrent,
        sweep_days=source.sweep.days,
        user=source.user,
        labels={name: label for name, label in labels.items() if label is not None},
        look=look or Presentation(),
    )


def partitions_of(source: MirroredSource) -> dg.DynamicPartitionsDefinition:
    """Return the definition of the source's partition set: one partition a dandiset, never one a record."""
    return dg.DynamicPartitionsDefinition(name=source.partition_set)


def add_partitions(instance: dg.DagsterInstance, source: MirroredSource, keys: Iterable[str]) -> None:
    """Add what is missing; an event of a partition that is not in the set would not be shown."""
    existing = set(instance.get_dynamic_partitions(source.partition_set))
    if missing := sorted(set(keys) - existing):
        instance.add_dynamic_partitions(source.partition_set, missing)


def materialized_partitions(
    instance: dg.DagsterInstance, source: MirroredSource, parts: Iterable[str]
) -> dict[str, frozenset[str]]:
    """Return which partitions of each part Dagster shows as materialized, or as being so."""
    keys = instance.get_dynamic_partitions(source.partition_set)
    return {
        part: shown_as_materialized(instance, source.asset_key(part), partitions_of(source), keys) for part in parts
    }


def remove_partition(instance: dg.DagsterInstance, source: MirroredSource, key: str) -> None:
    """Take out a partition that is gone; its events stay readable in the asset's history."""
    instance.delete_dynamic_partition(source.partition_set, key)


def forget_partitions(home: Path, alias: str) -> int:
    """Take all partitions of a source out of Dagster, and return how many; its runs and their events stay."""
    with open_used(home) as instance:
        keys = instance.get_dynamic_partitions(alias) if instance else []
        for key in keys:
            assert instance is not None
            instance.delete_dynamic_partition(alias, key)
    return len(keys)


@dataclass(frozen=True, slots=True)
class SetChanges:
    """How the set differs from the partitions there are."""

    missing: Sequence[str]
    gone: Sequence[str]

    def requests(
        self, source: MirroredSource
    ) -> list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest]:
        """Return what a sensor asks Dagster for to make them equal."""
        definition = partitions_of(source)
        adding = [definition.build_add_request(self.missing)] if self.missing else []
        removing = [definition.build_delete_request(self.gone)] if self.gone else []
        return [*adding, *removing]


def compare_set(instance: dg.DagsterInstance, source: MirroredSource, keys: Iterable[str]) -> SetChanges:
    """Compare the set with the `keys` there are now."""
    existing, present = set(instance.get_dynamic_partitions(source.partition_set)), set(keys)
    return SetChanges(missing=sorted(present - existing), gone=sorted(existing - present))
