"""Property values that pages keep: from what an operation is given, and into what the API shows.

Computed types are `computed`'s; types that nobody knows keep and show any JSON.
"""

from collections.abc import Callable, Mapping
from typing import Any

from .records import TITLE, Connection, Property, Refused, User
from .rich_text import plain_text, rich_text
from .workspace import Workspace

COMPUTED = frozenset(
    {"formula", "rollup", "unique_id", "created_time", "created_by", "last_edited_time", "last_edited_by"}
)
"""Types that nobody can write."""
LISTS = frozenset({"title", "rich_text", "people", "files", "relation", "multi_select"})
"""Types whose empty value is an empty list."""
OPTION_TYPES = frozenset({"select", "multi_select", "status"})
_COLORS = ("default", "gray", "brown", "orange", "yellow", "green", "blue", "purple", "pink", "red")


def empty(type_name: str) -> Any:
    """Return what a property of this type holds until it is given something."""
    if type_name in LISTS:
        return []
    return {"checkbox": False, "button": {}}.get(type_name)


def stored(workspace: Workspace, prop: Property, given: Any) -> Any:
    """Return what a page keeps for a given value.

    Texts are words or segments (see `rich_text`), options are names, dates are a start or `{"start", "end"}`,
    people and relations are lists of ids, files are `{"name": …}` if Notion keeps them or `{"name": …, "url": …}`.
    """
    if prop.type in COMPUTED:
        raise Refused(f"{prop.name} is computed and cannot be written")
    if given is None:
        return empty(prop.type)
    store = _STORE.get(prop.type)
    return store(workspace, prop, given) if store else given


def shown(workspace: Workspace, connection: Connection, prop: Property, value: Any) -> Any:
    """Return what the API says under the type's name, complete."""
    show = _SHOW.get(prop.type)
    return show(workspace, connection, prop, value) if show else value


def user_view(user: User, connection: Connection) -> dict[str, Any]:
    """Return a user as this connection may see it."""
    if user.kind == "group":
        return {"object": "group", "id": user.id, "name": user.name}
    partial = {"object": "user", "id": user.id}
    if not connection.sees_user_details:
        return partial
    details = {"email": user.email} if user.kind == "person" else {}
    return partial | {"name": user.name, "avatar_url": None, "type": user.kind, user.kind: details}


def option_id(workspace: Workspace, prop: Property, name: str) -> str:
    """Return the id of a property's option; one that is not there yet is added, except to a status."""
    for option in prop.config["options"]:
        if option["name"] == name:
            return str(option["id"])
    if prop.type == "status":
        raise Refused(f"{prop.name} has no status {name!r}")
    color = _COLORS[len(prop.config["options"]) % len(_COLORS)]
    option = {"id": workspace.new_id(), "name": name, "color": color, "description": None}
    prop.config["options"].append(option)
    return str(option["id"])


def converted(workspace: Workspace, before: Property, after: Property, value: Any) -> Any:
    """Return what becomes of a value when its property changes its type: what can be said in words survives."""
    text = _in_words(before, value)
    if text is None or after.type in COMPUTED:
        return empty(after.type)
    if after.type == "number":
        return _number(text)
    if after.type in ("rich_text", "select"):
        return stored(workspace, after, text)
    if after.type == "multi_select":
        return stored(workspace, after, [text])
    return text if after.type in ("url", "email", "phone_number") else empty(after.type)


def _in_words(prop: Property, value: Any) -> str | None:
    if prop.type == "rich_text":
        return plain_text(value) or None
    if prop.type == "select" and value:
        return str(_option(prop, value)["name"])
    if prop.type in ("number", "url", "email", "phone_number") and value is not None:
        return str(value)
    return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _option(prop: Property, identifier: str) -> dict[str, Any]:
    option = next(option for option in prop.config["options"] if option["id"] == identifier)
    return {name: option[name] for name in ("id", "name", "color")}


def _store_text(workspace: Workspace, prop: Property, given: Any) -> Any:
    return rich_text(given)


def _store_option(workspace: Workspace, prop: Property, given: Any) -> Any:
    return option_id(workspace, prop, given)


def _store_options(workspace: Workspace, prop: Property, given: Any) -> Any:
    return [option_id(workspace, prop, name) for name in given]


def _store_date(workspace: Workspace, prop: Property, given: Any) -> Any:
    date = {"start": given} if isinstance(given, str) else given
    return {"start": None, "end": None, "time_zone": None, **date}


def _store_relation(workspace: Workspace, prop: Property, given: Any) -> Any:
    for identifier in given:
        if identifier not in workspace.pages:
            raise Refused(f"there is no page {identifier} to relate to")
    return list(given)


def _store_people(workspace: Workspace, prop: Property, given: Any) -> Any:
    for identifier in given:
        if identifier not in workspace.users:
            raise Refused(f"there is no user {identifier}")
    return list(given)


def _show_option(workspace: Workspace, connection: Connection, prop: Property, value: Any) -> Any:
    return _option(prop, value) if value else None


def _show_options(workspace: Workspace, connection: Connection, prop: Property, value: Any) -> Any:
    return [_option(prop, identifier) for identifier in value]


def _show_people(workspace: Workspace, connection: Connection, prop: Property, value: Any) -> Any:
    return [user_view(workspace.users[identifier], connection) for identifier in value]


def _show_files(workspace: Workspace, connection: Connection, prop: Property, value: Any) -> Any:
    return [_file(workspace, item) for item in value]


def _file(workspace: Workspace, item: Mapping[str, str]) -> dict[str, Any]:
    if "url" in item:
        return {"name": item["name"], "type": "external", "external": {"url": item["url"]}}
    return {"name": item["name"], "type": "file", "file": workspace.sign(item["name"])}


def _show_relation(workspace: Workspace, connection: Connection, prop: Property, value: Any) -> Any:
    return [{"id": identifier} for identifier in value]


def _show_text(workspace: Workspace, connection: Connection, prop: Property, value: Any) -> Any:
    """Return the segments, those that mention a page with its title at this moment as their words."""
    return [_mentioning(workspace, connection, segment) for segment in value]


def _mentioning(workspace: Workspace, connection: Connection, segment: dict[str, Any]) -> dict[str, Any]:
    page_id = segment.get("mention", {}).get("page", {}).get("id")
    if page_id is None:
        return segment
    page = workspace.pages.get(page_id)
    title = plain_text(page.values.get(TITLE, [])) if page and workspace.sees(connection, page_id) else ""
    return {**segment, "plain_text": title or "Untitled"}


_STORE: Mapping[str, Callable[[Workspace, Property, Any], Any]] = {
    "title": _store_text,
    "rich_text": _store_text,
    "select": _store_option,
    "status": _store_option,
    "multi_select": _store_options,
    "date": _store_date,
    "relation": _store_relation,
    "people": _store_people,
}
_SHOW: Mapping[str, Callable[[Workspace, Connection, Property, Any], Any]] = {
    "title": _show_text,
    "rich_text": _show_text,
    "select": _show_option,
    "status": _show_option,
    "multi_select": _show_options,
    "people": _show_people,
    "files": _show_files,
    "relation": _show_relation,
}
