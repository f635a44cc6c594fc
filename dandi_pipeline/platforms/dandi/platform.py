"""The DANDI Archive as a platform: a dandiset is a partition, an asset its bulk record."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http import HTTPStatus
from math import ceil
from typing import NoReturn
from urllib.parse import urlsplit

from dandi_pipeline.errors import AccessRefused, ConfigurationError, CredentialRejected, PipelineError, ResourceMissing
from dandi_pipeline.http import Budgets, RateLimit, Traffic
from dandi_pipeline.http.addresses import BaseUrl, Quoting
from dandi_pipeline.http.client import ErrorAnswer, HttpClient, Limits, Refusal, wrong_address
from dandi_pipeline.model import (
    Description,
    Gone,
    Hidden,
    Listed,
    LookupResult,
    Observation,
    Planned,
    PlatformSpec,
    ReadRequest,
)
from dandi_pipeline.platforms.dandi.api import DandiApi
from dandi_pipeline.platforms.dandi.facet_tables import FACETS
from dandi_pipeline.platforms.dandi.manifests import Manifests
from dandi_pipeline.platforms.dandi.plan import LISTED_BYTES, PAGE_SIZE
from dandi_pipeline.platforms.dandi.reading import DandisetReading
from dandi_pipeline.platforms.dandi.records import ASSET, ASSETS, DANDISET, DANDISETS, VERSION
from dandi_pipeline.platforms.dandi.settings import DandiSettings
from dandi_pipeline.settings import Settings, Source

BUCKETS = {"https://api.dandiarchive.org/api": "https://dandiarchive.s3.amazonaws.com"}
"""Where the known archives keep their manifests."""

WEB_SITES = dict.fromkeys(("dandiarchive.org", "gui.dandiarchive.org"), "https://api.dandiarchive.org/api") | {
    "sandbox.dandiarchive.org": "https://api.sandbox.dandiarchive.org/api"
}
"""Web sites of known archives, which people take for their APIs."""

_VERSION = r"(?:/(?:draft|0\.\d{6}\.\d{4})/?)?"
_IDENTIFIER = re.compile(
    rf"(?:(?P<archive>[A-Z][A-Z0-9-]*):)?(?P<number>\d{{1,6}}){_VERSION}", re.IGNORECASE | re.ASCII
)
_ADDRESS = re.compile(
    r"https?://(?P<host>[^/\s]+)/(?:#/)?(?:api/)?dandisets?/(?P<number>\d{1,6})(?:[/?#]\S*)?", re.IGNORECASE | re.ASCII
)
_RESOLVER = re.compile(r"https?://identifiers\.org/", re.IGNORECASE)


DANDI = Description(
    name="dandi",
    title="DANDI",
    parts=(DANDISETS, ASSETS),
    kinds=(DANDISET, VERSION, ASSET),
    partition_noun="dandiset",
    spelling="DANDI:{key}",
)


class DandiPlatform:
    """One DANDI archive, read with or without a key."""

    description = DANDI

    def __init__(
        self,
        client: HttpClient,
        manifests: Manifests | None = None,
        *,
        lists_embargoed: bool,
        published_assets: bool = False,
        page_size: int = PAGE_SIZE,
        derives_facets: bool = True,
    ) -> None:
        self._client = client
        self._manifests = manifests
        self._api = DandiApi(client, lists_embargoed=lists_embargoed, page_size=page_size)
        self._published_assets = published_assets
        self._derives_facets = derives_facets

    @property
    def traffic(self) -> Traffic:
        """What was sent to the API and to the bucket, and received from them, so far."""
        return self._client.traffic + (self._manifests.client.traffic if self._manifests else Traffic())

    def partition_key(self, partition: str) -> str:
        """Take a dandiset's id in every spelling; see `dandiset_key`."""
        return dandiset_key(partition, self._client.base_url)

    def list_partitions(self) -> Sequence[Listed]:
        """Return every dandiset that is visible, embargoed ones only with a key that may see them."""
        listed = self._api.dandisets()
        self._count_planned(max(1, ceil(len(listed) / PAGE_SIZE)), len(listed) * LISTED_BYTES)
        return [self._addressed(item) for item in listed]

    def look_up(self, key: str) -> LookupResult:
        """Return one dandiset's row; 404 means gone, 401 and 403 mean hidden."""
        self._count_planned(1, LISTED_BYTES)
        try:
            listed = self._api.dandiset(key)
            self._count_planned(int(listed.row["published"] is not None), LISTED_BYTES)
            return self._addressed(listed)
        except ResourceMissing:
            return Gone(key)
        except AccessRefused:
            return Hidden(key)

    def _addressed(self, listed: Listed) -> Listed:
        return replace(listed, address=dandiset_address(listed.key, str(self._client.base_url)))

    def read(self, listed: Listed, request: ReadRequest) -> Iterator[Observation]:
        """Yield the dandiset's versions and assets; see `DandisetReading`."""
        reading = DandisetReading(
            self._api,
            self._manifests,
            listed,
            request,
            published_assets=self._published_assets,
            derives_facets=self._derives_facets,
        )
        for observation in reading.observations():
            if isinstance(observation, Planned):
                self._count_planned(observation.requests, observation.received_bytes)
            yield observation

    def _count_planned(self, requests: int, received_bytes: int) -> None:
        """Count what was meant to be sent and received beside what is."""
        self._client.metrics.count("requests_planned", requests)
        self._client.metrics.count("bytes_planned", received_bytes)

    def close(self) -> None:
        """Release the connections."""
        self._client.close()
        if self._manifests:
            self._manifests.close()


