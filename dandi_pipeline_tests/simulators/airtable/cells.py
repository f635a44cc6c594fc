"""What the API shows in a cell at this moment: stored values, live computed ones, and newly signed attachments."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from .field_types import LIVE_TYPES, as_text
from .formula import FormulaError, Value
from .instants import spelled, understood
from .model import Cell, Field, Record, Table, is_empty

if TYPE_CHECKING:
    from .world import World

ATTACHMENT_LIFE = timedelta(hours=2)
"""How long the URL of an attachment is good for."""

_FILES = "https://v5.airtableusercontent.com/v3/u/29/29"
_THUMBNAILS = {"small": 36, "large": 512, "full": 3000}


def shown_cells(world: World, table: Table, record: Record, fields: Iterable[Field]) -> dict[str, Cell]:
    """Return the cells of these fields by field id, empty ones left out."""
    shown = {field.id: shown_cell(world, table, record, field) for field in fields}
    return {field_id: value for field_id, value in shown.items() if not is_empty(value)}


def shown_cell(world: World, table: Table, record: Record, field: Field) -> Cell:
    """Return one cell; None if it is empty, as it is in every field whose formula is invalid."""
    if field.options.get("isValid") is False:
        return None
    if field.type in LIVE_TYPES:
        return _LIVE[field.type](world, table, record, field)
    value = record.cells.get(field.id)
    if field.type == "multipleAttachments" and value:
        return [_signed(world, attachment) for attachment in value]
    return value


def modified(world: World, record: Record, field_ids: Sequence[str] = ()) -> datetime | None:
    """When a user last edited any of these fields (none given: any at all) since the record was created.

    Of records that nobody has edited, blank or the time of creation, as the world is set.
    """
    times = [at for field_id, at in record.edits.items() if not field_ids or field_id in field_ids]
    if times:
        return max(times)
    return None if world.blank_when_never_edited else record.created


def without_signatures(value: Cell) -> Cell:
    """Return a cell without what changes at each reading: attachments' `url`, also in their thumbnails.

    An attachment is told by its id; those that a lookup shows count too. The URL of a button stays.
    """
    if isinstance(value, list):
        return [without_signatures(item) for item in value]
    if not (isinstance(value, dict) and str(value.get("id", "")).startswith("att")):
        return value
    kept = {key: part for key, part in value.items() if key != "url"}
    if "thumbnails" in kept:
        sizes = kept["thumbnails"].items()
        kept["thumbnails"] = {size: {k: v for k, v in picture.items() if k != "url"} for size, picture in sizes}
    return kept


class RecordSubject:
    """A record as formulas and sorting see it."""

    def __init__(self, world: World, table: Table, record: Record) -> None:
        self._world = world
        self._table = table
        self._record = record

    @property
    def record_id(self) -> str:
        return self._record.id

    @property
    def created(self) -> datetime:
        return self._record.created

    def modified(self, field_ids: Sequence[str]) -> datetime | None:
        return modified(self._world, self._record, field_ids)

    def value(self, field_id: str) -> Value:
        field = self._table.fields[field_id]
        cell = shown_cell(self._world, self._table, self._record, field)
        if isinstance(cell, dict) and ("error" in cell or "specialValue" in cell):
            raise FormulaError(f"{field.name} is an error")
        if is_empty(cell):
            return None
        if _holds_instants(field):
            return understood(cell)
        if isinstance(cell, bool | int | float | str):
            return cell
        if field.type == "multipleRecordLinks":
            return ", ".join(self._linked_names(field, cell))
        return as_text(cell)

    def _linked_names(self, field: Field, record_ids: Sequence[str]) -> list[str]:
        linked = self._world.table(field.options["linkedTableId"])
        primary = linked.fields[linked.primary_field_id]
        return [as_text(shown_cell(self._world, linked, linked.records[name], primary)) for name in record_ids]


def _holds_instants(field: Field) -> bool:
    result = field.options.get("result") or {}
    return {field.type, result.get("type")} & {"date", "dateTime", "createdTime", "lastModifiedTime"} != set()


def _spelled_for(field: Field, instant: datetime | None) -> str | None:
    """Return an instant as the field displays it: a field without a time of day shows the date alone."""
    if instant is None:
        return None
    is_day = (field.options.get("result") or {}).get("type") == "date"
    return instant.date().isoformat() if is_day else spelled(instant)


def _last_modified(world: World, table: Table, record: Record, field: Field) -> Cell:
    return _spelled_for(field, modified(world, record, field.options.get("referencedFieldIds") or ()))


def _user(world: World, user_id: str | None) -> Cell:
    return None if user_id is None else {"id": user_id, **world.users.get(user_id, {})}


def _linked(world: World, table: Table, record: Record, field: Field) -> tuple[Table, list[Record]] | None:
    link = table.fields.get(field.options.get("recordLinkFieldId", ""))
    if link is None or link.type != "multipleRecordLinks":
        return None
    linked = world.table(link.options["linkedTableId"])
    return linked, [linked.records[record_id] for record_id in record.cells.get(link.id, [])]


def _count(world: World, table: Table, record: Record, field: Field) -> Cell:
    linked = _linked(world, table, record, field)
    return None if linked is None else len(linked[1])


def _lookup(world: World, table: Table, record: Record, field: Field) -> Cell:
    linked = _linked(world, table, record, field)
    wanted = linked and linked[0].fields.get(field.options.get("fieldIdInLinkedTable", ""))
    if not linked or not wanted:
        return None
    cells = [shown_cell(world, linked[0], other, wanted) for other in linked[1]]
    lists = [cell if isinstance(cell, list) else [cell] for cell in cells if not is_empty(cell)]
    return [item for items in lists for item in items]


def _signed(world: World, attachment: Mapping[str, Any]) -> dict[str, Any]:
    world.readings += 1
    expires = int((world.clock.now() + ATTACHMENT_LIFE).replace(tzinfo=timezone.utc).timestamp() * 1000)

    def url(part: str) -> str:
        mark = f"{world.seed} {world.readings} {attachment['id']} {part}"
        return f"{_FILES}/{expires}/{hashlib.blake2b(mark.encode(), digest_size=16).hexdigest()}"

    signed = {**attachment, "url": url("file")}
    if "width" in attachment:
        signed["thumbnails"] = {
            name: {"url": url(name), "width": size, "height": size} for name, size in _THUMBNAILS.items()
        }
    return signed


_LIVE: Mapping[str, Callable[[World, Table, Record, Field], Cell]] = {
    "createdTime": lambda world, table, record, field: _spelled_for(field, record.created),
    "lastModifiedTime": _last_modified,
    "createdBy": lambda world, table, record, field: _user(world, record.creator),
    "lastModifiedBy": lambda world, table, record, field: _user(world, record.editor),
    "autoNumber": lambda world, table, record, field: record.number,
    "count": _count,
    "multipleLookupValues": _lookup,
}
