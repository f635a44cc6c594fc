"""The archive's own bulk copies of its metadata: one public file a version, which costs the API server nothing.

A file lags the API: a background task writes it after a change is validated, so it may be missing, stale, or lack
the newest assets. What an entry says is only ever used for an asset that a listing shows, and only where nothing
could have changed it since the file was written; everything else is asked of the API.
"""

import re
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dandi_pipeline import canonical as exact_json
from dandi_pipeline.errors import PipelineError, UnexpectedPayload
from dandi_pipeline.http.client import HttpClient
from dandi_pipeline.instants import moment_of
from dandi_pipeline.platforms.dandi.records import Json

MARGIN = timedelta(minutes=15)
"""How much older than the file an asset must be: the time that writing a large file may take, and some more."""

PUBLISHING = timedelta(minutes=1)
"""By how much an asset's `modified` may be later than its `datePublished`: all of 3,159 real ones were within it."""

LONGEST_ENTRY = 16_000_000
"""Characters of one asset's metadata; real ones have a few thousand."""


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One asset's metadata, and when the file that holds it was written."""

    metadata: Json
    written: datetime

    @property
    def asset_id(self) -> str | None:
        """The asset that it says it describes."""
        identifier = self.metadata.get("identifier")
        return identifier if isinstance(identifier, str) else None

    def describes(self, row: Json, *, access: str) -> bool:
        """Tell whether the entry surely is what the API would say now of the listed asset.

        An asset's metadata never changes under its id, but for what moves its `modified` (publishing, a zarr's
        ingestion), and for keys that are computed: the digest may still come, a zarr may be re-opened, and access
        changes with the dandiset's. Entries that such a change could have passed by do not count. A published file
        is final: what shows the publication that moved it last counts however soon it was written after that.
        """
        metadata, zarr, modified = self.metadata, row.get("zarr") is not None, moment_of(row["modified"])
        return (
            (modified < self.written - MARGIN or (not zarr and _is_published(metadata, modified)))
            and metadata.get("path") == row["path"]
            and metadata.get("contentSize") == row["size"]
            and row["size"] > 0
            and _is_digested(metadata.get("digest"), zarr=zarr)
            and access in _access(metadata)
        )


class Manifests:
    """The bucket of one archive. Whatever goes wrong with a file, the API has it too: nothing is ever raised.

    The client counts the files that were read whole (`manifests_read`), and those that were missing, broken,
    forbidden, or older than all that was wanted of them (`manifests_unusable`).
    """

    def __init__(self, client: HttpClient) -> None:
        self.client = client

    def entries(self, identifier: str, version: str, *, written_after: datetime) -> Iterator[ManifestEntry]:
        """Yield a version's assets as its file has them, up to where the file is unusable."""
        try:
            yield from self._read(f"dandisets/{identifier}/{version}/assets.jsonld", written_after)
        except PipelineError:
            self.client.metrics.count("manifests_unusable")
        else:
            self.client.metrics.count("manifests_read")

    def close(self) -> None:
        """Release the connections."""
        self.client.close()

    def _read(self, path: str, written_after: datetime) -> Iterator[ManifestEntry]:
        with self.client.stream(path, written_after=written_after) as download:
            if download is None:
                raise UnexpectedPayload(f"{path}: was not written since {written_after.isoformat()}")
            if download.last_modified is None:
                raise UnexpectedPayload(f"{download.where}: does not say when it was written")
            for metadata in array_items(download.pieces, where=download.where):
                yield ManifestEntry(metadata, download.last_modified)


def array_items(pieces: Iterable[bytes], *, where: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON array as its text arrives, holding one piece and one object at a time.

    Raises `UnexpectedPayload` for anything but a complete array of objects.
    """
    scanner = _ArrayScanner(where)
    try:
        for piece in pieces:
            yield from scanner.feed(piece)
    except UnicodeDecodeError as error:
        raise UnexpectedPayload(f"{where}: is not UTF-8 ({error.reason})") from None
    scanner.close()


class _ArrayScanner:
    """Finds the items of an array in text that arrives in pieces."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._decode = getincrementaldecoder("utf-8")().decode
        self._scan = exact_json.decoder().raw_decode
        self._text = ""
        self._separator = "["

    def feed(self, piece: bytes) -> Iterator[dict[str, Any]]:
        """Take one more piece; yield every item that is complete now."""
        self._text += self._decode(piece)
        position = 0
        while (start := self._start_of_item(position)) is not None:
            try:
                item, position = self._scan(self._text, start)
            except exact_json.NotJson as error:
                raise UnexpectedPayload(f"{self._where}: {error}") from None
            except RecursionError:
                raise UnexpectedPayload(f"{self._where}: an asset nests deeper than can be read") from None
            except ValueError:
                break  # not all of it has arrived
            if not isinstance(item, dict):
                raise UnexpectedPayload(f"{self._where}: holds {type(item).__name__} where an object was expected")
            self._separator = ","
            yield item
        self._text = self._text[position:]
        if len(self._text) > LONGEST_ENTRY:
            raise UnexpectedPayload(f"{self._where}: is not an array of assets")

    def close(self) -> None:
        """Raise `UnexpectedPayload` unless the array has ended, and nothing came after."""
        if "".join(self._text.split()) not in ("]", "[]"):
            raise UnexpectedPayload(f"{self._where}: is not a complete JSON array")

    def _start_of_item(self, position: int) -> int | None:
        """Return where the next item begins, behind its separator; None if that has not arrived, or the array ends."""
        found = _NOT_BLANK.search(self._text, position)
        if found is None or found[0] == "]":
            return None
        if found[0] != self._separator:
            raise UnexpectedPayload(f"{self._where}: is not an array of assets")
        item = _NOT_BLANK.search(self._text, found.end())
        return item.start() if item is not None and item[0] != "]" else None


_NOT_BLANK = re.compile(r"\S")


def _is_digested(digest: Any, *, zarr: bool) -> bool:
    """Tell whether the digest that comes last is there: until then the metadata may still gain it silently."""
    return isinstance(digest, dict) and bool(digest.get("dandi:dandi-zarr-checksum" if zarr else "dandi:sha2-256"))


def _is_published(metadata: Json, modified: datetime) -> bool:
    """Tell whether nothing has moved the asset since the publication that its metadata tells of."""
    published = metadata.get("datePublished")
    try:
        return isinstance(published, str) and modified <= moment_of(published) + PUBLISHING
    except UnexpectedPayload:
        return False


def _access(metadata: Json) -> list[Any]:
    access = metadata.get("access")
    return [item.get("status") for item in access if isinstance(item, dict)] if isinstance(access, list) else []