def dandiset_key(partition: str, api: BaseUrl) -> str:
    """Take 3, 000003, DANDI:000003, DANDI:000003/draft and the dandiset's address on the web alike.

    A version may be named, though a dandiset is mirrored as a whole. What names another archive than that with this
    API is refused.
    """
    spelled = partition.strip()
    address = _ADDRESS.fullmatch(spelled)
    match = address or _IDENTIFIER.fullmatch(_RESOLVER.sub("", spelled, count=1))
    if match is None:
        raise ConfigurationError(
            f"{partition!r} is not a dandiset identifier; write 3, 000003 or DANDI:000003, or paste its address"
        )
    if address is not None and address["host"].lower() not in _hosts(api.host):
        _refuse_other_archive(partition, address["host"], address["number"], api)
    if address is None and (match["archive"] or "DANDI").upper() != "DANDI":
        _refuse_other_archive(partition, match["archive"], match["number"], api)
    return match["number"].zfill(6)


def _refuse_other_archive(partition: str, archive: str, number: str, api: BaseUrl) -> NoReturn:
    raise ConfigurationError(
        f"{partition!r} names a dandiset of {archive}, and this source mirrors {api};"
        f" if they are one, write {number.zfill(6)} alone"
    )


def web_site(api_url: str) -> str | None:
    """Return the web site of a known archive, by its API."""
    return next((f"https://{site}" for site, api in WEB_SITES.items() if api == api_url), None)


def dandiset_address(key: str, api_url: str) -> str:
    """Return where people see a dandiset: on the archive's web site, or as its API shows it where no site is known."""
    site = web_site(api_url)
    return f"{site}/dandiset/{key}" if site else f"{api_url}/dandisets/{key}/"


def _hosts(api: str) -> set[str]:
    """Return the hosts at which the archive with this API is seen: the API's own, and its web site's."""
    site = re.sub(r"^api[.-]", "", api)
    return {api, site, f"www.{site}", f"gui.{site}"}


def _api_url(source: Source, settings: Settings) -> str:
    """Return the address of a source's API; ConfigurationError for the archive's web site."""
    chosen: DandiSettings = source.settings
    api_url = chosen.api_url or settings.dandi_api_url
    if (site := urlsplit(api_url).netloc.removeprefix("www.")) in WEB_SITES:
        raise ConfigurationError(f"{api_url} is the archive's web site; its API is {WEB_SITES[site]}: set that")
    return api_url


def _partition_key(partition: str, source: Source, settings: Settings) -> str:
    return dandiset_key(partition, BaseUrl(_api_url(source, settings), Quoting()))


def _no_limits(_source: Source, _settings: Settings) -> Sequence[RateLimit]:
    """Return none: the archive names no rate; only the pauses it asks for hold requests back."""
    return ()


def open_dandi(source: Source, settings: Settings, budgets: Budgets) -> DandiPlatform:
    """Open the archive that a source names, with the key that its environment variable holds, if it does."""
    chosen: DandiSettings = source.settings
    key = settings.credential(chosen.api_key_env)
    limits = Limits(pool_size=chosen.pool_size, max_concurrent=chosen.max_concurrent, keep_alive=chosen.keep_alive)
    api_url = _api_url(source, settings)
    client = HttpClient(
        api_url,
        authorization=f"token {key}" if key else None,
        limits=limits,
        budget=budgets.budget(*_no_limits(source, settings)),
        refusal=refusals(chosen.api_key_env if key else None),
    )
    bucket = chosen.manifest_url or settings.dandi_manifest_url or BUCKETS.get(api_url)
    return DandiPlatform(
        client,
        Manifests(HttpClient(bucket, limits=limits)) if bucket and chosen.manifests else None,
        lists_embargoed=key is not None and chosen.embargoed,
        published_assets=chosen.versions == "all",
        page_size=chosen.page_size,
    )


_HIDING = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})


def refusals(variable: str | None) -> Refusal:
    """Return the judge of error answers to whoever sends the key in `variable`, or none.

    What does not exist or is hidden the archive says as JSON with a `detail` (Django REST framework): no page of a
    gateway, and no other server's 404, says anything of a dandiset. A 401 is never the resource's where a key was
    sent, always the key's, even for what is public.
    """

    def judge(answer: ErrorAnswer) -> PipelineError | None:
        if answer.status in _HIDING and "detail" not in (answer.members or {}) and not answer.body.startswith(b'"'):
            return wrong_address(answer)
        if variable is None or answer.status != HTTPStatus.UNAUTHORIZED:
            return None
        return CredentialRejected(
            f"{answer.where}: the archive refuses the key in {variable} ({answer.excerpt});"
            " check it, or unset it to mirror what is public"
        )

    return judge


def _site(source: Source, settings: Settings) -> str:
    api_url = _api_url(source, settings)
    return web_site(api_url) or api_url


SPEC = PlatformSpec(DANDI, DandiSettings, open_dandi, _partition_key, _no_limits, facets=FACETS, site=_site)
