"""Opens mirrors with the tables of every platform: mirror and platforms know nothing of each other, they meet here."""

from collections.abc import Mapping

from dandi_pipeline.mirror import Mirror
from dandi_pipeline.mirror.dictionary import PublicTable, public_tables
from dandi_pipeline.mirror.facets import FacetSchema
from dandi_pipeline.mirror.mirror import PATIENCE
from dandi_pipeline.platforms.registry import FACET_RULES

FACET_SCHEMA = FacetSchema(FACET_RULES)
"""What is derived from the records of every platform."""

PUBLIC: Mapping[str, PublicTable] = public_tables(FACET_SCHEMA)
"""Every table and view that people query, by its name."""


def open_mirror(url: str, *, patience: float = PATIENCE) -> Mirror:
    """Open the mirror at a SQLAlchemy URL, creating or upgrading it first if need be; see `Mirror.open`."""
    return Mirror.open(url, FACET_SCHEMA, patience=patience)


def peek_mirror(url: str, *, patience: float = PATIENCE) -> Mirror | None:
    """Open the mirror for reading only; None where there is none yet; see `Mirror.peek`."""
    return Mirror.peek(url, FACET_SCHEMA, patience=patience)
