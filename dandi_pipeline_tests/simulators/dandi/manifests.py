"""The archive's bulk copies: each version's `assets.jsonld` in the public bucket, written behind the API's back.

By default a file is as current as the API and its `Last-Modified` is the version's own. `freeze` keeps one as it
is, as upstream does until the next beat of its background task; a mode makes it fail.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import format_datetime, parsedate_to_datetime

from .messages import JSON, Reply, Request
from .records import EMBARGOED, VERSION_PATTERN, Version
from .world import World

MODES = ("current", "missing", "forbidden", "truncated", "malformed")

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


class Manifests:
    """The bucket. What is set for one version goes before what is set for all."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._mode = "current"
        self._modes: dict[tuple[str, str], str] = {}
        self._frozen: dict[tuple[str, str], _File] = {}

    def set_mode(self, mode: str, dandiset_id: str | None = None, version: str = "draft") -> None:
        """Let one version's file, or all files, be served as one of `MODES` says."""
        if mode not in MODES:
            raise ValueError(f"no manifest mode is called {mode!r}; there are {', '.join(MODES)}")
        if dandiset_id is None:
            self._mode, self._modes = mode, {}
        else:
            self._modes[dandiset_id, version] = mode

    def freeze(self, dandiset_id: str, version: str = "draft") -> None:
        """Keep a file as it is now, whatever changes, until `thaw`."""
        with self._world.lock:
            frozen = _write(self._world.dandisets[dandiset_id].versions[version])
            self._frozen[dandiset_id, version] = frozen

    def thaw(self, dandiset_id: str, version: str = "draft") -> None:
        """Let a file be current again."""
        del self._frozen[dandiset_id, version]

    def answer(self, request: Request) -> Reply:
        """Serve a file as an object store does: ETag, Last-Modified, ranges, conditions; never compressed."""
        found = _ADDRESS.fullmatch(request.path)
        if found is None:
            return _error(404, "NoSuchKey")
        dandiset_id, version = found["dandiset"], found["version"]
        mode = self._modes.get((dandiset_id, version), self._mode)
        with self._world.lock:
            dandiset = self._world.dandisets.get(dandiset_id)
            if dandiset is None or version not in dandiset.versions or mode == "missing":
                return _error(404, "NoSuchKey")
            if mode == "forbidden" or dandiset.embargo_status == EMBARGOED:
                return _error(403, "AccessDenied")
            file = self._frozen.get((dandiset_id, version)) or _write(dandiset.versions[version])
        return _serve(_spoilt(file, mode), request)


def _write(version: Version) -> _File:
    assets = sorted(version.assets.values(), key=lambda asset: asset.created)
    body = b"[" + b",".join(asset.metadata_json for asset in assets) + b"]"
    return _File(body, version.modified.astimezone(timezone.utc).replace(microsecond=0))


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
