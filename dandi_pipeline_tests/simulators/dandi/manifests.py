"""The archive's bulk copies: each version's `assets.jsonld` in the public bucket, written behind the API's back.

A file is written by a background task: with the beat after a version moved, as the version was then, and it is
there when the writing is done. What changes silently in between, or while it is written, is not in it. What the
world holds when it begins to be served was written in its time. A mode makes a file fail.
"""

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime, parsedate_to_datetime

from dandi_pipeline_tests.simulators.messages import JSON, Reply

from .messages import Request
from .records import EMBARGOED, VERSION_PATTERN, Version
from .world import World

MODES = ("written", "stale", "missing", "forbidden", "truncated", "malformed")
"""How files are served: as they were written, or never written anew, or not usable."""

BEAT = timedelta(seconds=60)
"""From a change until the task takes note of it, at most."""

WRITING = timedelta(seconds=5)
"""From then until the file is there."""

_ADDRESS = re.compile(rf"/bucket/dandisets/(?P<dandiset>\d{{6}})/(?P<version>{VERSION_PATTERN})/assets\.jsonld")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_XML = "application/xml"


@dataclass(frozen=True)
class _File:
    body: bytes
    modified: datetime

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.body, usedforsecurity=False).hexdigest()}"'


@dataclass(frozen=True)
class _Written:
    """When a file was written, for which `modified` of its version, and what; None while that is as the version is."""

    at: datetime
    version_modified: datetime
    body: bytes | None = None

    @classmethod
    def of(cls, version: Version) -> "_Written":
        return cls(version.modified + BEAT + WRITING, version.modified)

    def file(self, version: Version) -> _File:
        body = _content(version) if self.body is None else self.body
        return _File(body, self.at.astimezone(timezone.utc).replace(microsecond=0))


class Manifests:
    """The bucket. What is set for one version goes before what is set for all."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._mode = "written"
        self._modes: dict[tuple[str, str], str] = {}
        self._written = {
            (dandiset.identifier, version.version): _Written.of(version)
            for dandiset in world.dandisets.values()
            for version in dandiset.versions.values()
        }
        world.before_change.append(self._keep)

    def set_mode(self, mode: str, dandiset_id: str | None = None, version: str = "draft") -> None:
        """Let one version's file, or all files, be served as one of `MODES` says."""
        if mode not in MODES:
            raise ValueError(f"no manifest mode is called {mode!r}; there are {', '.join(MODES)}")
        if dandiset_id is None:
            self._mode, self._modes = mode, {}
        else:
            self._modes[dandiset_id, version] = mode

    def _keep(self, dandiset_id: str) -> None:
        """Before a dandiset changes, put aside what its files hold that are as their versions are."""
        for name, version in self._world.dandisets[dandiset_id].versions.items():
            written = self._written_by_now(dandiset_id, version)
            if written and written.body is None:
                self._written[dandiset_id, name] = replace(written, body=_content(version))

    def _written_by_now(self, dandiset_id: str, version: Version) -> _Written | None:
        """Return the newest file, written anew if the version has moved and its beat has come since."""
        key = (dandiset_id, version.version)
        written, beat = self._written.get(key), version.modified + BEAT
        moved = written is None or written.version_modified != version.modified
        if moved and beat <= self._world.clock.peek() and self._mode_of(key) != "stale":
            self._written[key] = _Written.of(version)
        return self._written.get(key)

    def answer(self, request: Request) -> Reply:
        """Serve a file as an object store does: ETag, Last-Modified, ranges, conditions; never compressed."""
        found = _ADDRESS.fullmatch(request.path)
        if found is None:
            return _error(404, "NoSuchKey")
        dandiset_id, version = found["dandiset"], found["version"]
        mode = self._mode_of((dandiset_id, version))
        with self._world.lock:
            dandiset = self._world.dandisets.get(dandiset_id)
            if dandiset is None or version not in dandiset.versions or mode == "missing":
                return _error(404, "NoSuchKey")
            if mode == "forbidden" or dandiset.embargo_status == EMBARGOED:
                return _error(403, "AccessDenied")
            file = self._file(dandiset_id, dandiset.versions[version])
        return _serve(_spoilt(file, mode), request) if file else _error(404, "NoSuchKey")

    def _mode_of(self, key: tuple[str, str]) -> str:
        return self._modes.get(key, self._mode)

    def _file(self, dandiset_id: str, version: Version) -> _File | None:
        written = self._written_by_now(dandiset_id, version)
        return written.file(version) if written else None


def _content(version: Version) -> bytes:
    assets = sorted(version.assets.values(), key=lambda asset: asset.created)
    return b"[" + b",".join(asset.metadata_json for asset in assets) + b"]"


def _spoilt(file: _File, mode: str) -> _File:
    if mode == "truncated":
        return _File(file.body[: len(file.body) // 2], file.modified)
    if mode == "malformed":
        return _File(b'{"assets": "see elsewhere"}', file.modified)
    return file


def _serve(file: _File, request: Request) -> Reply:
    headers = {
        "ETag": file.etag,
        "Last-Modified": format_datetime(file.modified, usegmt=True),
        "Accept-Ranges": "bytes",
    }
    if _unchanged(file, request):
        return Reply(304, b"", JSON, headers)
    if asked := _RANGE.fullmatch(request.headers.get("range", "")):
        start, last = int(asked[1]), int(asked[2] or len(file.body) - 1)
        if start >= len(file.body):
            return _error(416, "InvalidRange")
        part = file.body[start : last + 1]
        shown = f"bytes {start}-{start + len(part) - 1}/{len(file.body)}"
        return Reply(206, part, JSON, {**headers, "Content-Range": shown})
    return Reply(200, file.body, JSON, headers)


def _unchanged(file: _File, request: Request) -> bool:
    if known := request.headers.get("if-none-match"):
        return file.etag in known
    if since := request.headers.get("if-modified-since"):
        return file.modified <= parsedate_to_datetime(since)
    return False


def _error(status: int, code: str) -> Reply:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'
    return Reply(status, body.encode(), _XML)
