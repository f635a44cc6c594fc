"""Recorded histories of drafts, as steps that lead from each state to the next."""

import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from .records import Metadata, as_instant


@dataclass(frozen=True)
class Step:
    """What one step changes: asset ids deleted first, then recorded assets put, then dandiset metadata."""

    at: datetime
    dandiset: Metadata | None = field(default=None, repr=False)
    upserted: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    deleted: Sequence[str] = ()

    @property
    def changes_anything(self) -> bool:
        """Whether the draft is any different after it."""
        return bool(self.dandiset or self.upserted or self.deleted)


class History:
    """The steps of one dandiset's history file (`NNNNNN.jsonl.gz`), oldest first, read as they are asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dandiset_id = path.name.split(".")[0]

    def __iter__(self) -> Iterator[Step]:
        with gzip.open(self.path, "rb") as lines:
            for line in lines:
                yield _step(orjson.loads(line))


def _step(line: Mapping[str, Any]) -> Step:
    return Step(
        at=as_instant(line["at"]),
        dandiset=line.get("dandiset"),
        upserted=line.get("upsert", ()),
        deleted=[gone["asset_id"] for gone in line.get("delete", ())],
    )
