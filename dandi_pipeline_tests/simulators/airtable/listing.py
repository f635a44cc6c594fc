"""Lists a table's records: what may be asked, who is in the list and in which order, and its pages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .cells import RecordSubject, shown_cells
from .formula import Formula, FormulaError, Value
from .formula_syntax import InvalidFormula
from .instants import spelled
from .model import Field, Record, Table, View
from .refusals import Refusal, invalid, invalid_formula, unknown_field

if TYPE_CHECKING:
    from .iterators import Iterators
    from .world import World

LARGEST_PAGE = 100

_SORT = re.compile(r"sort\[(\d+)\]\[(field|direction)\]")
_LIST = re.compile(r"(fields|recordMetadata)\[\d*\]")


@dataclass(frozen=True)
class Question:
    """What is asked of a table, apart from which page of it; fields by ids."""

    fields: tuple[str, ...] | None = None
    sort: tuple[tuple[str, bool], ...] = ()
    formula: str | None = None
    view: str | None = None
    max_records: int | None = None
    by_id: bool = False
    with_comments: bool = False


def body_of_query(query: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the parameters of a GET as the body of the equivalent POST."""
    body: dict[str, Any] = {}
    sorts: dict[int, dict[str, str]] = {}
    for name, value in query:
        if match := _SORT.fullmatch(name):
            sorts.setdefault(int(match[1]), {})[match[2]] = value
        elif match := _LIST.fullmatch(name):
            body.setdefault(match[1], []).append(value)
        else:
            body[name] = value
    if sorts:
        body["sort"] = [sorts[number] for number in sorted(sorts)]
    return body


def list_page(world: World, iterators: Iterators, table: Table, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a page of the list: membership and order as at its first page, values as they are now."""
    question, size = _question(table, body), _size(body)
    if "offset" in body:
        iterator, start = iterators.resume(str(body["offset"]), (table.id, question))
    else:
        record_ids = [record.id for record in _chosen(world, table, question)][: question.max_records]
        iterator, start = iterators.open(world.new_id("itr"), (table.id, question), record_ids), 0
    end = min(start + size, len(iterator.record_ids))
    there = [table.records[name] for name in iterator.record_ids[start:end] if name in table.records]
    page: dict[str, Any] = {"records": [shown_record(world, table, record, question) for record in there]}
    if end < len(iterator.record_ids):
        page["offset"] = iterator.offset_after(end)
    return page


def shown_record(world: World, table: Table, record: Record, question: Question) -> dict[str, Any]:
    """Return a record as a list or a single request shows it."""
    ids = table.fields if question.fields is None else question.fields
    cells = shown_cells(world, table, record, (table.fields[field_id] for field_id in ids))
    if not question.by_id:
        cells = {table.fields[field_id].name: value for field_id, value in cells.items()}
    comments = {"commentCount": record.comments} if question.with_comments else {}
    return {"id": record.id, "createdTime": spelled(record.created), **comments, "fields": cells}


def _question(table: Table, body: Mapping[str, Any]) -> Question:
    """Understand what is asked; a `Refusal` names the first thing that cannot be."""
    unknown = body.keys() - _READERS.keys() - _APART
    if unknown:
        raise invalid(f"unknown parameter {min(unknown)!r}")
    question = Question()
    for name in sorted(body.keys() & _READERS.keys()):
        question = replace(question, **_READERS[name](table, body[name]))
    _formula(table, question.formula)
    return question


def _size(body: Mapping[str, Any]) -> int:
    size = _count("pageSize", body.get("pageSize", LARGEST_PAGE))
    if size > LARGEST_PAGE:
        raise invalid(f"pageSize must be from 1 to {LARGEST_PAGE}")
    return size


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"[1-9]\d*", str(value), re.ASCII):
        raise invalid(f"{name} must be a positive number")
    return int(str(value))


def _list(name: str, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise invalid(f"{name} must be a list")
    return value


def _fields(table: Table, keys: Any) -> Mapping[str, Any]:
    return {"fields": tuple(dict.fromkeys(_field_id(table, key) for key in _list("fields", keys)))}


def _sort(table: Table, items: Any) -> Mapping[str, Any]:
    for item in _list("sort", items):
        if not isinstance(item, Mapping) or item.get("direction", "asc") not in ("asc", "desc") or "field" not in item:
            raise invalid("sort takes a field, and asc or desc")
    return {"sort": tuple((_field_id(table, item["field"]), item.get("direction") == "desc") for item in items)}


def _view(table: Table, key: Any) -> Mapping[str, Any]:
    view = table.find_view(str(key))
    if view is None:
        raise Refusal(422, "VIEW_NAME_NOT_FOUND", f"View {key} not found")
    return {"view": view.id}


def _cell_format(table: Table, value: Any) -> Mapping[str, Any]:
    if value != "json":
        raise invalid("cellFormat: only json is simulated")
    return {}


def _metadata(table: Table, names: Any) -> Mapping[str, Any]:
    if set(_list("recordMetadata", names)) - {"commentCount"}:
        raise invalid("recordMetadata takes commentCount only")
    return {"with_comments": "commentCount" in names}


_READERS: Mapping[str, Callable[[Table, Any], Mapping[str, Any]]] = {
    "fields": _fields,
    "sort": _sort,
    "filterByFormula": lambda table, text: {"formula": str(text) or None},
    "view": _view,
    "maxRecords": lambda table, value: {"max_records": _count("maxRecords", value)},
    "returnFieldsByFieldId": lambda table, value: {"by_id": value in (True, "true", "1")},
    "recordMetadata": _metadata,
    "cellFormat": _cell_format,
}
_APART = {"pageSize", "offset", "timeZone", "userLocale"}


def _field_id(table: Table, key: object) -> str:
    field = table.find_field(str(key))
    if field is None:
        raise unknown_field(str(key))
    return field.id


def _formula(table: Table, text: str | None) -> Formula | None:
    def field_id(key: str) -> str | None:
        field = table.find_field(key)
        return field.id if field else None

    try:
        return Formula(text, field_id) if text else None
    except InvalidFormula as error:
        raise invalid_formula(str(error)) from None


def _chosen(world: World, table: Table, question: Question) -> list[Record]:
    """Return the records that belong to the list, in its order: arbitrary, unless a view or a sort settles it."""
    view = table.views[question.view] if question.view else None
    records = list(table.records.values()) if view else sorted(table.records.values(), key=_arbitrarily(world))
    for formula in (_formula(table, view.filter if view else None), _formula(table, question.formula)):
        if formula and not (formula.asks_when_modified and table.misfilters):
            records = [record for record in records if formula.holds(RecordSubject(world, table, record))]
    for field_id, descending in reversed(question.sort or _order_of(view)):
        records.sort(key=_sorting(world, table, table.fields[field_id]), reverse=descending)
    return records


def _order_of(view: View | None) -> Sequence[tuple[str, bool]]:
    return [(field_id, False) for field_id in view.sort] if view else []


def _arbitrarily(world: World) -> Callable[[Record], bytes]:
    return lambda record: hashlib.blake2b(f"{world.seed} {record.id}".encode(), digest_size=8).digest()


def _sorting(world: World, table: Table, field: Field) -> Callable[[Record], tuple[int, Any]]:
    """Sort blanks first, errors last, and values of different kinds apart."""
    ranks = {type(None): 0, bool: 1, int: 2, float: 2, datetime: 3, str: 4}

    def key(record: Record) -> tuple[int, Any]:
        try:
            value: Value = RecordSubject(world, table, record).value(field.id)
        except FormulaError:
            return 5, 0
        return ranks[type(value)], 0 if value is None else value

    return key
