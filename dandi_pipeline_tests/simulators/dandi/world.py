"""The archive's state, and every upstream operation on it with exactly the timestamps that it moves.

D is a dandiset's `modified`, V a version's, A an asset's. What an operation does not say it moves, it does not
move: that is the point of this module, since clients are tempted to believe otherwise.

Rows are changed through the methods of `World` only; whoever reads `dandisets` and `assets` while others
change them holds `World.lock`.
"""

import random
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

import orjson

from dandi_pipeline_tests.simulators.clock import Clock

from . import metadata as computed
from .history import Step
from .records import (
    DRAFT,
    EMBARGOED,
    OPEN,
    UNEMBARGOING,
    Asset,
    Dandiset,
    Instant,
    Metadata,
    User,
    Version,
    as_instant,
)
from .snapshot import Snapshot, take_snapshot

OWNER_TOKEN = "0a" * 20
SUPERUSER_TOKEN = "1b" * 20
STRANGER_TOKEN = "2c" * 20

USERS: Mapping[str, User] = {
    OWNER_TOKEN: User("owner"),
    SUPERUSER_TOKEN: User("admin", superuser=True),
    STRANGER_TOKEN: User("stranger"),
}

Value = TypeVar("Value")


class Refused(ValueError):
    """The archive does not allow the operation, or what it names does not exist."""


