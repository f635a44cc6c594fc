"""Notion as a platform: a data source is a partition, a page its bulk record."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from math import gcd
from typing import Any

from dandi_pipeline.errors import (
    AccessRefused,
    ConfigurationError,
    ContractError,
    PlatformFailing,
    ResourceMissing,
    UnexpectedPayload,
    WrongAddress,
    foreseen,
)
from dandi_pipeline.http import Budgets, HttpClient, Limits, RateLimit, Traffic, pseudonym
from dandi_pipeline.http.payload import instant, text
from dandi_pipeline.instants import moment_of
from dandi_pipeline.model import (
    Description,
    Gone,
    Hidden,
    Listed,
    LookupResult,
    Observation,
    PlatformSpec,
    ReadRequest,
)
from dandi_pipeline.platforms.notion.api import LARGEST_PAGE, VERSION, NotionApi, refusal_for
from dandi_pipeline.platforms.notion.reading import DataSourceReading, ReadStrategy, Sight, token_of
from dandi_pipeline.platforms.notion.records import PAGE, PAGES, SCHEMA, is_trashed, title_of
from dandi_pipeline.platforms.notion.settings import NotionSettings, dashed
from dandi_pipeline.settings import Settings, Source

WINDOW = 60
"""Seconds in which Notion counts requests."""

LARGEST_BURST = 30
"""Requests that may go at once: a check of some data sources does not have to wait."""

_log = logging.getLogger(__name__)


NOTION = Description(name="notion", title="Notion", parts=(PAGES,), kinds=(SCHEMA, PAGE), partition_noun="data source")


class NotionPlatform:
    """The data sources of a workspace that are named, themselves or by their database, through one connection.

    Notion answers 404 alike for what does not exist and for what is not shared. What is named and not found is
    therefore taken for hidden: its rows are kept. So are those of what is in the trash, marked `in_trash`. Only what
    is no longer named, and what its database no longer lists, is gone.
    """

    description = NOTION

    def __init__(
        self,
        client: HttpClient,
        *,
        databases: Sequence[str] = (),
        data_sources: Sequence[str] = (),
        overlap: timedelta = timedelta(minutes=3),
        page_size: int = LARGEST_PAGE,
        max_concurrent: int = 5,
        first_backoff: float = 1,
    ) -> None:
        self._client = client
        self._api = NotionApi(client, first_backoff=first_backoff)
        self._databases = databases
        self._data_sources = data_sources
        self._manner = ReadStrategy(overlap, page_size)
        self._max_concurrent = max_concurrent

    @property
    def traffic(self) -> Traffic:
        """What was sent and received so far."""
        return self._client.traffic

    def partition_key(self, partition: str) -> str:
        """Take a data source's id with or without dashes."""
        return data_source_key(partition)

    def list_partitions(self) -> Sequence[Listed]:
        """Return every data source that is named and shared with the connection, in two requests each.

        Raises `AccessRefused` if none of them is: there is nothing to tell that apart from a wrong token.
        """
        if not self._databases and not self._data_sources:
            raise ConfigurationError("no database and no data source is named; list their ids under 'settings:'")
        with ThreadPoolExecutor(self._max_concurrent, thread_name_prefix="check") as threads:
            found = dict(zip(self._databases, threads.map(self._data_sources_or_failure, self._databases), strict=True))
            named = [identifier for answer in found.values() if isinstance(answer, list) for identifier in answer]
            keys = list(dict.fromkeys([*self._data_sources, *named]))
            sightings = dict(zip(keys, threads.map(self._sight, keys), strict=True))
        listed = [sighting for sighting in sightings.values() if isinstance(sighting, Listed)]
        listed += [Listed.failed("", answer) for answer in found.values() if isinstance(answer, UnexpectedPayload)]
        _report_hidden({**sightings, **found}, nothing_listed=not listed)
        _report_odd(found, listed)
        return listed

    def look_up(self, key: str) -> LookupResult:
        """Return how one data source stands; hidden if it is named but cannot be seen, gone if it is not named."""
        seen = self._sight(key)
        sighting = seen if isinstance(seen, Listed) else Hidden(key)
        if key in self._data_sources:
            return sighting
        for database in self._databases:
            identifiers = self._data_sources_of(database)
            if not isinstance(identifiers, list):
                if isinstance(sighting, Hidden):
                    return sighting  # it may be among those of a database that is hidden itself
            elif key in identifiers:
                return sighting
        return Gone(key)

    def read(self, listed: Listed, request: ReadRequest) -> Iterator[Observation]:
        """Yield a data source's schema and pages; see `DataSourceReading`."""
        return DataSourceReading(self._api, listed, request, self._manner).observations()

    def suggestions(self) -> dict[str, str]:
        """Return ids and titles of data sources that could be named, as far as Notion's search finds them."""
        where = "search for data sources"
        return {
            text(found, "id", where=where): title_of(found, where=where) for found in self._api.shared_data_sources()
        }

    def close(self) -> None:
        """Release the connections."""
        self._client.close()

    def _data_sources_of(self, database: str) -> "list[str] | Unseen":
        """Return the ids of a database's data sources, or why it cannot be seen."""
        try:
            return self._api.data_sources_of(database)
        except (ResourceMissing, AccessRefused) as unseen:
            return unseen

    def _data_sources_or_failure(self, database: str) -> "list[str] | Unseen | UnexpectedPayload":
        """Return the same for a listing, where a database that answers oddly must not stop the others."""
        try:
            return self._data_sources_of(database)
        except UnexpectedPayload as failure:
            return failure

    def _sight(self, identifier: str) -> "Listed | Unseen":
        """Look at one data source; where that fails, list it all the same, so that it fails alone when it is read."""
        try:
            with foreseen(f"data source {identifier}"):
                return self._listed(identifier)
        except (ResourceMissing, AccessRefused) as unseen:
            return unseen
        except (PlatformFailing, ContractError, WrongAddress) as failure:
            return Listed.failed(identifier, failure)

    def _listed(self, identifier: str) -> Listed:
        """Look at the schema, then at the newest edit: in this order, for the token's sake.

        Of what is in the trash no edit counts: its queries may show anything.
        """
        where = f"data source {identifier}"
        stand = self._api.data_source(identifier)
        newest = None if is_trashed(stand.data_source) else self._api.newest_edit(identifier)
        token = token_of(stand.data_source, newest, server_date=stand.server_date, overlap=self._manner.overlap)
        changed = newest or instant(stand.data_source, "last_edited_time", where=where)
        return Listed(
            key=identifier,
            token=str(token),
            name=title_of(stand.data_source, where=where),
            modified=moment_of(changed),
            record_count=0,
            row={"sight": Sight(stand.data_source, token)},
            address=_address_of(stand.data_source),
        )


