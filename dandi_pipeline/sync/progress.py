"""How a sync tells a watcher, while it runs, how far it is."""

from collections.abc import Mapping
from enum import Enum
from typing import Protocol


class Stage(Enum):
    """The four levels of progress, from the archive down to one partition's records."""

    CHECK_PARTITIONS = "check partitions"
    UPDATE_PARTITIONS = "update partitions"
    CHECK_RECORDS = "check records"
    UPDATE_RECORDS = "update records"


class Progress(Protocol):
    """Told from several threads at once. `partition` is None at the two archive-wide stages.

    A partition's stage may begin again (each version has its own listing); one that never began may end.
    """

    def learn(self, names: Mapping[str, str]) -> None:
        """Take what the partitions are called, by their keys, before any of them starts."""
        ...

    def begin(self, stage: Stage, partition: str | None, total: int | None) -> None:
        """Note that a stage starts; `total` is None where it is not known."""
        ...

    def advance(self, stage: Stage, partition: str | None, by: int) -> None:
        """Note that `by` more are done."""
        ...

    def end(self, stage: Stage, partition: str | None) -> None:
        """Note that a stage is over, completed or not."""
        ...


class Unwatched:
    """A sync nobody watches."""

    def learn(self, names: Mapping[str, str]) -> None:
        """Do nothing."""

    def begin(self, stage: Stage, partition: str | None, total: int | None) -> None:
        """Do nothing."""

    def advance(self, stage: Stage, partition: str | None, by: int) -> None:
        """Do nothing."""

    def end(self, stage: Stage, partition: str | None) -> None:
        """Do nothing."""
