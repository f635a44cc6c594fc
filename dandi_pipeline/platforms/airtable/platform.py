"""Airtable as a platform: a table is a partition, its rows are the bulk of the records."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from dandi_pipeline.errors import (
    AccessRefused,
    ConfigurationError,
    ContractError,
    PipelineError,
    ResourceMissing,
    foreseen,
)
from dandi_pipeline.http import Budgets, HttpClient, Limits, RateLimit, Traffic, pseudonym
from dandi_pipeline.http.payload import mappings, text
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
from dandi_pipeline.platforms.airtable.api import AirtableApi, BaseSchema, Json, SchemaMoved, refusals
from dandi_pipeline.platforms.airtable.reading import TableReading, check_table
from dandi_pipeline.platforms.airtable.records import RECORD, RECORDS, SCHEMA
from dandi_pipeline.platforms.airtable.settings import PER_BASE, PER_USER, AirtableSettings, BaseSettings
from dandi_pipeline.settings import Settings, Source

CHECKS_AT_ONCE = 32
"""Tables checked side by side, over all bases; each base's own limits come on top."""

CHECK_ATTEMPTS = 3
"""How often a table is checked whose fields change meanwhile."""

LOCK_OUT = 30.0
"""Seconds for which Airtable refuses a base's every request after one too many."""

_KEY = re.compile(r"(?:https://airtable\.com/)?(app[A-Za-z0-9]+)/(tbl[A-Za-z0-9]+)(?:[/?].*)?", re.ASCII)

_log = logging.getLogger(__name__)


def names_of(base_id: str, tables: Sequence[str] | None) -> Sequence[str]:
    """Return what keys a base's tables have that are configured by a name, as long as no table has it."""
    return [f"{base_id}/{name}" for name in tables or () if not name.startswith("tbl")]


@dataclass(frozen=True, slots=True)
class Base:
    """A configured base, and the ids or names of its tables; None stands for all."""

    api: AirtableApi
    tables: Sequence[str] | None = None

    def has(self, row: Json) -> bool:
        """Tell whether a table is one of those configured."""
        return self.tables is None or row["id"] in self.tables or row.get("name") in self.tables

    def chosen(self, schema: BaseSchema) -> list[Json]:
        """Return the configured tables there are."""
        return [row for row in schema.tables if self.has(row)]

    def misnamed(self, schema: BaseSchema) -> Iterator[Listed]:
        """Yield, for each configured name that no table has, what fails when it is read, alone.

        An id that no table has may be that of a deleted one; a name is wrong, or not right any more.
        """
        there = {name for row in schema.tables for name in (row["id"], row.get("name"))}
        for name in self.tables or ():
            if name not in there and not name.startswith("tbl"):
                names = ", ".join(repr(row.get("name")) for row in schema.tables)
                failure = ConfigurationError(
                    f"base {self.api.base_id} has no table {name!r} (it has {names}); correct 'tables' in its source,"
                    " best by the table's id (tbl…), which outlives renaming"
                )
                yield Listed.failed(f"{self.api.base_id}/{name}", failure)


AIRTABLE = Description(
    name="airtable", title="Airtable", parts=(RECORDS,), kinds=(SCHEMA, RECORD), partition_noun="table"
)


class AirtablePlatform:
    """Some bases of one Airtable account."""

    description = AIRTABLE

    def __init__(self, bases: Sequence[Base], *, overlap: timedelta) -> None:
        self._bases = {base.api.base_id: base for base in bases}
        self._overlap = overlap

    @property
    def traffic(self) -> Traffic:
        """What was sent for all bases, and received, so far."""
        return sum((base.api.client.traffic for base in self._bases.values()), Traffic())

    def partition_key(self, partition: str) -> str:
        """Take a table's key in every spelling; see `table_key`."""
        return table_key(partition, {base_id: base.tables for base_id, base in self._bases.items()})

    def list_partitions(self) -> Sequence[Listed]:
        """Return every configured table that the token sees, or raise.

        Costs a request for each base and one for each table (see `mark`). A base or a table that is refused is
        left out with a warning; where nothing but refusals came back, the first is raised. A name that no table of
        its base has is listed, so that it fails, by itself, when it is read.
        """
        with ThreadPoolExecutor(CHECKS_AT_ONCE, thread_name_prefix="check") as threads:
            schemas = list(threads.map(_schema_or_refusal, self._bases.values()))
            tables = [
                (base, schema, row["id"])
                for base, schema in zip(self._bases.values(), schemas, strict=True)
                if isinstance(schema, BaseSchema)
                for row in base.chosen(schema)
            ]
            sightings = list(threads.map(lambda table: self._sighting_or_refusal(*table), tables))
        listed = [answer for answer in (*sightings, *schemas) if isinstance(answer, Listed)]
        for base, schema in zip(self._bases.values(), schemas, strict=True):
            if isinstance(schema, BaseSchema):
                listed += base.misnamed(schema)
                listed += [Listed.failed("", schema.unread)] if schema.unread else []
        refused = [answer for answer in (*schemas, *sightings) if isinstance(answer, PipelineError)]
        if refused and not listed:
            raise refused[0]
        for refusal in refused:
            _log.warning("%s; what the mirror has of it is kept as it is", refusal)
        return listed

    def look_up(self, key: str) -> LookupResult:
        """Return how one table stands. What the source is no longer to mirror counts as hidden.

        So does a table that the schema shows but that cannot be asked for, whatever the refusal says: its rows are
        not to go before a schema lacks it.
        """
        base_id, _, table_id = key.partition("/")
        base = self._bases.get(base_id)
        if base is None:
            return Hidden(key)
        try:
            schema = base.api.schema()
        except ResourceMissing:
            return Gone(key)
        except AccessRefused:
            return Hidden(key)
        misnamed = {listed.key: listed for listed in base.misnamed(schema)}
        if key in misnamed:
            return misnamed[key]
        sighting = self._sighting_or_refusal(base, schema, table_id)
        return sighting if not isinstance(sighting, PipelineError) else Hidden(key)

    def read(self, listed: Listed, request: ReadRequest) -> Iterator[Observation]:
        """Yield the table's schema and records; see `TableReading`."""
        base_id, _, _ = listed.key.partition("/")
        return TableReading(self._bases[base_id].api, listed, request).observations()

    def close(self) -> None:
        """Release the connections."""
        for base in self._bases.values():
            base.api.client.close()

    def _sighting_or_refusal(
        self, base: Base, schema: BaseSchema, table_id: str
    ) -> LookupResult | AccessRefused | ResourceMissing:
        """Check a table; one whose schema is odd, or that answers oddly, is listed as failed."""
        try:
            with foreseen(f"table {base.api.base_id}/{table_id}"):
                return self._sight(base, schema, table_id)
        except (AccessRefused, ResourceMissing) as refusal:
            return refusal
        except ContractError as odd:
            return Listed.failed(f"{base.api.base_id}/{table_id}", odd)

    def _sight(self, base: Base, schema: BaseSchema, table_id: str) -> LookupResult:
        """Check a table under its base's schema, or under a new one if that turns out to be out of date."""
        for _ in range(CHECK_ATTEMPTS - 1):
            try:
                return self._check(base, schema, table_id)
            except SchemaMoved:
                schema = base.api.schema()
        return self._check(base, schema, table_id)

    def _check(self, base: Base, schema: BaseSchema, table_id: str) -> LookupResult:
        key, row = f"{base.api.base_id}/{table_id}", schema.table(table_id)
        if row is None and schema.unread:
            raise schema.unread
        if row is None:
            return Gone(key)
        if not base.has(row):
            return Hidden(key)
        for field in mappings(row, "fields", where=f"table {key}"):
            text(field, "type", where=f"table {key}")
        check = check_table(base.api, row, now=schema.now, overlap=self._overlap)
        name = text(row, "name", where=f"table {key}")
        address = f"{_SITE}/{key}"
        return Listed(key, str(check.mark), name, check.modified, record_count=0, row=row, address=address)


