"""Remembers every state that the archive was ever in, to tell whether what a mirror holds is one of them."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from dandi_pipeline.platforms.dandi.api import as_listed
from dandi_pipeline.platforms.dandi.records import DRAFT
from dandi_pipeline_tests.end_to_end.equality import Rows, expected_rows
from dandi_pipeline_tests.simulators.dandi import SUPERUSER_TOKEN, World

TABLES_OF = {"dandisets": ("dandisets", "versions"), "assets": ("assets",)}
"""The tables that hold each part."""

Place = tuple[str, tuple[str, ...]]
"""A table and a row's key."""

State = Mapping[Place, int]
"""For each row of one part of one dandiset, the hash of what it holds."""


class Ledger:
    """The states of each dandiset, by the token under which a sync would store them."""

    def __init__(self, world: World, *, published_assets: bool) -> None:
        self._world = world
        self._published_assets = published_assets
        self._states: dict[tuple[str, str, str], list[State]] = defaultdict(list)
        self._ever: set[tuple[Place, int]] = set()
        self.record()

    def record(self) -> None:
        """Remember the archive as it is; to be called after every single change."""
        with self._world.lock:
            snapshot = self._world.snapshot(SUPERUSER_TOKEN, published_assets=self._published_assets)
        rows = expected_rows(snapshot, published_assets=self._published_assets)
        for part, tables in TABLES_OF.items():
            by_dandiset = _states(tables, rows)
            for identifier, dandiset in snapshot.items():
                state = by_dandiset.get(identifier, {})
                known = self._states[identifier, part, as_listed(dandiset, where="ledger").token]
                if state not in known:
                    known.append(state)
                    self._ever.update(state.items())

    def problems(
        self,
        held: Mapping[str, Rows],
        tokens: Mapping[tuple[str, str], str | None],
        *,
        behind: Collection[str] = (),
    ) -> list[str]:
        """Return what the archive never was.

        A part stored under a token must be what the archive was under that token, row by row and as a whole; of
        one without, each row must have been true at some time. So it is for the published versions of the dandisets
        that may be `behind` until a sweep.
        """
        found = []
        for part, tables in TABLES_OF.items():
            for identifier, state in _states(tables, held).items():
                token = tokens.get((identifier, part))
                states = self._states.get((identifier, part, token or ""))
                found += [f"{place} never was so" for place, row in state.items() if (place, row) not in self._ever]
                if identifier in behind and states:
                    state = {place: row for place, row in state.items() if not _is_published(place)}
                    states = [{place: row for place, row in one.items() if not _is_published(place)} for one in states]
                if states:
                    found += _mismatches(f"{identifier} {part} under {token}", state, states)
                elif token not in (None, "hidden"):
                    found.append(f"{identifier} {part} is stored under {token}, which never was its token")
        return found


def _is_published(place: Place) -> bool:
    table, key = place
    return table == "versions" and key[-1] != DRAFT


def _states(tables: tuple[str, ...], rows: Mapping[str, Rows]) -> dict[str, dict[Place, int]]:
    found: dict[str, dict[Place, int]] = defaultdict(dict)
    for table in tables:
        for key, row in rows[table].items():
            found[key[0]][table, key] = _hash(table, row)
    return found


def _hash(table: str, row: Mapping[str, Any]) -> int:
    return hash(repr([(name, _spelled(row[name])) for name in _COLUMNS[table]]))


def _spelled(value: Any) -> Any:
    """Return the value with its objects' members in one order."""
    if isinstance(value, dict):
        return [(name, _spelled(value[name])) for name in sorted(value)]
    return [_spelled(item) for item in value] if isinstance(value, list) else value


_COLUMNS = {
    "dandisets": ("name", "embargo_status", "created", "draft_modified", "asset_count", "size", "contact_person"),
    "versions": ("status", "name", "created", "modified", "asset_count", "size", "license", "doi", "metadata"),
    "assets": (
        "asset_id",
        "size",
        "encoding_format",
        "sha256",
        "dandi_etag",
        "blob",
        "zarr",
        "created",
        "modified",
        "metadata",
    ),
}


def _mismatches(where: str, held: State, states: list[State]) -> list[str]:
    """Compare with all states of one token: they differ by what changed silently, which may be seen in any order."""
    always = set.intersection(*(set(state) for state in states))
    found = [f"{where}: {place} is missing" for place in always - held.keys()]
    for place, row in held.items():
        if all(state.get(place) != row for state in states):
            found.append(f"{where}: {place} is not what it was")
    return found
