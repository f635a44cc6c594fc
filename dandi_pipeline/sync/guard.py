"""Refuses to delete much at once without being told: a platform in trouble can look like an empty one.

The limits leave room for what really happens: in the recorded histories of 15 dandisets the largest true
clean-ups at once were 597 of 600 assets and 308 of 308.
"""

from dandi_pipeline.errors import MassDeletionRefused

HOW_TO_ALLOW = "nothing was deleted: if it is meant, run again with --allow-mass-deletion"

RECORD_SHARE, RECORD_FLOOR = 0.5, 1_000
"""A partition may lose this share of its bulk records at once, or this many."""

PARTITION_SHARE, PARTITION_FLOOR = 0.2, 10
"""A source may lose this share of its partitions at once, or this many."""


def guard_records(partition: str, noun: str, *, going: int, held: int) -> None:
    """Raise `MassDeletionRefused` if a partition would lose more of its records than is usual."""
    if going > RECORD_FLOOR and going > held * RECORD_SHARE:
        raise MassDeletionRefused(f"{partition}: {going:,} of {held:,} {noun}s would be deleted; {HOW_TO_ALLOW}")


def guard_partitions(source: str, noun: str, *, going: int, held: int, listed: int) -> None:
    """Raise `MassDeletionRefused` if a source lists nothing at all, or suddenly far less than before."""
    if held and not listed:
        raise MassDeletionRefused(f"{source} lists no {noun} at all, while the mirror holds {held:,}; {HOW_TO_ALLOW}")
    if going > PARTITION_FLOOR and going > held * PARTITION_SHARE:
        raise MassDeletionRefused(f"{source} no longer lists {going:,} of {held:,} {noun}s; {HOW_TO_ALLOW}")