def _schema_or_refusal(base: Base) -> BaseSchema | Listed | AccessRefused | ResourceMissing:
    """Return a base's schema; one that cannot be read as a failure, which leaves open which tables there are."""
    try:
        return base.api.schema()
    except (AccessRefused, ResourceMissing) as refusal:
        return refusal
    except ContractError as odd:
        return Listed.failed("", odd)


def table_key(partition: str, bases: Mapping[str, Sequence[str] | None]) -> str:
    """Take app…/tbl…, and the address that a browser shows for the table.

    `bases` are those configured, by their ids, with their tables. A base's id with a name of its settings is what a
    table is called that cannot be found by that name.
    """
    named = partition.strip()
    if any(named in names_of(base_id, tables) for base_id, tables in bases.items()):
        return named
    match = _KEY.fullmatch(named)
    if match is None:
        raise ConfigurationError(f"{partition!r} is not a table; write app…/tbl…, or paste the table's address")
    if match[1] not in bases:
        raise ConfigurationError(
            f"{partition!r} is in a base that this source does not have; it has {', '.join(bases)}"
        )
    return f"{match[1]}/{match[2]}"


def _partition_key(partition: str, source: Source, _settings: Settings) -> str:
    chosen: AirtableSettings = source.settings
    return table_key(partition, {base.base: base.tables for base in chosen.bases})


def base_limit(base_id: str) -> RateLimit:
    """Return what Airtable allows all who ask for a base."""
    return RateLimit(f"airtable {base_id}", PER_BASE, seconds=1, burst=PER_BASE)


def limits(source: Source, _settings: Settings) -> Sequence[RateLimit]:
    """Return the limits of a source's bases."""
    chosen: AirtableSettings = source.settings
    return [base_limit(configured.base) for configured in chosen.bases]


def open_airtable(source: Source, settings: Settings, budgets: Budgets) -> AirtablePlatform:
    """Open the bases that a source names. A missing token is refused when something is first asked.

    A base's rate is shared by all who ask for that base, an account's by all who use the same token.
    """
    chosen: AirtableSettings = source.settings
    token = settings.credential(chosen.token_env)
    limits = Limits(
        pool_size=chosen.pool_size,
        max_concurrent=chosen.max_concurrent,
        keep_alive=chosen.keep_alive,
        throttle_pause=LOCK_OUT,
    )
    user = RateLimit(f"airtable user {pseudonym(token or '')}", PER_USER, seconds=1, burst=PER_USER)

    def base(configured: BaseSettings) -> Base:
        client = HttpClient(
            chosen.api_url,
            authorization=f"Bearer {token}" if token else None,
            limits=limits,
            budget=budgets.budget(base_limit(configured.base), user),
            refusal=refusals(chosen.token_env, has_token=token is not None),
        )
        return Base(AirtableApi(client, configured.base, page_size=chosen.page_size), configured.tables)

    return AirtablePlatform([base(configured) for configured in chosen.bases], overlap=chosen.overlap)


_SITE = "https://airtable.com"


def _site(source: Source, _settings: Settings) -> str:
    chosen: AirtableSettings = source.settings
    bases = [configured.base for configured in chosen.bases]
    return f"{_SITE}/{bases[0]}" if len(bases) == 1 else _SITE


SPEC = PlatformSpec(AIRTABLE, AirtableSettings, open_airtable, _partition_key, limits, site=_site)
