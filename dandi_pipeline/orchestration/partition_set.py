"""A source's dynamic partition set in Dagster, kept equal to what the platform and the mirror have."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dagster as dg

from dandi_pipeline.orchestration.sources import MirroredSource


def partitions_of(source: MirroredSource) -> dg.DynamicPartitionsDefinition:
    """Return the definition of the source's partition set: one partition a dandiset, never one a record."""
    return dg.DynamicPartitionsDefinition(name=source.partition_set)


def add_partitions(instance: dg.DagsterInstance, source: MirroredSource, keys: Iterable[str]) -> None:
    """Add what is missing; an event of a partition that is not in the set would not be shown."""
    existing = set(instance.get_dynamic_partitions(source.partition_set))
    if missing := sorted(set(keys) - existing):
        instance.add_dynamic_partitions(source.partition_set, missing)


def remove_partition(instance: dg.DagsterInstance, source: MirroredSource, key: str) -> None:
    """Take out a partition that is gone; its events stay readable in the asset's history."""
    instance.delete_dynamic_partition(source.partition_set, key)


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
