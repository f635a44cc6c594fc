"""A workspace's state, and how things in it are found and seen; what changes it is in `world`."""

import random
import threading
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from dandi_pipeline_tests.simulators.clock import Clock

from . import files
from .records import TITLE, Connection, Database, DataSource, Page, Property, Refused, Row, User

_PAGE_SCHEMA = {TITLE: Property(TITLE, TITLE, "title", {})}
"""The one property of a page that is in no data source."""


class Workspace:
    """Everything there is, by id; `lock` is held by whoever reads or changes more than one thing."""

    def __init__(self, *, seed: int = 0, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.lock = threading.RLock()
        self.users: dict[str, User] = {}
        self.connections: dict[str, Connection] = {}
        self.databases: dict[str, Database] = {}
        self.data_sources: dict[str, DataSource] = {}
        self.pages: dict[str, Page] = {}
        self.unindexed: set[str] = set()
        """What search does not find."""
        self.chance = random.Random(seed)
        self._signatures = 0

    def new_id(self) -> str:
        return str(uuid.UUID(int=self.chance.getrandbits(128), version=4))

    def sign(self, file_name: str) -> dict[str, Any]:
        """Return the address of a kept file, never the same twice."""
        self._signatures += 1
        return files.signed(file_name, self.clock.now(), self._signatures)

    def schema(self, page: Page) -> dict[str, Property]:
        """Return the properties of a page, by id."""
        return self.data_sources[page.data_source_id].properties if page.data_source_id else _PAGE_SCHEMA

    def property_of(self, data_source: DataSource, name_or_id: str) -> Property:
        """Return a property by name, bare id or percent-encoded id; raise `Refused` if there is none."""
        found = find_property(data_source.properties, name_or_id)
        if found is None:
            raise Refused(f"{data_source.title} has no property {name_or_id!r}")
        return found

    def rows(self, data_source: DataSource) -> Iterator[Row]:
        """Yield what a query looks through: pages not in the trash, and a wiki's data sources."""
        yield from (page for page in map(self.pages.__getitem__, data_source.page_ids) if not page.in_trash)
        yield from (self.data_sources[identifier] for identifier in data_source.child_ids)

    def row(self, identifier: str) -> Row | None:
        """Return a row that a query may still show, or None."""
        page = self.pages.get(identifier)
        if page is not None:
            return None if page.in_trash else page
        return self.data_sources.get(identifier)

    def sees(self, connection: Connection, identifier: str) -> bool:
        """Whether an object, and all that it lies in, is shared with a connection."""
        return not any(holder in connection.hidden for holder in self._holders(identifier))

    def _holders(self, identifier: str) -> Iterator[str]:
        yield identifier
        if identifier in self.pages and self.pages[identifier].data_source_id:
            identifier = str(self.pages[identifier].data_source_id)
            yield identifier
        if identifier in self.data_sources:
            yield self.data_sources[identifier].database_id


def find_property(schema: dict[str, Property], name_or_id: str) -> Property | None:
    """Return the property with this name, or with this id, percent-encoded or not."""
    for prop in schema.values():
        if name_or_id in (prop.name, prop.id) or unquote(name_or_id) == prop.id:
            return prop
    return None


def minute(instant: datetime) -> datetime:
    """Return what is shown and compared of a time: rounded down."""
    return instant.replace(second=0, microsecond=0)
