"""What the API says of each object, to one connection and in one of the API's versions."""

import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote

from .computed import MOST_REFERENCES, Computer, spelled
from .records import TITLE, Connection, Database, DataSource, Page, Property, Row, User
from .rich_text import plain_text, rich_text, up_to_mentions
from .values import user_view
from .versions import LEGACY, says_archived
from .workspace import Workspace

COMPLETABLE = frozenset({"title", "rich_text", "people", "relation"})
"""Types whose values a page object cuts at 25 references."""


class Views:
    """Shows objects; values of the types in `complete` are shown whole rather than cut at 25 references."""

    def __init__(
        self, workspace: Workspace, connection: Connection, version: str, *, complete: Collection[str] = ()
    ) -> None:
        self._workspace = workspace
        self._connection = connection
        self._version = version
        self._complete = complete
        self._computer = Computer(workspace, connection)

    def row(self, row: Row, shown: Collection[str] | None = None) -> dict[str, Any]:
        """Return a query's or search's row; of a page, only the properties whose ids are `shown`."""
        return self.page(row, shown) if isinstance(row, Page) else self.data_source(row)

    def page(self, page: Page, shown: Collection[str] | None = None) -> dict[str, Any]:
        cover = page.cover_file and {"type": "file", "file": self._workspace.sign(page.cover_file)}
        return {
            "object": "page",
            "id": page.id,
            "created_time": spelled(page.created),
            "last_edited_time": spelled(page.edited),
            "created_by": _partial_user(page.author),
            "last_edited_by": _partial_user(page.editor),
            "cover": cover,
            "icon": page.icon,
            "parent": self._page_parent(page),
            **self._trash(page.in_trash),
            "is_archived": page.is_archived,
            "is_locked": False,
            **_addresses(page.id, plain_text(page.values.get(TITLE, []))),
            "properties": {
                prop.name: self.value(page, prop)
                for prop in self._workspace.schema(page).values()
                if shown is None or prop.id in shown
            },
        }

    def value(self, page: Page, prop: Property) -> dict[str, Any]:
        """Return a property value of a page object."""
        value = self._computer.value(page, prop)
        kept = value if prop.type in self._complete else _cut(prop.type, value)
        said = {"id": shown_id(prop), "type": prop.type, prop.type: kept}
        return said | {"has_more": len(kept) < len(value)} if prop.type == "relation" else said

    def data_source(self, source: DataSource) -> dict[str, Any]:
        database = self._workspace.databases[source.database_id]
        return {
            "object": "data_source",
            "id": source.id,
            "title": rich_text(source.title),
            "description": [],
            "parent": {"type": "database_id", "database_id": database.id},
            "database_parent": {"type": "page_id", "page_id": database.parent_page_id},
            "is_inline": False,
            **self._trash(source.in_trash),
            **_stamps(source),
            "created_by": _partial_user(source.author),
            "last_edited_by": _partial_user(source.author),
            "icon": None,
            "cover": None,
            **_addresses(database.id),
            "properties": self._schema(source),
        }

    def database(self, database: Database) -> dict[str, Any]:
        """Return a container; before data sources, it carried the schema of its only one itself."""
        sources = [self._workspace.data_sources[identifier] for identifier in database.data_source_ids]
        if self._version == LEGACY:
            content: dict[str, Any] = {"properties": self._schema(sources[0])}
        else:
            content = {"data_sources": [{"id": source.id, "name": source.title} for source in sources]}
        return {
            "object": "database",
            "id": database.id,
            "title": rich_text(database.title),
            "description": [],
            "parent": {"type": "page_id", "page_id": database.parent_page_id},
            "is_inline": False,
            **self._trash(False),
            "is_locked": False,
            # ramnes/notion-sdk-py, tests/cassettes/test_databases_retrieve.yaml: not to the minute, and with an offset.
            "created_time": database.created.isoformat(timespec="milliseconds"),
            "last_edited_time": database.edited.isoformat(timespec="milliseconds"),
            **content,
            "icon": None,
            "cover": None,
            **_addresses(database.id),
        }

    def bot(self) -> dict[str, Any]:
        """Return the connection's own user, which says nothing less to one that sees no details of others."""
        bot: User = self._connection.bot
        owner = {"type": "workspace", "workspace": True}
        limits = {"max_file_upload_size_in_bytes": 5_242_880}
        return {
            "object": "user",
            "id": bot.id,
            "name": bot.name,
            "avatar_url": None,
            "type": "bot",
            "bot": {"owner": owner, "workspace_name": "Laboratory", "workspace_limits": limits},
        }

    def user(self, user: User) -> dict[str, Any]:
        return user_view(user, self._connection)

    def paragraphs(self, page: Page) -> list[dict[str, Any]]:
        """Return a page's body, one block for each paragraph."""
        return [
            {
                "object": "block",
                "id": f"{page.id[:24]}{position:012x}",
                "parent": {"type": "page_id", "page_id": page.id},
                "created_time": spelled(page.created),
                "last_edited_time": spelled(page.edited),
                "created_by": _partial_user(page.author),
                "last_edited_by": _partial_user(page.editor),
                "has_children": False,
                **self._trash(page.in_trash),
                "type": "paragraph",
                "paragraph": {"rich_text": rich_text(text), "color": "default"},
            }
            for position, text in enumerate(page.paragraphs)
        ]

    def _page_parent(self, page: Page) -> dict[str, Any]:
        if page.data_source_id is None:
            return {"type": "workspace", "workspace": True}
        database_id = self._workspace.data_sources[page.data_source_id].database_id
        if self._version == LEGACY:
            return {"type": "database_id", "database_id": database_id}
        return {"type": "data_source_id", "data_source_id": page.data_source_id, "database_id": database_id}

    def _trash(self, in_trash: bool) -> dict[str, bool]:
        return {"in_trash": in_trash} | ({"archived": in_trash} if says_archived(self._version) else {})

    def _schema(self, source: DataSource) -> dict[str, Any]:
        return {
            prop.name: {
                "id": shown_id(prop),
                "name": prop.name,
                "description": None,
                "type": prop.type,
                prop.type: self._configuration(source, prop),
            }
            for prop in source.properties.values()
        }

    def _configuration(self, source: DataSource, prop: Property) -> dict[str, Any]:
        if prop.type == "relation":
            return self._relation(prop)
        if prop.type == "rollup":
            return self._rollup(source, prop)
        return prop.config

    def _relation(self, prop: Property) -> dict[str, Any]:
        target = self._workspace.data_sources[prop.config["data_source_id"]]
        twin = target.properties.get(prop.config["twin"] or "")
        kind = "dual_property" if twin else "single_property"
        details = {"synced_property_id": shown_id(twin), "synced_property_name": twin.name} if twin else {}
        source = {} if self._version == LEGACY else {"data_source_id": target.id}
        return {"database_id": target.database_id, **source, "type": kind, kind: details}

    def _rollup(self, source: DataSource, prop: Property) -> dict[str, Any]:
        """Say what a rollup is over; of what was removed since, only the id is left."""
        relation = source.properties.get(prop.config["relation"])
        related = self._workspace.data_sources.get(relation.config["data_source_id"]) if relation else None
        target = related.properties.get(prop.config["property"]) if related else None
        return {
            "function": prop.config["function"],
            "relation_property_name": relation and relation.name,
            "relation_property_id": _spelled_id(prop.config["relation"]),
            "rollup_property_name": target and target.name,
            "rollup_property_id": _spelled_id(prop.config["property"]),
        }


def shown_id(prop: Property) -> str:
    """Return a property's id as the API spells it: by JavaScript's encodeURIComponent, which leaves these bare."""
    return _spelled_id(prop.id)


def _spelled_id(identifier: str) -> str:
    return quote(identifier, safe="!'()*~")


def title_of(row: Row) -> str:
    """Return what search looks in."""
    return plain_text(row.values.get("title", [])) if isinstance(row, Page) else row.title


def _cut(type_name: str, value: Any) -> Any:
    if type_name in ("title", "rich_text"):
        return up_to_mentions(value, MOST_REFERENCES)
    return value[:MOST_REFERENCES] if type_name in ("people", "relation") else value


def _partial_user(identifier: str) -> dict[str, str]:
    return {"object": "user", "id": identifier}


def _stamps(item: DataSource) -> dict[str, str]:
    return {"created_time": spelled(item.created), "last_edited_time": spelled(item.edited)}


def _addresses(identifier: str, title: str = "") -> Mapping[str, str | None]:
    """Return where an object is shown; a page's address begins with the words of its title (in the same cassettes)."""
    slug = "-".join([*re.findall("[A-Za-z0-9]+", title), identifier.replace("-", "")])
    return {"url": f"https://app.notion.com/p/{slug}", "public_url": None}
