"""Turns Notion's JSON into records and shapes; every field is checked here and nowhere else."""

from typing import Any

from dandi_pipeline.http.payload import boolean, instant, mapping, mappings, text
from dandi_pipeline.platforms.canonical import canonical, digest_of
from dandi_pipeline.platforms.contract import Record, RecordKind, Shape, ShapeColumn
from dandi_pipeline.platforms.notion.cells import CELL_TYPES, cell_of, empty_type_of
from dandi_pipeline.platforms.notion.content import Json, content_of

PAGES = "pages"

SCHEMA = RecordKind("schema", PAGES, key=())
PAGE = RecordKind("page", PAGES, key=("page_id",), fingerprint=("last_edited", "in_trash"))


def page_record(page: Json, *, where: str) -> Record:
    """Make a page's record from the JSON that a query or the page itself answers."""
    values = _values(page, where)
    titles = [cell_of(value) for value in values if value.get("type") == "title"]
    cells = {text(value, "id", where=where): cell_of(value) for value in values}
    return Record(
        kind=PAGE,
        key=(text(page, "id", where=where),),
        columns={
            "created": instant(page, "created_time", where=where),
            "last_edited": instant(page, "last_edited_time", where=where),
            "title": next(iter(titles), None),
            "url": text(page, "url", where=where),
            "in_trash": boolean(page, "in_trash", where=where),
            "cells": canonical(
                {cell: value for cell, value in cells.items() if value is not None}, where=where
            ).decode(),
        },
        metadata=canonical(page, where=where).decode(),
        content_hash=digest_of(canonical(content_of(page), where=where)),
    )


def schema_record(data_source: Json, *, where: str) -> Record:
    """Make the record of a data source's schema, which is all that the data source says of itself."""
    return Record(
        kind=SCHEMA,
        key=(),
        columns={"name": title_of(data_source, where=where)},
        metadata=canonical(data_source, where=where).decode(),
        content_hash=digest_of(canonical(content_of(data_source), where=where)),
    )


def shape_of(data_source: Json, *, where: str) -> Shape:
    """Return how the pages of a data source read as a table: the title first, then the properties as they come."""
    properties: list[dict[str, Any]] = [
        mapping(data_source["properties"], name, where=where)
        for name in mapping(data_source, "properties", where=where)
    ]
    columns = [
        ShapeColumn(
            name=text(prop, "name", where=where),
            cell=text(prop, "id", where=where),
            type=CELL_TYPES.get(text(prop, "type", where=where), "json"),
            empty=empty_type_of(prop),
        )
        for prop in sorted(properties, key=lambda prop: prop.get("type") != "title")
    ]
    marks = {"in_trash": True} if is_trashed(data_source) else {}
    return Shape(PAGE, title_of(data_source, where=where) or "untitled", columns, marks)


def is_trashed(data_source: Json) -> bool:
    """Tell whether a data source is in the trash: it may be answered all the same, and its query as ever."""
    return data_source.get("in_trash") is True


def title_of(data_source: Json, *, where: str) -> str:
    """Return what people call a data source; nothing if they never named it."""
    segments = mappings(data_source, "title", where=where)
    return "".join(text(segment, "plain_text", where=where) for segment in segments)


def _values(page: Json, where: str) -> list[dict[str, Any]]:
    properties = mapping(page, "properties", where=where)
    return [mapping(properties, name, where=where) for name in properties]