Unseen = ResourceMissing | AccessRefused
"""Why something named is not shown."""


def _report_hidden(answers: Mapping[str, object], *, nothing_listed: bool) -> None:
    """Say what of the named is not shown: for want of a capability, or as if it did not exist."""
    missing = [key for key, answer in answers.items() if isinstance(answer, ResourceMissing)]
    said = [str(refused) for refused in answers.values() if isinstance(refused, AccessRefused)][:1]
    if missing:
        advice = "share them with the connection in Notion, or remove them from the settings"
        said.append(f"{', '.join(missing)}: not there or not shared; {advice}")
    if said and nothing_listed:
        raise AccessRefused(f"nothing that is named can be seen: {'; '.join(said)}")
    for line in said:
        _log.warning("%s", line)


def _report_odd(found: Mapping[str, object], listed: Sequence[Listed]) -> None:
    """Say which databases hold nothing, and what is in the trash."""
    for database in (key for key, identifiers in found.items() if identifiers == []):
        _log.warning("database %s holds no data source, so nothing of it is mirrored; check its id", database)
    for item in listed:
        if "sight" in item.row and is_trashed(item.row["sight"].data_source):
            _log.warning(
                "data source %s (%s) is in Notion's trash; its pages are kept as they were, marked in_trash: restore"
                " it, or remove it from the settings",
                item.key,
                item.name,
            )


def open_notion(source: Source, settings: Settings, budgets: Budgets) -> NotionPlatform:
    """Open the workspace that a source names, with the token that its environment variable holds."""
    chosen: NotionSettings = source.settings
    token = settings.credential(chosen.token_env)
    client = HttpClient(
        chosen.api_url,
        authorization=f"Bearer {token}" if token else None,
        headers={"Notion-Version": VERSION},
        limits=Limits(
            pool_size=chosen.pool_size,
            max_concurrent=chosen.max_concurrent,
            keep_alive=chosen.keep_alive,
            throttle_pause=WINDOW,
        ),
        budget=budgets.budget(*limits(source, settings)),
        refusal=refusal_for(chosen.token_env),
    )
    return NotionPlatform(
        client,
        databases=chosen.databases,
        data_sources=chosen.data_sources,
        overlap=chosen.overlap,
        page_size=chosen.page_size,
        max_concurrent=chosen.max_concurrent,
    )


def data_source_key(partition: str) -> str:
    """Take a data source's id with or without dashes."""
    try:
        return dashed(partition)
    except ValueError as error:
        raise ConfigurationError(f"{partition!r} is {error}") from None


def _partition_key(partition: str, _source: Source, _settings: Settings) -> str:
    return data_source_key(partition)


def limits(source: Source, settings: Settings) -> Sequence[RateLimit]:
    """Return the limit of the connection whose token a source names."""
    chosen: NotionSettings = source.settings
    return [rate_limit(settings.credential(chosen.token_env) or "", chosen.requests_per_minute)]


def rate_limit(token: str, requests_per_minute: int) -> RateLimit:
    """Return what Notion allows a connection: so many requests in each minute, whenever it lets that begin."""
    burst = gcd(requests_per_minute, LARGEST_BURST)
    return RateLimit(f"notion {pseudonym(token)}", requests_per_minute, WINDOW, burst)


def _site(_source: Source, _settings: Settings) -> str:
    return "https://www.notion.so"


def _address_of(data_source: Mapping[str, Any]) -> str:
    """Return what Notion calls a data source's address: that of its database, or its own."""
    address = data_source.get("url")
    return address if isinstance(address, str) else ""


SPEC = PlatformSpec(NOTION, NotionSettings, open_notion, _partition_key, limits, site=_site)
