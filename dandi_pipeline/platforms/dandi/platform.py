"""The DANDI Archive as a platform: a dandiset is a partition, an asset its bulk record."""

import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from dandi_pipeline.errors import AccessRefused, ConfigurationError, ResourceMissing
from dandi_pipeline.http.client import HttpClient, Limits
from dandi_pipeline.platforms.contract import (
    Gone,
    Hidden,
    Listed,
    Observation,
    ReadRequest,
    RecordKind,
    Sighting,
    Traffic,
)
from dandi_pipeline.platforms.dandi.api import DandiApi
from dandi_pipeline.platforms.dandi.reading import DandisetReading
from dandi_pipeline.platforms.dandi.records import ASSET, ASSETS, DANDISET, DANDISETS, VERSION
from dandi_pipeline.platforms.dandi.settings import DandiSettings
from dandi_pipeline.settings import Settings, Source

USER_AGENT = f"dandi_pipeline/{version('dandi_pipeline')}"

_IDENTIFIER = re.compile(r"(?:DANDI:)?(\d{1,6})", re.IGNORECASE)


class DandiPlatform:
    """One DANDI archive, read with or without a key."""

    name = "dandi"
    parts = (DANDISETS, ASSETS)
    kinds: tuple[RecordKind, ...] = (DANDISET, VERSION, ASSET)
    partition_noun = "dandiset"

    def __init__(self, client: HttpClient, *, lists_embargoed: bool, published_assets: bool = False) -> None:
        self._client = client
        self._api = DandiApi(client, lists_embargoed=lists_embargoed)
        self._published_assets = published_assets

    @property
    def traffic(self) -> Traffic:
        """What the client sent and received so far."""
        metrics = self._client.metrics.snapshot()
        return Traffic(metrics.requests, metrics.bytes_received, metrics.retries, metrics.throttled)

    def partition_key(self, text: str) -> str:
        """Take 3, 000003 and DANDI:000003 alike."""
        match = _IDENTIFIER.fullmatch(text.strip())
        if match is None:
            raise ConfigurationError(f"{text!r} is not a dandiset identifier; write 3, 000003 or DANDI:000003")
        return match[1].zfill(6)

    def list_partitions(self) -> Sequence[Listed]:
        """Return every dandiset that is visible, embargoed ones only with a key that may see them."""
        return self._api.dandisets()

    def look_up(self, key: str) -> Sighting:
        """Return one dandiset's row; 404 means gone, 401 and 403 mean hidden."""
        try:
            return self._api.dandiset(key)
        except ResourceMissing:
            return Gone(key)
        except AccessRefused:
            return Hidden(key)

    def read(self, listed: Listed, request: ReadRequest) -> Iterator[Observation]:
        """Yield the dandiset's versions and assets; see `DandisetReading`."""
        reading = DandisetReading(self._api, listed, request, published_assets=self._published_assets)
        return reading.observations()

    def close(self) -> None:
        """Release the connections."""
        self._client.close()


def open_dandi(source: Source, settings: Settings) -> DandiPlatform:
    """Open the archive that a source names, with the key that its environment variable holds, if it does."""
    chosen: DandiSettings = source.settings
    key = settings.credential(chosen.api_key_env)
    client = HttpClient(
        chosen.api_url or settings.dandi_api_url,
        user_agent=USER_AGENT,
        authorization=f"token {key}" if key else None,
        limits=Limits(pool_size=chosen.max_concurrent, max_concurrent=chosen.max_concurrent),
    )
    return DandiPlatform(
        client,
        lists_embargoed=key is not None and chosen.embargoed,
        published_assets=chosen.versions == "all",
    )
