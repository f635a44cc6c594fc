"""How a platform describes its facets: narrow tables derived from its records, for questions that read no JSON.

A platform describes the tables, their views and roll-ups as values, and derives the rows of each record by a pure
function. The mirror creates the tables and keeps them in step with the records (`mirror/facets.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from dandi_pipeline.platforms.contract import Column, Key

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
