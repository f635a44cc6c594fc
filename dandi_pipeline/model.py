"""What a platform offers: a listing of its partitions, a reading of each, and facets of its records.

A platform never writes and never decides what is stale; it says what it sees, in pieces small enough to stream, and the
engine compares, stages and commits. Facets are narrow tables derived from records, for questions that read no JSON: a
platform describes them as values, the mirror keeps them in step.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from dandi_pipeline.errors import PipelineError, UnexpectedPayload
from dandi_pipeline.http import Budgets, RateLimit, Traffic
from dandi_pipeline.settings import PlatformSettings, Settings, Source
from dandi_pipeline.text import storable

Column = str | int | bool | None
"""A typed column's value. Instants are strings as `instant()` spells them, so both databases sort them."""

Key = tuple[str, ...]
"""What identifies a record within its partition and kind, e.g. (version, path) for an asset."""

Fingerprint = tuple[Column, ...]
"""The content hash, then the columns a bare listing also shows: enough to tell 'unchanged' from 'fetch it'."""

Known = Mapping[Key, Fingerprint]
"""What the mirror holds of one kind in one partition."""

CellType = Literal["text", "integer", "number", "boolean", "instant", "json"]
"""What a cell is read as. An instant is a text as `instant()` spells it; "json" is whatever there is."""

ColumnType = CellType | Literal["scalar"]
"""What a column is read as: "scalar" is number, text or boolean where all values in it are that, else "json"."""

Argument = TypeVar("Argument")
Result = TypeVar("Result")


def everything(metadata: Any) -> Any:
    """Return all of a record's metadata: what counts as content unless a platform says otherwise."""
    return metadata