class World:
    """A whole archive. `seed` decides the ids and digests it makes up; `clock` all its timestamps."""

    def __init__(self, *, seed: int = 0, clock: Clock | None = None, users: Mapping[str, User] = USERS) -> None:
        self.lock = threading.RLock()
        self.clock = clock or Clock()
        self.random = random.Random(seed)
        self.users = dict(users)
        self.dandisets: dict[str, Dandiset] = {}
        self.assets: dict[str, Asset] = {}
        """Every asset there ever was: removal from a draft does not delete the row."""
        self.before_change: list[Callable[[str], None]] = []
        """Called with the identifier of the dandiset that is about to change, the lock held."""
        self._derived: dict[object, Any] = {}

    # Reading

    def derived(self, key: object, compute: Callable[[], Value]) -> Value:
        """Return what `compute` returned last under `key`, computed anew after any change of the world."""
        if key not in self._derived:
            self._derived[key] = compute()
        value: Value = self._derived[key]
        return value

    def sees(self, user: User | None, dandiset_id: str) -> bool:
        """Whether a user (None: anonymous) may read an embargoed dandiset or its assets."""
        if user is None:
            return False
        dandiset = self.dandisets.get(dandiset_id)
        return user.superuser or (dandiset is not None and user.name in dandiset.owners)

    def snapshot(self, token: str | None = None, *, published_assets: bool = True) -> Snapshot:
        """Return what a perfect mirror would hold for this token; see `snapshot` for the shape."""
        with self.lock:
            return take_snapshot(self, self.users[token] if token else None, published_assets)

    # Assets of a draft

    def add_asset(
        self,
        dandiset_id: str,
        path: str,
        *,
        size: int = 1024,
        metadata: Metadata | None = None,
        blob: str | None = None,
        zarr: bool = False,
        sha256: bool = True,
        asset_id: str | None = None,
    ) -> Asset:
        """Add a file or a zarr to the draft. V moves; `sha256=False`: that digest is not computed yet."""
        with self._changing(dandiset_id) as dandiset:
            if path in dandiset.draft.assets:
                raise Refused(f"dandiset {dandiset_id}: {path!r} exists already")
            digest = self._zarr_digest(size) if zarr else self._blob_digest(sha256)
            asset = self._new_asset(
                dandiset,
                path,
                size=size,
                metadata=metadata or {"schemaKey": "Asset", "encodingFormat": "application/x-nwb"},
                digest=digest,
                blob=None if zarr else blob or self._uuid(),
                zarr=self._uuid() if zarr else None,
                asset_id=asset_id,
            )
            self._put(dandiset.draft, asset)
            return asset

    def edit_asset(
        self,
        dandiset_id: str,
        path: str,
        *,
        metadata: Metadata | None = None,
        size: int | None = None,
        asset_id: str | None = None,
    ) -> Asset:
        """Change metadata keys (None removes one), or the content when `size` is given.

        A new row with a new id takes the path and V moves; the old row stays, unlisted. An edit that changes
        nothing returns the same asset and moves nothing.
        """
        with self.lock:
            old = self._draft_asset(dandiset_id, path)
            merged = {**old.metadata, **(metadata or {})}
            entered = {key: value for key, value in merged.items() if value is not None}
            if entered == old.metadata and size is None:
                return old
            return self._replace(old, path, metadata=entered, size=size, asset_id=asset_id)

    def move_asset(self, dandiset_id: str, path: str, new_path: str, *, asset_id: str | None = None) -> Asset:
        """Rename a path: an edit like any other, so a new id; V moves."""
        with self.lock:
            old = self._draft_asset(dandiset_id, path)
            if new_path in self.dandisets[dandiset_id].draft.assets:
                raise Refused(f"dandiset {dandiset_id}: {new_path!r} exists already")
            return self._replace(old, new_path, metadata=old.metadata, asset_id=asset_id)

    def swap_paths(self, dandiset_id: str, path: str, other_path: str) -> tuple[Asset, Asset]:
        """Let two assets change places, each a new row with a new id; V moves."""
        with self.lock:
            first = self._draft_asset(dandiset_id, path)
            second = self._draft_asset(dandiset_id, other_path)
            return (
                self._replace(first, other_path, metadata=first.metadata),
                self._replace(second, path, metadata=second.metadata),
            )

    def remove_asset(self, dandiset_id: str, path: str) -> Asset:
        """Take an asset out of the draft: V moves, the row stays readable by its id."""
        with self._changing(dandiset_id) as dandiset:
            asset = self._draft_asset(dandiset_id, path)
            del dandiset.draft.assets[path]
            self._move_draft(dandiset)
            return asset

    # Dandisets

    def create_dandiset(
        self,
        name: str,
        *,
        identifier: str | None = None,
        embargoed: bool = False,
        owner: str = "owner",
        metadata: Metadata | None = None,
    ) -> Dandiset:
        """Create a dandiset with an empty draft; D and V are now."""
        with self._change():
            identifier = identifier or f"{max(map(int, self.dandisets), default=0) + 1:06d}"
            if identifier in self.dandisets:
                raise Refused(f"dandiset {identifier} exists already")
            created, modified, draft_created = self.clock.now(), self.clock.now(), self.clock.now()
            draft = Version(
                version=DRAFT,
                status="Pending",
                created=draft_created,
                modified=self.clock.now(),
                metadata=computed.version_metadata(
                    _first_metadata(owner) | {**(metadata or {}), "name": name},
                    identifier=identifier,
                    version=DRAFT,
                    created=created,
                    embargoed=embargoed,
                ),
            )
            status = EMBARGOED if embargoed else OPEN
            dandiset = Dandiset(identifier, created, modified, status, {owner}, {DRAFT: draft})
            self.dandisets[identifier] = dandiset
            return dandiset

    def edit_dandiset(self, dandiset_id: str, changes: Metadata) -> Version:
        """Change keys of the draft's metadata (None removes one): V moves if anything really differs."""
        with self.lock:
            draft = self._dandiset(dandiset_id).draft
            merged = {**draft.metadata, **changes}
            entered = {key: value for key, value in merged.items() if value is not None}
            if entered == draft.metadata:
                return draft
            with self._changing(dandiset_id) as dandiset:
                draft.metadata = self._version_metadata(dandiset, DRAFT, entered)
                self._move_draft(dandiset)
            return draft

    def rename_dandiset(self, dandiset_id: str, name: str) -> Version:
        """Give the draft another name: V moves if it differs."""
        return self.edit_dandiset(dandiset_id, {"name": name})

    def delete_dandiset(self, dandiset_id: str) -> None:
        """Delete a dandiset that was never published; its assets stay readable by their ids."""
        with self._changing(dandiset_id) as dandiset:
            if dandiset.most_recent_published or dandiset.embargo_status == UNEMBARGOING:
                raise Refused(f"dandiset {dandiset_id}: published or unembargoing ones are never deleted")
            del self.dandisets[dandiset_id]

    def start_unembargo(self, dandiset_id: str) -> Dandiset:
        """Kick unembargoing off: nothing moves, the dandiset stays hidden."""
        with self._changing(dandiset_id) as dandiset:
            if dandiset.embargo_status != EMBARGOED:
                raise Refused(f"dandiset {dandiset_id} is not embargoed")
            dandiset.embargo_status = UNEMBARGOING
            return dandiset

    def finish_unembargo(self, dandiset_id: str) -> Dandiset:
        """Open the dandiset: V moves, D and every A do not, though each asset's `access` changes."""
        with self._changing(dandiset_id) as dandiset:
            dandiset.embargo_status = OPEN
            for asset in dandiset.draft.assets.values():
                asset.embargoed = False
                _update_metadata(asset, access=computed.access(embargoed=False))
            opened = {**dandiset.draft.metadata, "access": computed.access(embargoed=False)}
            dandiset.draft.metadata = opened
            self._move_draft(dandiset)
            return dandiset

    # Versions

    def publish(self, dandiset_id: str, *, version: str | None = None) -> Version:
        """Publish the draft as it stands.

        The draft's unpublished assets keep their ids, A moves and their metadata says when; both versions share
        them. The draft gets the same two keys and status Published, and V moves.
        """
        with self._changing(dandiset_id) as dandiset:
            if dandiset.embargo_status != OPEN:
                raise Refused(f"dandiset {dandiset_id} is embargoed and cannot be published")
            draft, now = dandiset.draft, self.clock.now()
            publication = computed.publication(now, self._uuid())
            name = version or _free_version(dandiset, now)
            for asset in draft.assets.values():
                if not asset.published:
                    asset.modified = self.clock.now()
                    _update_metadata(asset, **publication)
            entered = {**draft.metadata, **publication, "assetsSummary": self._summary(draft)}
            published = Version(
                version=name,
                status="Valid",
                created=now,
                modified=self.clock.now(),
                metadata=self._version_metadata(dandiset, name, entered),
                assets=dict(draft.assets),
            )
            dandiset.versions[name] = published
            draft.metadata = {**draft.metadata, **publication}
            draft.status, draft.modified = "Published", self.clock.now()
            return published

    def store_doi(self, dandiset_id: str, version: str, *, doi: str | None = None) -> Version:
        """Store a published version's DOI, which happens after it is seen already: its V moves again."""
        doi = doi or f"10.48324/dandi.{dandiset_id}/{version}"
        return self.fix_published_version(dandiset_id, version, {"doi": doi})

    def fix_published_version(self, dandiset_id: str, version: str, changes: Metadata) -> Version:
        """Correct a published version's metadata as an administrator does: its V moves, the draft's does not."""
        with self._changing(dandiset_id) as dandiset:
            published = self._published(dandiset, version)
            published.metadata = self._version_metadata(dandiset, version, {**published.metadata, **changes})
            published.modified = self.clock.now()
            return published

    def delete_version(self, dandiset_id: str, version: str) -> None:
        """Delete a published version, as only superusers can; nothing moves."""
        with self._changing(dandiset_id) as dandiset:
            del dandiset.versions[self._published(dandiset, version).version]

    # What the archive does by itself in the background

    def validate_assets(self, dandiset_id: str) -> None:
        """Validate the draft's assets: V moves once for each of them, A never."""
        with self._changing(dandiset_id) as dandiset:
            for _ in dandiset.draft.assets:
                dandiset.draft.modified = self.clock.now()

    def validate_version(self, dandiset_id: str, *, valid: bool = True) -> Version:
        """Validate the draft: V moves and the status says how it went."""
        with self._changing(dandiset_id) as dandiset:
            dandiset.draft.status = "Valid" if valid else "Invalid"
            dandiset.draft.modified = self.clock.now()
            return dandiset.draft

    def summarize_assets(self, dandiset_id: str) -> Version:
        """Recompute the draft's `assetsSummary`: V moves, whatever comes out."""
        with self._changing(dandiset_id) as dandiset:
            draft = dandiset.draft
            draft.metadata = {**draft.metadata, "assetsSummary": self._summary(draft)}
            draft.modified = self.clock.now()
            return draft

    def compute_sha256(self, dandiset_id: str, path: str) -> Asset:
        """Let the sha256 digest appear in an asset's metadata. Nothing moves at all."""
        with self._changing(dandiset_id):
            asset = self._draft_asset(dandiset_id, path)
            _update_metadata(asset, digest={**asset.metadata["digest"], "dandi:sha2-256": self._hex(64)})
            return asset

    def reopen_zarr(self, dandiset_id: str, path: str) -> Asset:
        """Mark a zarr as pending: size 0 and no checksum at once. Nothing moves, not even any version's size."""
        with self._changing(dandiset_id):
            asset = self._draft_zarr(dandiset_id, path)
            asset.counted = asset.size if asset.counted is None else asset.counted
            asset.size = 0
            _update_metadata(asset, contentSize=0, digest={"dandi:dandi-zarr-checksum": None})
            return asset

    def ingest_zarr(self, dandiset_id: str, path: str, *, size: int) -> Asset:
        """Finish a zarr's upload: same id, new size and checksum; V moves.

        A and the size that versions count move for what is not published only (`zarr/tasks`, `add_zarr_paths`).
        """
        with self._changing(dandiset_id) as dandiset:
            asset = self._draft_zarr(dandiset_id, path)
            if asset.published:
                asset.counted = asset.size if asset.counted is None else asset.counted
            else:
                asset.counted, asset.modified = None, self.clock.now()
            asset.size = size
            _update_metadata(asset, contentSize=size, digest=self._zarr_digest(size))
            self._move_draft(dandiset)
            return asset

    @contextmanager
    def begun(self, seconds: float) -> Iterator[None]:
        """Commit late: what happens within began so long ago, and has the times of then.

        The archive takes the time of a change before it waits for the draft's row (`timezone.now()` in `.update()`), so
        changes become visible in another order than their times say, and V may go back.
        """
        with self.lock:
            clock, self.clock = self.clock, Clock(self.clock.now() - timedelta(seconds=seconds))
            try:
                yield
            finally:
                self.clock = clock

    # Beyond what upstream does: any state can be brought about

    def rewrite_dandiset(
        self, dandiset_id: str, *, created: Instant | None = None, modified: Instant | None = None
    ) -> Dandiset:
        """Overwrite a dandiset's timestamps; nothing else moves."""
        with self._changing(dandiset_id) as dandiset:
            _rewrite_instants(dandiset, created, modified)
            return dandiset

    def rewrite_version(
        self,
        dandiset_id: str,
        version: str = DRAFT,
        *,
        created: Instant | None = None,
        modified: Instant | None = None,
        status: str | None = None,
        metadata: Metadata | None = None,
    ) -> Version:
        """Overwrite a version's timestamps (backwards, too), status or whole metadata; nothing else moves."""
        with self._changing(dandiset_id) as dandiset:
            found = dandiset.versions[version]
            _rewrite_instants(found, created, modified)
            found.status = status or found.status
            found.metadata = metadata or found.metadata
            return found

    def rewrite_asset(
        self,
        asset_id: str,
        *,
        created: Instant | None = None,
        modified: Instant | None = None,
        size: int | None = None,
        metadata: Metadata | None = None,
    ) -> Asset:
        """Overwrite an asset's timestamps, size or whole metadata; nothing else moves."""
        with self._changing(self.assets[asset_id].dandiset_id):
            asset = self.assets[asset_id]
            _rewrite_instants(asset, created, modified)
            asset.size = asset.size if size is None else size
            asset.metadata_json = orjson.dumps(metadata) if metadata else asset.metadata_json
            return asset

    def adopt(self, dandiset: Dandiset) -> None:
        """Take in a dandiset recorded elsewhere, with all its versions and their assets, as it is."""
        with self._change():
            self.dandisets[dandiset.identifier] = dandiset
            for version in dandiset.versions.values():
                self.assets.update((asset.asset_id, asset) for asset in version.assets.values())

    def apply_history_step(self, dandiset_id: str, step: Step) -> None:
        """Put the draft in a recorded state; V moves by the world's clock if the step changes anything.

        Each asset's own id and timestamps are the recording's. A dandiset that is not there is created.
        """
        with self.lock:
            if dandiset_id not in self.dandisets:
                self.create_dandiset(f"Dandiset {dandiset_id}", identifier=dandiset_id)
            if not step.changes_anything:
                return
            with self._changing(dandiset_id) as dandiset:
                self._apply_assets(dandiset, step)
                dandiset.draft.metadata = step.dandiset or dandiset.draft.metadata
                self._move_draft(dandiset)

    # How it is done

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Hold the lock during a change, and let go of everything derived after it."""
        with self.lock:
            try:
                yield
            finally:
                self._derived.clear()

    @contextmanager
    def _changing(self, dandiset_id: str) -> Iterator[Dandiset]:
        """Change one dandiset, which must exist."""
        with self._change():
            dandiset = self._dandiset(dandiset_id)
            for notice in self.before_change:
                notice(dandiset_id)
            yield dandiset

    def _dandiset(self, dandiset_id: str) -> Dandiset:
        if dandiset_id not in self.dandisets:
            raise Refused(f"no dandiset {dandiset_id}")
        return self.dandisets[dandiset_id]

    def _draft_asset(self, dandiset_id: str, path: str) -> Asset:
        asset = self._dandiset(dandiset_id).draft.assets.get(path)
        if asset is None:
            raise Refused(f"dandiset {dandiset_id}: the draft has no {path!r}")
        return asset

    def _draft_zarr(self, dandiset_id: str, path: str) -> Asset:
        asset = self._draft_asset(dandiset_id, path)
        if asset.zarr is None:
            raise Refused(f"dandiset {dandiset_id}: {path!r} is not a zarr")
        return asset

    def _published(self, dandiset: Dandiset, version: str) -> Version:
        if version == DRAFT or version not in dandiset.versions:
            raise Refused(f"dandiset {dandiset.identifier} has no published version {version}")
        return dandiset.versions[version]

    def _move_draft(self, dandiset: Dandiset) -> None:
        dandiset.draft.status, dandiset.draft.modified = "Pending", self.clock.now()

    def _put(self, draft: Version, asset: Asset) -> None:
        self.assets[asset.asset_id] = draft.assets[asset.path] = asset
        self._move_draft(self.dandisets[asset.dandiset_id])

    def _replace(
        self,
        old: Asset,
        path: str,
        *,
        metadata: Metadata,
        size: int | None = None,
        asset_id: str | None = None,
    ) -> Asset:
        """Let a new row take over from `old`; with `size`, over new content."""
        with self._changing(old.dandiset_id) as dandiset:
            content = (
                {"size": old.size, "blob": old.blob, "zarr": old.zarr, "digest": old.metadata["digest"]}
                if size is None
                else self._new_content(old, size)
            )
            asset = self._new_asset(dandiset, path, metadata=metadata, asset_id=asset_id, **content)
            if dandiset.draft.assets.get(old.path) is old:
                del dandiset.draft.assets[old.path]
            self._put(dandiset.draft, asset)
            return asset

    def _new_content(self, old: Asset, size: int) -> dict[str, Any]:
        if old.zarr:
            return {"size": size, "blob": None, "zarr": self._uuid(), "digest": self._zarr_digest(size)}
        return {"size": size, "blob": self._uuid(), "zarr": None, "digest": self._blob_digest(sha256=True)}

    def _new_asset(
        self,
        dandiset: Dandiset,
        path: str,
        *,
        size: int,
        metadata: Metadata,
        digest: Metadata,
        blob: str | None,
        zarr: str | None,
        asset_id: str | None,
    ) -> Asset:
        asset_id = asset_id or self._uuid()
        embargoed = dandiset.embargo_status != OPEN
        schema_version = metadata.get("schemaVersion", computed.SCHEMA_VERSION)
        complete = {
            **{key: value for key, value in metadata.items() if key not in computed.STRIPPED_FROM_ASSETS},
            "@context": computed.context(schema_version),
            "schemaVersion": schema_version,
            "id": f"dandiasset:{asset_id}",
            "identifier": asset_id,
            "path": path,
            "access": computed.access(embargoed),
            "contentUrl": computed.content_url(asset_id, blob, zarr),
            "contentSize": size,
            "digest": digest,
        }
        return Asset(
            asset_id=asset_id,
            dandiset_id=dandiset.identifier,
            path=path,
            size=size,
            created=self.clock.now(),
            modified=self.clock.now(),
            blob=blob,
            zarr=zarr,
            metadata_json=orjson.dumps(complete),
            embargoed=embargoed,
        )

    def _apply_assets(self, dandiset: Dandiset, step: Step) -> None:
        listed = dandiset.draft.assets
        for asset_id in step.deleted:
            del listed[self.assets[asset_id].path]
        for row in step.upserted:
            recorded = Asset.from_json(dandiset.identifier, row)
            recorded.embargoed = dandiset.embargo_status != OPEN
            asset = self.assets.setdefault(recorded.asset_id, recorded)
            vars(asset).update(vars(recorded))  # one object, which published versions may share
            listed[asset.path] = asset

    def _version_metadata(self, dandiset: Dandiset, version: str, entered: Metadata) -> dict[str, Any]:
        return computed.version_metadata(
            entered,
            identifier=dandiset.identifier,
            version=version,
            created=dandiset.created,
            embargoed=dandiset.embargo_status != OPEN,
        )

    def _summary(self, version: Version) -> dict[str, Any]:
        return computed.summary(asset.metadata for asset in version.assets.values())

    def _blob_digest(self, sha256: bool) -> dict[str, str]:
        digest = {"dandi:dandi-etag": f"{self._hex(32)}-1"}
        return {**digest, "dandi:sha2-256": self._hex(64)} if sha256 else digest

    def _zarr_digest(self, size: int) -> dict[str, str]:
        return {"dandi:dandi-zarr-checksum": f"{self._hex(32)}-{max(1, size // 65536)}--{size}"}

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def _hex(self, digits: int) -> str:
        return f"{self.random.getrandbits(4 * digits):0{digits}x}"


def _first_metadata(owner: str) -> dict[str, Any]:
    """What a dandiset has from its creation on: its owner as contact person, and a licence."""
    person = {
        "schemaKey": "Person",
        "name": f"{owner.capitalize()}, Dataset",
        "roleName": ["dcite:ContactPerson", "dcite:Author"],
        "includeInCitation": True,
        "affiliation": [],
    }
    return {"contributor": [person], "license": ["spdx:CC-BY-4.0"]}


def _free_version(dandiset: Dandiset, now: datetime) -> str:
    """Name a version after the minute, or after the first later one that no version has."""
    while (name := now.strftime("0.%y%m%d.%H%M")) in dandiset.versions:
        now += timedelta(minutes=1)
    return name


def _update_metadata(asset: Asset, **changes: object) -> None:
    asset.metadata_json = orjson.dumps({**asset.metadata, **changes})


def _rewrite_instants(row: Dandiset | Version | Asset, created: Instant | None, modified: Instant | None) -> None:
    row.created = as_instant(created) if created else row.created
    row.modified = as_instant(modified) if modified else row.modified
