"""What a platform's simulator must offer for the promises to be tried on it."""

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from dandi_pipeline.model import Platform


class ServedPlatform(Protocol):
    """A simulated platform while it is served, with a few partitions in it."""

    @property
    def name(self) -> str:
        """The platform's name, which is also the source's in the mirror."""
        ...

    @property
    def requests_of_a_check(self) -> int:
        """How many requests it takes to see that nothing is stale."""
        ...

    @property
    def unknown_partition(self) -> str:
        """The key of a partition that does not exist."""
        ...

    def open(self) -> Platform:
        """Open it as a client that gives up soon; the caller closes it."""
        ...

    def edit(self, chance: random.Random) -> str:
        """Change the content of a partition at random, in a way that its listing shows; return its key."""
        ...

    def remove(self, chance: random.Random) -> str:
        """Delete a whole partition; return its key."""
        ...

    def while_reading(self, happen: Callable[[], None] | None) -> None:
        """Call `happen` before each answer that shows a partition's records; None: no more."""
        ...

    def fail(self, partition: str) -> None:
        """Answer every request for the partition's records with a server error, until `recover`."""
        ...

    def recover(self) -> None:
        """Work again."""
        ...

    def requests(self) -> int:
        """Return how many requests came in since this was last asked."""
        ...

    def differences(self, url: str) -> list[str]:
        """Return what in the mirror at `url` is not as a perfect one would have it."""
        ...


class PlatformUnderTest(Protocol):
    """Serves a fresh small world, the same for the same seed."""

    def __call__(self, seed: int) -> AbstractContextManager[ServedPlatform]:
        """Serve it."""
        ...
