"""What a workspace is made of: users, connections, databases, data sources, properties and pages.

Values are kept as little as they can be; `views` makes of them what the API says.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

TITLE = "title"
"""The id of every title property."""


class Refused(ValueError):
    """An operation that a workspace does not allow."""


@dataclass(frozen=True)
class User:
    """`kind` is "person", "bot" or "group"."""

    id: str
    name: str
    kind: str
    email: str | None = None


@dataclass
class Connection:
    """One token, and what it may see: everything but `hidden` and what lies in that, if it may read content at all."""

    token: str
    bot: User
    sees_user_details: bool = True
    reads_content: bool = True
    hidden: set[str] = field(default_factory=set)


@dataclass
class Property:
    """A column. `id` is the bare one, which the API shows percent-encoded; names change, ids stay.

    `config` is as the API shows it but for relations (`{"data_source_id", "twin"}`: the id of the property on the
    other side, or None) and rollups (`{"relation", "property", "function"}`: ids), whose names may change.
    """

    id: str
    name: str
    type: str
    config: dict[str, Any]


@dataclass
class Database:
    """A container of data sources."""

    id: str
    title: str
    parent_page_id: str
    created: datetime
    edited: datetime
    data_source_ids: list[str] = field(default_factory=list)


@dataclass
class DataSource:
    """A table: its schema by property id, the ids of its pages, and the data sources that a wiki holds as rows."""

    id: str
    database_id: str
    title: str
    author: str
    created: datetime
    edited: datetime
    properties: dict[str, Property] = field(default_factory=dict)
    page_ids: dict[str, None] = field(default_factory=dict)
    child_ids: list[str] = field(default_factory=list)
    last_number: int = 0
    in_trash: bool = False


@dataclass
class Page:
    """A row of a data source, or a page on its own. `values` are by property id, in the form `values.stored` gives.

    `created` and `edited` are exact; nobody is shown more of them than the minute.
    """

    id: str
    data_source_id: str | None
    author: str
    editor: str
    created: datetime
    edited: datetime
    number: int | None
    values: dict[str, Any] = field(default_factory=dict)
    icon: dict[str, Any] | None = None
    cover_file: str | None = None
    paragraphs: list[str] = field(default_factory=list)
    in_trash: bool = False
    is_archived: bool = False


Row = Page | DataSource
"""What a query answers: pages, and in a wiki data sources too."""