@dataclass(frozen=True, slots=True)
class RecordKind:
    """One kind of record: its name in the change feed, its part, and the columns that identify it.

    `key` is empty for a kind with one record a partition. `content` returns what of a record's metadata counts as
    content: all but what is new at every reading, e.g. an address that expires.
    """

    name: str
    part: str
    key: tuple[str, ...]
    fingerprint: tuple[str, ...] = ()
    content: Callable[[Any], Any] = field(default=everything, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Record:
    """One record as the platform has it now.

    `columns` holds every typed column of the kind but the key, the metadata and the hash. `metadata` is the
    complete JSON, in canonical form (sorted keys, compact), or None for a kind that has none. `content_hash`
    covers all that counts as content: two records with the same hash are the same, whatever their other
    columns say. `facets` is what questions read of it; None leaves the facets of a kind that has some empty.
    """

    kind: RecordKind
    key: Key
    columns: Mapping[str, Column]
    metadata: str | None
    content_hash: str
    facets: "Facets | None" = field(default=None, compare=False, repr=False)

    @property
    def fingerprint(self) -> Fingerprint:
        """What `Known` would hold for this record once stored."""
        return (self.content_hash, *(self.columns[name] for name in self.kind.fingerprint))


@dataclass(frozen=True, slots=True)
class Listed:
    """A partition as one listing shows it. `token` changes whenever the partition's content may have.

    `failure` is why the row cannot be read, or the partition not be looked at: it is there, so nothing of it is gone,
    and it fails alone. A row that does not even say which partition it is has the key "": a listing that shows one is
    complete for nobody, and tells of no deletion. `address` is where people see the partition on the web, "" if that
    is not known.
    """

    key: str
    token: str
    name: str
    modified: datetime
    record_count: int
    row: Mapping[str, Any] = field(repr=False)
    failure: PipelineError | None = None
    address: str = ""

    def __post_init__(self) -> None:
        if not self.key.isprintable() or (not self.key and self.failure is None):
            raise UnexpectedPayload(f"{self.key[:60]!r} is no name of a partition; nothing was written for it")
        if not self.name.isprintable():
            # It is only for people to read, on screens that take no half of a surrogate pair.
            object.__setattr__(self, "name", storable(self.name, "?"))
        if self.address and not _ADDRESS.fullmatch(self.address):
            object.__setattr__(self, "address", "")

    @classmethod
    def failed(cls, key: Any, failure: PipelineError) -> "Listed":
        """Return a partition that is listed and cannot be looked at; `key` is what its row says, if anything."""
        key = key if isinstance(key, str) and key.isprintable() else ""
        return cls(key, "failed", name="", modified=_ANY_TIME, record_count=0, row={}, failure=failure)


_ADDRESS = re.compile(r"https?://[A-Za-z0-9][!-~]{,1000}")
"""An address that can be shown as a link: a platform's answer might as well hold a script."""

_ANY_TIME = datetime.max.replace(tzinfo=timezone.utc)
"""When a partition counts as edited that could not be looked at: no date limit leaves it out."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The platform says that the partition does not exist (any more)."""

    key: str


@dataclass(frozen=True, slots=True)
class Hidden:
    """The partition exists, but not for this credential: its rows are kept and marked."""

    key: str


LookupResult = Listed | Gone | Hidden


def weightless(_: Any) -> int:
    """Measure results of which it is enough to bound the number."""
    return 0


class Workers(Protocol):
    """Runs requests side by side, within the concurrency the operator set."""

    def map(
        self,
        function: Callable[[Argument], Result],
        arguments: Iterable[Argument],
        *,
        measure: Callable[[Result], int] = weightless,
    ) -> Iterator[Result]:
        """Yield `function(argument)` for each, in any order, holding few results at a time.

        `measure` returns about how many bytes a result takes in memory.
        """
        ...


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """How to read a partition: which parts, against what is known, and how much of it.

    `full` asks for every record's content even where a bare listing would do. With `round`, the number of a round of
    sweeps, it asks for all that can be told cheaply, and for the content of a share of the partitions that changes from
    round to round; a platform may always give more. `fetch=False` asks only what differs: the platform then answers
    `Outdated` where it would have fetched. `max_records` cuts the records of the bulk kind short; a kind cut short is
    never `Complete` nor its part `Settled`. `tokens` holds, for each part,
    the token under which the mirror has it now.
    """

    parts: Sequence[str]
    known: Mapping[str, Known]
    tokens: Mapping[str, str | None]
    workers: Workers
    full: bool = False
    round: int | None = None
    fetch: bool = True
    max_records: int | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """How many records of the bulk kind the platform says there are, as soon as it has said so."""

    records: int


@dataclass(frozen=True, slots=True)
class Planned:
    """How the platform chose to read, for the log and the run's metadata; no `plan` for what goes without saying.

    `requests` and `received_bytes`, as they travel, are what that takes if nothing fails nor is torn.
    """

    plan: str
    requests: int
    received_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Observed:
    """Records with their content."""

    records: Sequence[Record]


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Known records that a listing shows to be as they were."""

    kind: RecordKind
    keys: Sequence[Key]


@dataclass(frozen=True, slots=True)
class Outdated:
    """Records that are new or differ from what is known, not fetched because the request said so."""

    kind: RecordKind
    keys: Sequence[Key]


@dataclass(frozen=True, slots=True)
class ShapeColumn:
    """One property of a partition's records: its `name` as the user named it, and the `cell` that holds it.

    `cell` is the platform's own id of the property, which outlives renaming: the key in a record's `cells`. `empty`
    is what a "scalar" column is read as while no record has a value in it.
    """

    name: str
    cell: str
    type: ColumnType
    empty: CellType = "json"


@dataclass(frozen=True, slots=True)
class Shape:
    """How a partition's records of `kind` read as a table, under `name`, the user's name for it.

    For kinds whose properties users define. Their records carry a column `cells`: canonical JSON of an object
    with a value for each cell, as the platform derived it from the verbatim `metadata`; an empty cell is absent
    or null. A value that is not of its column's type reads as NULL. The last shape of a reading counts.

    `marks` are typed columns of the kind that have one value in all of the partition's records, also in those that
    the reading does not show.
    """

    kind: RecordKind
    name: str
    columns: Sequence[ShapeColumn]
    marks: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Complete:
    """Every record of `kind` whose key starts with `prefix` has been shown: what was not is gone."""

    kind: RecordKind
    prefix: Key = ()


@dataclass(frozen=True, slots=True)
class Settled:
    """The reading of `parts` is complete and one consistent state of the partition, which `token` stands for."""

    token: str
    parts: Sequence[str]


Observation = Planned | Expected | Shape | Observed | Unchanged | Outdated | Complete | Settled
"""What a reading yields. `Settled` comes last, once; a reading that was torn raises `TornRead` instead."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a platform is: a value, so that nothing is opened to learn it.

    `title` is how people write its name. `parts` can be synced separately; each becomes one Dagster asset. `kinds` are
    all kinds of record that it delivers; the last is the bulk of it. `partition_noun` is what a partition is called, in
    words, e.g. "data source"; `spelling` how people tell partitions apart: by `{name}`, or by `{key}`.
    """

    name: str
    title: str
    parts: tuple[str, ...]
    kinds: tuple[RecordKind, ...]
    partition_noun: str
    spelling: str = "{name}"

    @property
    def bulk(self) -> RecordKind:
        """The kind that most records are of."""
        return self.kinds[-1]


class Platform(Protocol):
    """One configured archive or account. Every method may raise the three groups of `errors`."""

    @property
    def description(self) -> Description:
        """What the platform is, the same for every archive or account of it."""
        ...

    @property
    def traffic(self) -> Traffic:
        """What has been sent and received so far."""
        ...

    def partition_key(self, partition: str) -> str:
        """Return the key that a user's spelling means; raise `ConfigurationError` if it can mean none."""
        ...

    def list_partitions(self) -> Sequence[Listed]:
        """Return every partition there is, or raise: a listing is never silently short.

        What of it cannot be read is in it all the same, by `Listed.failed`.
        """
        ...

    def look_up(self, key: str) -> LookupResult:
        """Return how one partition stands now."""
        ...

    def read(self, listed: Listed, request: ReadRequest) -> Iterator[Observation]:
        """Yield what the partition holds, as it streams in; raise `TornRead` if it changed meanwhile."""
        ...

    def close(self) -> None:
        """Release the connections."""
        ...


Value = str | int | float | bool | None

FacetType = Literal["text", "integer", "number", "instant"]
"""What a facet is stored as. Text sorts by code point in both databases; an instant is spelled as in records."""


class Shared(NamedTuple):
    """A row that many records share: equal ones are stored once a version. Values may be `Shared` in turn.

    `lists` holds rows of tables that belong to this row alone.
    """

    table: str
    values: tuple[Any, ...]
    lists: tuple[tuple[str, tuple[tuple[Value, ...], ...]], ...] = ()


Facets = Mapping[str, Sequence[tuple[Any, ...]]]
"""The facets of one record: rows by table, their values in the order of the table's columns, or `Shared` rows."""


@dataclass(frozen=True, slots=True)
class FacetColumn:
    """One column, and what the data dictionary says of it: its meaning, an example, its path in the metadata.

    With `shared` the column holds the key of a row of that table.
    """

    name: str
    type: FacetType
    meaning: str
    example: str = ""
    path: str = ""
    shared: str = ""
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class FacetTable:
    """One table of facets.

    `of` names the kind of record that it describes, or the shared table whose rows its rows belong to; it is empty
    for a shared table. With `key` each row has an integer key of that name. The first table of a kind has exactly
    one row a record; if it has a key, the kind's other tables refer to a record by it, unless `spelled`: then, and
    where there is no key, by the record's own key. A kind's table whose first column is `shared` joins records with
    shared rows, each pair once.
    """

    name: str
    of: str
    meaning: str
    columns: tuple[FacetColumn, ...]
    key: str = ""
    spelled: bool = False
    indexes: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class PublicView:
    """A view that people query: its SQL, the same for both databases, and its columns for the data dictionary."""

    name: str
    meaning: str
    columns: tuple[FacetColumn, ...]
    select: str


@dataclass(frozen=True, slots=True)
class RollUp:
    """A table that sums a partition up: made anew whenever the partition's facets change.

    `select` returns the columns but for the source and the partition, of one partition, which it names
    `:source` and `:partition`.
    """

    name: str
    meaning: str
    columns: tuple[FacetColumn, ...]
    select: str


Derive = Callable[[Key, Mapping[str, Column], Any], Facets]
"""Derives a record's facets from its key, its typed columns and its parsed metadata. Never fails."""


@dataclass(frozen=True, slots=True)
class FacetRules:
    """All that a platform derives. A new `number` means new rules: mirrors rebuild their facets from stored metadata.

    `partition` names the column that holds the partition's key, `scope` what each record's key begins with, within
    which rows are shared. `identity` describes the columns that say what a row belongs to.
    """

    number: int
    partition: str
    scope: str
    tables: tuple[FacetTable, ...]
    roll_ups: tuple[RollUp, ...]
    views: tuple[PublicView, ...]
    derive: Mapping[str, Derive]
    identity: tuple[FacetColumn, ...] = ()


@dataclass(frozen=True, slots=True)
class PlatformSpec:
    """All that the rest must know of a platform: what it is, what it is configured by, and how it is opened.

    Nothing is opened nor sent for `partition_key`, which is `Platform.partition_key` of what a source would open, nor
    for `limits`: for each host or account that the source asks, the rate limit that is most its own. `facets` is
    what is derived from the platform's records, `site` the address where people see what a source holds.
    """

    description: Description
    settings: type[PlatformSettings]
    open: Callable[[Source, Settings, Budgets], Platform]
    partition_key: Callable[[str, Source, Settings], str]
    limits: Callable[[Source, Settings], Sequence[RateLimit]]
    facets: FacetRules | None = None
    site: Callable[[Source, Settings], str] | None = None
