"""The workspace that tests change: every operation that its people, or the owner of the connection, could do.

What moves `last_edited_time`: an edit of the page's own values or of its icon. What does not: a rollup or formula that
changes because of another page, the title of a page that is mentioned, the other side of a two-way relation, any
change of the schema, the page's body, the trash, the archive and sharing. Where Notion is silent on one of these, not
moving is the harder case.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

from dandi_pipeline_tests.simulators.clock import Clock

from . import formulas, values
from .records import TITLE, Connection, Database, DataSource, Page, Property, Refused, User
from .snapshot import COMPLETED, Snapshot, take_snapshot
from .versions import LATEST
from .workspace import Workspace

TOKEN = "ntn_simulated"
"""The token that every world accepts."""

OPERATIONS: set[str] = set()
"""The names of all operations of `World`, which the control API offers."""

Method = TypeVar("Method", bound=Callable[..., Any])

_ID_LENGTH = 4
_ID_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" + "!'()*~-_.:;<>%@|{}^?/\\&=+#$,[]`\" "
"""Any printable ASCII: airbytehq/airbyte's expected records of source-notion have `'i6%2F` and `F%5D)%3F`."""


def operation(function: Method) -> Method:
    """Make a method an operation: it is done under the lock, and can be asked for by name."""
    OPERATIONS.add(function.__name__)

    @wraps(function)
    def locked(world: "World", *arguments: Any, **options: Any) -> Any:
        with world.lock:
            return function(world, *arguments, **options)

    return cast(Method, locked)


class World(Workspace):
    """A workspace with one person, one connection (`TOKEN`) that sees everything, and one page to put databases on."""

    def __init__(self, *, seed: int = 0, clock: Clock | None = None) -> None:
        super().__init__(seed=seed, clock=clock)
        self.author = self.add_user("Ada", email="ada@example.org")
        self.connect("Mirror", token=TOKEN)
        self.home = self._new_page(None, "Home", self.author.id)

    def snapshot(
        self, token: str | None = None, *, version: str = LATEST, complete: frozenset[str] = COMPLETED
    ) -> Snapshot:
        """Return what a perfect mirror would hold; see `snapshot` for its shape."""
        with self.lock:
            return take_snapshot(self, self.connections[token or TOKEN], version, complete)

    # People and connections

    @operation
    def add_user(self, name: str, *, email: str | None = None, group: bool = False) -> User:
        user = User(self.new_id(), name, "group" if group else "person", email)
        self.users[user.id] = user
        return user

    @operation
    def connect(self, name: str, *, token: str, sees_user_details: bool = True) -> Connection:
        """Let another token in; it sees everything until something is unshared."""
        bot = User(self.new_id(), name, "bot")
        self.users[bot.id] = bot
        self.connections[token] = Connection(token, bot, sees_user_details)
        return self.connections[token]

    @operation
    def unshare(self, object_id: str, *, token: str | None = None) -> None:
        """Hide a database, data source or page, with all that lies in it, from one token or from all."""
        self._require(object_id)
        for connection in self._connections(token):
            connection.hidden.add(object_id)

    @operation
    def share(self, object_id: str, *, token: str | None = None) -> None:
        """Undo `unshare`."""
        self._require(object_id)
        for connection in self._connections(token):
            connection.hidden.discard(object_id)

    @operation
    def hide_from_search(self, object_id: str) -> None:
        """Leave an object out of search, as one that is not indexed yet or not shared directly."""
        self._require(object_id)
        self.unindexed.add(object_id)

    @operation
    def show_in_search(self, object_id: str) -> None:
        self.unindexed.discard(object_id)

    # Databases and data sources

    @operation
    def add_database(self, title: str, *, identifier: str | None = None) -> Database:
        now = self.clock.now()
        database = Database(identifier or self.new_id(), title, self.home.id, now, now)
        self.databases[database.id] = database
        return database

    @operation
    def add_data_source(
        self,
        title: str,
        *,
        database_id: str | None = None,
        properties: Mapping[str, str | Mapping[str, Any]] | None = None,
        identifier: str | None = None,
    ) -> DataSource:
        """Add a data source, by default to a database of its own; each property is a type or what `add_property` takes.

        It always has the title property `Name`.
        """
        database = self.databases[database_id] if database_id else self.add_database(title)
        now = self.clock.now()
        source = DataSource(identifier or self.new_id(), database.id, title, self.author.id, now, now)
        source.properties[TITLE] = Property(TITLE, "Name", "title", {})
        self.data_sources[source.id] = source
        database.data_source_ids.append(source.id)
        for name, given in (properties or {}).items():
            details = {"type": given} if isinstance(given, str) else dict(given)
            self.add_property(source.id, name, details.pop("type"), **details)
        return source

    @operation
    def rename_data_source(self, data_source_id: str, title: str) -> DataSource:
        source = self.data_sources[data_source_id]
        source.title, source.edited = title, self.clock.now()
        return source

    @operation
    def trash_data_source(self, data_source_id: str) -> DataSource:
        """Put a data source in the trash: it still answers, and so do its queries as before."""
        self.data_sources[data_source_id].in_trash = True
        return self.data_sources[data_source_id]

    @operation
    def restore_data_source(self, data_source_id: str) -> DataSource:
        self.data_sources[data_source_id].in_trash = False
        return self.data_sources[data_source_id]

    @operation
    def put_in_wiki(self, data_source_id: str, child_id: str) -> None:
        """Make a data source a row of another one, which is a wiki's from then on."""
        if child_id not in self.data_sources or child_id == data_source_id:
            raise Refused(f"{child_id} cannot be a row of {data_source_id}")
        self.data_sources[data_source_id].child_ids.append(child_id)

    # Properties

    @operation
    def add_property(self, data_source_id: str, name: str, type_name: str, **details: Any) -> Property:
        """Add a property. Types that nobody knows are allowed.

        Options of selects and statuses: `options=[names]`. A relation: `to=data_source_id`, two-way with
        `twin=name`. A rollup: `relation=name, target=name, function=…`. A formula: `expression=…`. A unique id:
        `prefix=…`. Anything else is the type's configuration.
        """
        source = self.data_sources[data_source_id]
        self._require_free(source, name)
        prop = Property(self._property_id(), name, type_name, {})
        prop.config = self._configuration(source, prop, details)
        source.properties[prop.id] = prop
        return prop

    @operation
    def rename_property(self, data_source_id: str, name: str, new_name: str) -> Property:
        """Rename a property, and with it its mentions in formulas; its id stays."""
        source = self.data_sources[data_source_id]
        prop = self.property_of(source, name)
        self._require_free(source, new_name)
        for other in source.properties.values():
            if other.type == "formula":
                other.config["expression"] = formulas.renamed(other.config["expression"], prop.name, new_name)
        prop.name = new_name
        return prop

    @operation
    def retype_property(self, data_source_id: str, name: str, type_name: str, **details: Any) -> Property:
        """Change a property's type; its id stays, and values that can be said in words are converted."""
        source = self.data_sources[data_source_id]
        before = self.property_of(source, name)
        if "title" in (before.type, type_name):
            raise Refused("a data source has exactly one title")
        after = Property(before.id, before.name, type_name, {})
        after.config = self._configuration(source, after, details)
        source.properties[after.id] = after
        for page in self._pages_of(source):
            if before.id in page.values:
                page.values[after.id] = values.converted(self, before, after, page.values[before.id])
        return after

    @operation
    def remove_property(self, data_source_id: str, name: str) -> None:
        source = self.data_sources[data_source_id]
        prop = self.property_of(source, name)
        if prop.type == "title":
            raise Refused("the title cannot be removed")
        del source.properties[prop.id]
        for page in self._pages_of(source):
            page.values.pop(prop.id, None)

    @operation
    def rename_option(self, data_source_id: str, name: str, option: str, new_option: str) -> None:
        """Rename an option of a select or status: every page that has it says the new name, and moves no timestamp."""
        prop = self.property_of(self.data_sources[data_source_id], name)
        identifier = values.option_id(self, prop, option)
        for known in prop.config["options"]:
            if known["id"] == identifier:
                known["name"] = new_option

    # Pages

    @operation
    def add_page(
        self,
        data_source_id: str | None,
        properties: Mapping[str, Any],
        *,
        by: str | None = None,
        identifier: str | None = None,
        cover_file: str | None = None,
    ) -> Page:
        """Add a page to a data source, or one on its own (None, with `{"title": …}`); see `values.stored`."""
        page = self._new_page(data_source_id, None, by or self.author.id, identifier)
        page.cover_file = cover_file
        self._write(page, properties)
        return page

    @operation
    def edit_page(
        self,
        page_id: str,
        properties: Mapping[str, Any] | None = None,
        *,
        by: str | None = None,
        emoji: str | None = None,
    ) -> Page:
        """Give some properties other values, or the page another icon."""
        page = self.pages[page_id]
        self._write(page, properties or {})
        if emoji:
            page.icon = {"type": "emoji", "emoji": emoji}
        page.edited, page.editor = self.clock.now(), by or self.author.id
        return page

    @operation
    def write_body(self, page_id: str, paragraphs: Sequence[str]) -> Page:
        page = self.pages[page_id]
        page.paragraphs = list(paragraphs)
        return page

    @operation
    def trash_page(self, page_id: str) -> Page:
        """Put a page in the trash: no query shows it, but asked for by its id it is still there."""
        self.pages[page_id].in_trash = True
        return self.pages[page_id]

    @operation
    def restore_page(self, page_id: str) -> Page:
        self.pages[page_id].in_trash = False
        return self.pages[page_id]

    @operation
    def archive_page(self, page_id: str) -> Page:
        """Archive a page as people do in the app, which is not the trash: queries show it only when asked to."""
        self.pages[page_id].is_archived = True
        return self.pages[page_id]

    @operation
    def unarchive_page(self, page_id: str) -> Page:
        self.pages[page_id].is_archived = False
        return self.pages[page_id]

    @operation
    def delete_page(self, page_id: str) -> None:
        """Delete a page for good: not even its id is known any more."""
        page = self.pages.pop(page_id)
        if page.data_source_id:
            del self.data_sources[page.data_source_id].page_ids[page_id]

    # How it is done

    def _connections(self, token: str | None) -> list[Connection]:
        return [self.connections[token]] if token else list(self.connections.values())

    def _require(self, object_id: str) -> None:
        if not any(object_id in known for known in (self.databases, self.data_sources, self.pages)):
            raise Refused(f"there is no object {object_id}")

    def _require_free(self, source: DataSource, name: str) -> None:
        if any(prop.name == name for prop in source.properties.values()):
            raise Refused(f"{source.title} has a property {name!r} already")

    def _property_id(self) -> str:
        return "".join(self.chance.choices(_ID_LETTERS, k=_ID_LENGTH))

    def _pages_of(self, source: DataSource) -> list[Page]:
        return [self.pages[identifier] for identifier in source.page_ids]

    def _new_page(self, source_id: str | None, title: str | None, author: str, identifier: str | None = None) -> Page:
        now, number = self.clock.now(), 0
        page_id = identifier or self.new_id()
        if source_id:
            source = self.data_sources[source_id]
            source.last_number += 1
            source.page_ids[page_id] = None
            number = source.last_number
        page = Page(page_id, source_id, author, author, now, now, number)
        self.pages[page.id] = page
        if title:
            self._write(page, {TITLE: title})
        return page

    def _write(self, page: Page, properties: Mapping[str, Any]) -> None:
        """Give a page all of the values, or none if one of them is refused."""
        schema = self.schema(page)
        named = {name: _named(schema, name) for name in properties}
        written = [(prop, values.stored(self, prop, properties[name])) for name, prop in named.items()]
        for prop, value in written:
            if prop.type == "relation":
                self._write_other_side(page, prop, value)
            page.values[prop.id] = value

    def _write_other_side(self, page: Page, prop: Property, now_related: Sequence[str]) -> None:
        """Make the pages of a two-way relation say so too; their timestamps do not move."""
        twin = self.data_sources[prop.config["data_source_id"]].properties.get(prop.config["twin"] or "")
        if twin is None or twin.type != "relation":
            return
        before = page.values.get(prop.id, [])
        for identifier in {*before, *now_related} & self.pages.keys():
            other = self.pages[identifier]
            others = [related for related in other.values.get(twin.id, []) if related != page.id]
            other.values[twin.id] = [*others, page.id] if identifier in now_related else others

    def _configuration(self, source: DataSource, prop: Property, details: dict[str, Any]) -> dict[str, Any]:
        if prop.type in values.OPTION_TYPES:
            default = ["Not started", "Done"] if prop.type == "status" else []
            return self._options(prop.type, details.get("options", default))
        if prop.type == "relation":
            return self._relation(source, prop, details)
        if prop.type == "rollup":
            return self._rollup(source, details)
        defaults: dict[str, dict[str, Any]] = {"number": {"format": "number"}, "unique_id": {"prefix": None}}
        return {**defaults.get(prop.type, {}), **details}

    def _options(self, type_name: str, names: Sequence[str]) -> dict[str, Any]:
        options = [{"id": self.new_id(), "name": name, "color": "default", "description": None} for name in names]
        if type_name != "status":
            return {"options": options}
        group = {"id": self.new_id(), "name": "To-do", "color": "gray", "option_ids": [each["id"] for each in options]}
        return {"options": options, "groups": [group]}

    def _relation(self, source: DataSource, prop: Property, details: dict[str, Any]) -> dict[str, Any]:
        target = self.data_sources[details["to"]]
        if "twin" not in details:
            return {"data_source_id": target.id, "twin": None}
        other = Property(self._property_id(), details["twin"], "relation", {})
        other.config = {"data_source_id": source.id, "twin": prop.id}
        target.properties[other.id] = other
        return {"data_source_id": target.id, "twin": other.id}

    def _rollup(self, source: DataSource, details: dict[str, Any]) -> dict[str, Any]:
        relation = self.property_of(source, details["relation"])
        target = self.property_of(self.data_sources[relation.config["data_source_id"]], details["target"])
        return {"relation": relation.id, "property": target.id, "function": details.get("function", "show_original")}


def _named(schema: Mapping[str, Property], name: str) -> Property:
    for prop in schema.values():
        if prop.name == name:
            return prop
    raise Refused(f"there is no property {name!r}")
