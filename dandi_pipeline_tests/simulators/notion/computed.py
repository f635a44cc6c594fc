"""Computes a page's values: formulas, rollups, and what Notion itself keeps of a page.

A page object's inputs stop at 25 references, so a sum over more of them is wrong there, as the real one's is; the
property item endpoint sees all (`reach=None`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import formulas, values
from .records import Connection, Page, Property
from .rich_text import plain_text
from .workspace import Workspace, find_property, minute

MOST_REFERENCES = 25
_DEEPEST = 8
"""Formulas over rollups over formulas are followed so far, then unsupported: two sources may point at each other."""

_UNSUPPORTED = {"type": "unsupported", "unsupported": {}}


class Computer:
    """Computes values as one connection sees them, from the first `reach` references of each relation."""

    def __init__(self, workspace: Workspace, connection: Connection, reach: int | None = MOST_REFERENCES) -> None:
        self._workspace = workspace
        self._connection = connection
        self._reach = reach

    def value(self, page: Page, prop: Property, depth: int = 0) -> Any:
        """Return what the API says under the type's name, complete but for the reach of what is computed."""
        if prop.type == "formula":
            return self._formula(page, prop, depth)
        if prop.type == "rollup":
            return self._rollup(page, prop, depth)
        if prop.type in values.COMPUTED:
            return _kept(page, prop)
        held = page.values.get(prop.id, values.empty(prop.type))
        return values.shown(self._workspace, self._connection, prop, held)

    def rolled_up(self, page: Page, prop: Property, depth: int = 0) -> list[dict[str, Any]] | None:
        """Return the values that a rollup looks at, each with its type; None if what it refers to is gone."""
        relation = self._workspace.schema(page).get(prop.config["relation"])
        if relation is None or relation.type != "relation":
            return None
        related = [self._workspace.row(identifier) for identifier in page.values.get(relation.id, [])[: self._reach]]
        return [
            {"type": target.type, target.type: self.value(other, target, depth + 1)}
            for other in related
            if isinstance(other, Page)
            and (target := self._workspace.schema(other).get(prop.config["property"])) is not None
        ]

    def _rollup(self, page: Page, prop: Property, depth: int) -> dict[str, Any]:
        found = None if depth > _DEEPEST else self.rolled_up(page, prop, depth)
        return aggregate(prop.config["function"], found)

    def _formula(self, page: Page, prop: Property, depth: int) -> dict[str, Any]:
        if depth > _DEEPEST:
            return dict(_UNSUPPORTED)

        def look_up(name: str) -> Any:
            used = find_property(self._workspace.schema(page), name)
            if used is None:
                raise KeyError(name)
            value = self.value(page, used, depth + 1)
            if used.type in ("formula", "rollup") and value["type"] == "unsupported":
                raise KeyError(name)
            return scalar({"type": used.type, used.type: value})

        return formulas.evaluate(prop.config["expression"], look_up)


def scalar(typed: Mapping[str, Any]) -> Any:
    """Return the number, text, truth value or date in a typed value, or None."""
    value = typed[typed["type"]]
    if typed["type"] in ("formula", "rollup"):
        return None if value["type"] in ("unsupported", "array") else value[value["type"]]
    if typed["type"] in ("title", "rich_text"):
        return plain_text(value)
    if typed["type"] in ("select", "status"):
        return value and value["name"]
    return value


def aggregate(function: str, found: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    """Return a rollup's value over typed values; unsupported if there is nothing to look at, or no such function."""
    if function == "show_original" and found is not None:
        return {"type": "array", "array": list(found), "function": function}
    if found is None or function not in _FUNCTIONS:
        return {**_UNSUPPORTED, "function": function}
    type_name, compute = _FUNCTIONS[function]
    return {"type": type_name, type_name: compute([scalar(typed) for typed in found]), "function": function}


def _kept(page: Page, prop: Property) -> Any:
    if prop.type == "unique_id":
        return {"prefix": prop.config["prefix"], "number": page.number}
    instant, user = (page.created, page.author) if prop.type.startswith("created") else (page.edited, page.editor)
    return spelled(instant) if prop.type.endswith("_time") else {"object": "user", "id": user}


def spelled(instant: Any) -> str:
    """Return a time as the API says it: to the minute, rounded down."""
    return f"{minute(instant):%Y-%m-%dT%H:%M:%S}.000Z"


def _numbers(found: Sequence[Any]) -> list[float]:
    return [value for value in found if isinstance(value, int | float) and not isinstance(value, bool)]


def _average(found: Sequence[Any]) -> float | None:
    numbers = _numbers(found)
    return sum(numbers) / len(numbers) if numbers else None


def _dates(found: Sequence[Any]) -> list[dict[str, Any]]:
    return sorted((value for value in found if isinstance(value, dict)), key=lambda date: str(date["start"]))


_FUNCTIONS: Mapping[str, tuple[str, Callable[[Sequence[Any]], Any]]] = {
    "count": ("number", len),
    "count_values": ("number", lambda found: sum(value not in (None, "", []) for value in found)),
    "sum": ("number", lambda found: sum(_numbers(found))),
    "average": ("number", _average),
    "min": ("number", lambda found: min(_numbers(found), default=None)),
    "max": ("number", lambda found: max(_numbers(found), default=None)),
    "earliest_date": ("date", lambda found: next(iter(_dates(found)), None)),
    "latest_date": ("date", lambda found: next(reversed(_dates(found)), None)),
}
