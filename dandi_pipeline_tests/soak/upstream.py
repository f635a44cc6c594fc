"""What happens upstream at random: any operation of the archive that its state allows."""

import random
from collections.abc import Callable

from dandi_pipeline.platforms.dandi.plan import OVERLAP
from dandi_pipeline_tests.simulators.dandi import World

ANCHOR = "000001"
"""A dandiset that is never deleted: an archive that lists nothing at all is a failure, not a world."""


class Upstream:
    """Edits a world at random.

    `silent` holds the dandisets changed in a way that no listing shows, until something else moves them; of
    `until_sweep` an older published version was changed, which only a sweep sees.
    """

    def __init__(self, world: World, chance: random.Random) -> None:
        self.silent: set[str] = set()
        self.until_sweep: set[str] = set()
        self._world = world
        self._chance = chance
        self._count = 0
        for identifier in world.dandisets:
            self._complete_digests(identifier)
            self._age_zarrs(identifier)

    def happen(self, *, quick: bool = False) -> str | None:
        """Do one operation; return its name, or None where the state did not allow it.

        `quick`: while a sync reads. What moves no timestamp that the sync could look at is left out then: it is
        promised to be seen by a later sync only.
        """
        choices = QUICK if quick else {**QUICK, **SLOW}
        name = self._chance.choices([*choices], weights=[weight for weight, _ in choices.values()])[0]
        with self._world.lock:
            identifier = self._chance.choice(sorted(self._world.dandisets))
            return name if choices[name][1](self, identifier) else None

    def settle(self) -> None:
        """Validate every dandiset that was changed silently, which moves its draft."""
        with self._world.lock:
            for identifier in self.silent & self._world.dandisets.keys():
                self._world.validate_version(identifier)
            self.silent &= self.until_sweep

    # Each operation returns whether it was possible

    def add_asset(self, identifier: str) -> bool:
        chance, zarr = self._chance, self._chance.random() < 0.2
        path = f"sub-{chance.randint(0, 3)}/{self._next()}.{'zarr' if zarr else 'nwb'}"
        self._world.add_asset(identifier, path, size=chance.randint(1, 2**40), zarr=zarr, sha256=chance.random() < 0.6)
        return True

    def edit_asset(self, identifier: str) -> bool:
        path = self._path(identifier)
        return path is not None and bool(
            self._world.edit_asset(identifier, path, metadata={"keywords": [f"edit {self._next()}"]})
        )

    def replace_asset(self, identifier: str) -> bool:
        path = self._path(identifier)
        return path is not None and bool(self._world.edit_asset(identifier, path, size=self._chance.randint(1, 2**40)))

    def move_asset(self, identifier: str) -> bool:
        path = self._path(identifier)
        return path is not None and bool(self._world.move_asset(identifier, path, f"moved/{self._next()}"))

    def swap_paths(self, identifier: str) -> bool:
        paths = sorted(self._world.dandisets[identifier].draft.assets)
        return len(paths) > 1 and bool(self._world.swap_paths(identifier, *self._chance.sample(paths, 2)))

    def remove_asset(self, identifier: str) -> bool:
        path = self._path(identifier)
        return path is not None and bool(self._world.remove_asset(identifier, path))

    def reuse_path(self, identifier: str) -> bool:
        path = self._path(identifier)
        if path is None:
            return False
        self._world.remove_asset(identifier, path)
        return bool(self._world.add_asset(identifier, path, size=self._chance.randint(1, 2**40)))

    def commit_late(self, identifier: str) -> bool:
        """Change assets as one does that began before the last reading, and was waiting meanwhile."""
        with self._world.begun(self._chance.choice([1, 60, 0.9 * OVERLAP.total_seconds()])):
            change = self._chance.choice([Upstream.add_asset, Upstream.edit_asset, Upstream.move_asset])
            return change(self, identifier)

    def edit_many(self, identifier: str) -> bool:
        """Edit many assets at once, of which some have one time, as a bulk change leaves them."""
        paths = sorted(self._world.dandisets[identifier].draft.assets)
        if len(paths) < 3:
            return False
        chosen = self._chance.sample(paths, self._chance.randint(2, len(paths)))
        metadata = {"keywords": [f"many {self._next()}"]}
        edited = [self._world.edit_asset(identifier, path, metadata=metadata) for path in chosen]
        for asset in edited[: len(edited) // 2]:
            self._world.rewrite_asset(asset.asset_id, modified=edited[0].modified)
        return True

    def edit_dandiset(self, identifier: str) -> bool:
        return bool(self._world.edit_dandiset(identifier, {"description": f"Édition {self._next()}\u2028\t\\N"}))

    def rename_dandiset(self, identifier: str) -> bool:
        return bool(self._world.rename_dandiset(identifier, f"Name {self._next()} 'quoted' \x1b[1m"))

    def create_dandiset(self, identifier: str) -> bool:
        if len(self._world.dandisets) > 6:
            return False
        return bool(self._world.create_dandiset(f"New {self._next()}", embargoed=self._chance.random() < 0.3))

    def delete_dandiset(self, identifier: str) -> bool:
        dandiset = self._world.dandisets[identifier]
        if identifier == ANCHOR or dandiset.most_recent_published or dandiset.embargo_status == "UNEMBARGOING":
            return False
        self._world.delete_dandiset(identifier)
        return True

    def validate_assets(self, identifier: str) -> bool:
        self._world.validate_assets(identifier)
        return True

    def validate_version(self, identifier: str) -> bool:
        return bool(self._world.validate_version(identifier, valid=self._chance.random() < 0.7))

    def summarize_assets(self, identifier: str) -> bool:
        return bool(self._world.summarize_assets(identifier))

    def go_back_in_time(self, identifier: str) -> bool:
        day = f"{self._chance.randint(2001, 2020)}-{self._chance.randint(1, 12):02d}-01"
        return bool(self._world.rewrite_version(identifier, modified=f"{day}T00:00:00.{self._next():06d}Z"))

    def unembargo(self, identifier: str) -> bool:
        status = self._world.dandisets[identifier].embargo_status
        if status == "OPEN":
            return False
        step = self._world.start_unembargo if status == "EMBARGOED" else self._world.finish_unembargo
        return bool(step(identifier))

    def publish(self, identifier: str) -> bool:
        dandiset = self._world.dandisets[identifier]
        if dandiset.embargo_status != "OPEN" or len(dandiset.versions) > 4:
            return False
        self._complete_digests(identifier)
        return bool(self._world.publish(identifier))

    def _age_zarrs(self, identifier: str) -> None:
        """Let the zarrs be older than everything else, so that the newest assets do not show them anyway."""
        for asset in self._world.dandisets[identifier].draft.assets.values():
            if asset.zarr:
                self._world.rewrite_asset(asset.asset_id, modified="2023-01-01T00:00:00Z")

    def _complete_digests(self, identifier: str) -> None:
        """Compute every sha256 that is missing, as the archive does before it finds assets valid and publishes them."""
        for path in self._without_sha256(identifier):
            self._world.compute_sha256(identifier, path)

    def store_doi(self, identifier: str) -> bool:
        versions = self._published(identifier)
        return bool(versions) and bool(self._world.store_doi(identifier, versions[-1], doi=f"10.80507/{self._next()}"))

    def fix_old_version(self, identifier: str) -> bool:
        versions = self._published(identifier)
        if not versions:
            return False
        self._change_versions_of(identifier)
        version = self._chance.choice(versions)
        return bool(self._world.fix_published_version(identifier, version, {"keywords": [f"{self._next()}"]}))

    def delete_version(self, identifier: str) -> bool:
        versions = self._published(identifier)
        if not versions:
            return False
        self._change_versions_of(identifier)
        self._world.delete_version(identifier, self._chance.choice(versions))
        return True

    def compute_sha256(self, identifier: str) -> bool:
        paths = self._without_sha256(identifier)
        if not paths:
            return False
        self.silent.add(identifier)
        return bool(self._world.compute_sha256(identifier, self._chance.choice(paths)))

    def reopen_zarr(self, identifier: str) -> bool:
        path = self._zarr(identifier)
        if path is None:
            return False
        self.silent.add(identifier)
        return bool(self._world.reopen_zarr(identifier, path))

    def ingest_zarr(self, identifier: str) -> bool:
        path = self._zarr(identifier)
        return path is not None and bool(self._world.ingest_zarr(identifier, path, size=self._chance.randint(1, 2**40)))

    def _change_versions_of(self, identifier: str) -> None:
        self.silent.add(identifier)
        self.until_sweep.add(identifier)

    def _path(self, identifier: str) -> str | None:
        paths = sorted(self._world.dandisets[identifier].draft.assets)
        return self._chance.choice(paths) if paths else None

    def _without_sha256(self, identifier: str) -> list[str]:
        assets = self._world.dandisets[identifier].draft.assets
        return sorted(
            path for path, asset in assets.items() if asset.blob and "dandi:sha2-256" not in asset.metadata["digest"]
        )

    def _zarr(self, identifier: str) -> str | None:
        assets = self._world.dandisets[identifier].draft.assets
        paths = sorted(path for path, asset in assets.items() if asset.zarr)
        return self._chance.choice(paths) if paths else None

    def _published(self, identifier: str) -> list[str]:
        return [version for version in self._world.dandisets[identifier].versions if version != "draft"]

    def _next(self) -> int:
        self._count += 1
        return self._count


Operation = Callable[[Upstream, str], bool]

QUICK: dict[str, tuple[int, Operation]] = {
    "add asset": (6, Upstream.add_asset),
    "edit asset": (4, Upstream.edit_asset),
    "replace asset": (2, Upstream.replace_asset),
    "move asset": (2, Upstream.move_asset),
    "swap paths": (2, Upstream.swap_paths),
    "remove asset": (3, Upstream.remove_asset),
    "reuse path": (1, Upstream.reuse_path),
    "commit late": (3, Upstream.commit_late),
    "edit many": (1, Upstream.edit_many),
    "edit dandiset": (3, Upstream.edit_dandiset),
    "rename dandiset": (2, Upstream.rename_dandiset),
    "create dandiset": (1, Upstream.create_dandiset),
    "delete dandiset": (1, Upstream.delete_dandiset),
    "validate assets": (2, Upstream.validate_assets),
    "validate version": (2, Upstream.validate_version),
    "summarize assets": (1, Upstream.summarize_assets),
    "publish": (2, Upstream.publish),
}
"""Operations by name, with how likely they are; each moves what a sync looks at."""

SLOW: dict[str, tuple[int, Operation]] = {
    "timestamp back": (1, Upstream.go_back_in_time),
    "unembargo": (1, Upstream.unembargo),
    "store doi": (2, Upstream.store_doi),
    "fix old version": (1, Upstream.fix_old_version),
    "delete version": (1, Upstream.delete_version),
    "compute sha256": (3, Upstream.compute_sha256),
    "reopen zarr": (2, Upstream.reopen_zarr),
    "ingest zarr": (2, Upstream.ingest_zarr),
}
"""Operations that (also) move what no listing shows, or go back to a state token of before."""
