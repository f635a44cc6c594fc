"""All but the endpoints of a platform whose partitions are lists of items.

Such a platform has no table, no reading and no client of its own: its items go to the table `items`, every partition
gets a typed view, and a partition that has changed is read whole, page by page.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any, ClassVar, TypeVar

from pydantic import Field

from dandi_pipeline.canonical import canonical, digest_of
from dandi_pipeline.errors import (
    AccessRefused,
    ConfigurationError,
    ContractError,
    CredentialRejected,
    PipelineError,
    ResourceMissing,
    TornRead,
    UnexpectedPayload,
)
from dandi_pipeline.http import (
    Budgets,
    ErrorAnswer,
    HttpClient,
    Limits,
    RateLimit,
    Refusal,
    Traffic,
    Turning,
    pseudonym,
)
from dandi_pipeline.instants import canonical_instant
from dandi_pipeline.model import (
    CellType,
    Complete,
    Description,
    Expected,
    Gone,
    Hidden,
    Listed,
    LookupResult,
    Observation,
    Observed,
    Planned,
    PlatformSpec,
    ReadRequest,
    Record,
    RecordKind,
    Settled,
    Shape,
    ShapeColumn,
)
from dandi_pipeline.settings import ApiUrl, EnvironmentName, PlatformSettings, Settings, Source

ITEMS = "items"

ITEM = RecordKind("item", ITEMS, key=("item_id",))

LISTING_ATTEMPTS = 3
"""How often the partitions are listed whose pages shift meanwhile."""

MOST_EMPTY = 10
"""Empty pages in a row after which a platform's own loop over pages is taken to have no end."""

Json = Mapping[str, Any]

Columns = Mapping[str, CellType]
"""Members of an item, each with what it is read as."""

Opened = TypeVar("Opened", bound="ItemsPlatform")


class ItemsSettings(PlatformSettings):
    """What such a platform accepts under `settings:`; a platform gives both members its own defaults."""

    SWEEP: ClassVar[str] = "weekly"

    RATE: ClassVar[int] = 5
    """Requests a second that the platform allows whoever uses one token."""

    api_url: ApiUrl = Field(description="The API's address")
    token_env: EnvironmentName = Field(description="The NAME of the environment variable that holds the token")

    @property
    def required_credential(self) -> str:
        """The token's variable."""
        return self.token_env

    @property
    def requests_per_second(self) -> float:
        """The rate that the platform allows."""
        return self.RATE


def items_of(name: str, *, partition_noun: str, title: str | None = None) -> Description:
    """Describe such a platform; `title` is how people write its name, unless with a capital."""
    return Description(name, title or name.capitalize(), (ITEMS,), (ITEM,), partition_noun)


class ItemsPlatform(ABC):
    """One account of such a platform. The three abstract methods may raise the three groups of `errors`.

    `columns` are the members of an item that the views show, with what each is read as; an item's complete JSON is
    kept whatever they are.
    """

    description: ClassVar[Description]
    columns: ClassVar[Columns]

    def __init__(self, client: HttpClient, *, page_size: int) -> None:
        self.client = client
        self.page_size = page_size

    @classmethod
    def open(cls: type[Opened], source: Source, settings: Settings, budgets: Budgets) -> Opened:
        """Open the account that a source names, its rate shared by all who use the same token."""
        chosen: ItemsSettings = source.settings
        token = settings.credential(chosen.token_env)
        client = HttpClient(
            chosen.api_url,
            authorization=f"Bearer {token}" if token else None,
            limits=Limits(
                pool_size=chosen.pool_size, max_concurrent=chosen.max_concurrent, keep_alive=chosen.keep_alive
            ),
            budget=budgets.budget(*cls.limits(source, settings)),
            refusal=_refused_token(cls.description.name, chosen.token_env),
        )
        return cls(client, page_size=chosen.page_size)

    @classmethod
    def limits(cls, source: Source, settings: Settings) -> Sequence[RateLimit]:
        """Return the rate that the platform allows whoever uses the token that a source names."""
        chosen: ItemsSettings = source.settings
        user = settings.credential(chosen.token_env) or chosen.api_url
        return [RateLimit(f"{cls.description.name} {pseudonym(user)}", chosen.RATE, seconds=1)]

    @classmethod
    def spec(cls, settings: type[ItemsSettings]) -> PlatformSpec:
        """Return all that the rest must know of the platform; `settings` is its class of them."""

        def partition_key(partition: str, _source: Source, _settings: Settings) -> str:
            return cls.key_of(partition)

        return PlatformSpec(cls.description, settings, cls.open, partition_key, cls.limits)

    @classmethod
    def key_of(cls, partition: str) -> str:
        """Take a key as the platform spells it."""
        key = partition.strip()
        if not key or not key.isprintable():
            noun, name = cls.description.partition_noun, cls.description.name
            raise ConfigurationError(f"{partition!r} is not a {noun}; write it as {name} spells it")
        return key

    # What a platform writes

    @abstractmethod
    def partitions(self) -> Iterator[Listed]:
        """Yield every partition. Its token changes with any of its items; `record_count` is 0 where nobody says.

        A row that cannot be read is yielded as `Listed.failed`, so that it fails alone.
        """

    @abstractmethod
    def partition(self, key: str) -> Listed:
        """Return one partition as `partitions` would; let pass what the client raises if there is none."""

    @abstractmethod
    def pages(self, listed: Listed) -> Iterator[Sequence[Record]]:
        """Yield a partition's every item (see `item`), page by page; `http.follow` turns the pages of a list."""

    # What it has from here

    @property
    def traffic(self) -> Traffic:
        """What has been sent and received so far."""
        return self.client.traffic

    def partition_key(self, partition: str) -> str:
        """Take a key as the platform spells it."""
        return self.key_of(partition)

    def list_partitions(self) -> Sequence[Listed]:
        """Return every partition, or raise: pages that shifted while they turned are read again."""
        for attempt in range(1, LISTING_ATTEMPTS + 1):
            try:
                listed = self._listed_once()
            except ResourceMissing:
                # A page past the end, where the list has become shorter meanwhile.
                if attempt == LISTING_ATTEMPTS:
                    raise
                continue
            if listed is not None:
                return listed
        what = self.description
        raise ContractError(
            f"the list of {what.name} shows a {what.partition_noun} twice, {LISTING_ATTEMPTS} times in a row;"
            " nothing was changed: try again later"
        )

    def _listed_once(self) -> list[Listed] | None:
        """Return what one listing shows, None where a key comes twice: a list that repeats pages has no end."""
        listed: list[Listed] = []
        keys: set[str] = set()
        for each in self.partitions():
            if each.key and each.key in keys:
                return None
            keys.add(each.key)
            listed.append(each)
        return listed

    def look_up(self, key: str) -> LookupResult:
        """Return how one partition stands: 404 means gone, 401 and 403 mean hidden."""
        try:
            return self.partition(key)
        except ResourceMissing:
            return Gone(key)
        except AccessRefused:
            return Hidden(key)

    def read(self, listed: Listed, request: ReadRequest) -> Iterator[Observation]:
        """Yield all items, then look again whether the partition is still the same."""
        yield Planned("all items", max(1, ceil(listed.record_count / self.page_size)))
        yield Expected(listed.record_count)
        yield self._shape(listed)
        shown, turning = 0, Turning(listed.key, empty=MOST_EMPTY)
        last: Sequence[str] = ()
        for number, records in enumerate(self.pages(listed)):
            if number:
                turning.turned(last, number)
            last = ["/".join(record.key) for record in records]
            left = None if request.max_records is None else request.max_records - shown
            shown += len(records)
            if left is not None and len(records) > left:
                yield Observed(records[:left])
                yield Settled(listed.token, [])
                return
            yield Observed(records)
        self._refuse_torn(listed, shown)
        yield Complete(ITEM)
        yield Settled(listed.token, self.description.parts)

    def close(self) -> None:
        """Release the connections."""
        self.client.close()

    def item(self, row: Json, *, key: str, modified: str | None = None) -> Record:
        """Make the record of an item from its row; all that the row shows is content."""
        document = canonical(row, where=f"{self.description.name} item {key!r}")
        cells = {name: _cell(row[name], kind) for name, kind in self.columns.items() if row.get(name) is not None}
        return Record(
            kind=ITEM,
            key=(key,),
            columns={"modified": modified, "cells": canonical(cells).decode()},
            metadata=document.decode(),
            content_hash=digest_of(document),
        )

    def _shape(self, listed: Listed) -> Shape:
        return Shape(ITEM, listed.name, [ShapeColumn(name, name, kind) for name, kind in self.columns.items()])

    def _refuse_torn(self, listed: Listed, shown: int) -> None:
        if listed.record_count and shown != listed.record_count:
            raise TornRead(f"{listed.key}: says it has {listed.record_count} items but shows {shown}")
        now = self.look_up(listed.key)
        if not isinstance(now, Listed) or now.token != listed.token:
            raise TornRead(f"{listed.key}: changed while it was read")


def token_of(row: Json) -> str:
    """Return a state token that covers all that a partition's row shows."""
    return digest_of(canonical(row))


def _cell(value: Any, kind: CellType) -> Any:
    """Spell an instant canonically; what is none stays as it came, for its column to pass over."""
    if kind != "instant" or not isinstance(value, str):
        return value
    try:
        return canonical_instant(value)
    except UnexpectedPayload:
        return value


def _refused_token(platform: str, token_env: str) -> Refusal:
    """Return what a 401 means: always the token, never the resource."""

    def judge(answer: ErrorAnswer) -> PipelineError | None:
        if answer.status != 401:
            return None
        return CredentialRejected(f"{answer.where}: {platform} takes no token from {token_env}; check how it is set")

    return judge
