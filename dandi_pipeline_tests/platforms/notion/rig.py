"""One simulated workspace and one mirror of it, synced by the real engine over the real socket."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import orjson
import sqlalchemy as sa

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.http import HttpClient, Limits
from dandi_pipeline.instants import canonical_instant
from dandi_pipeline.platforms.notion.api import LARGEST_PAGE, VERSION, refusal_for
from dandi_pipeline.platforms.notion.platform import NotionPlatform
from dandi_pipeline.platforms.notion.records import cell_of, plain_text
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.report import PartitionReport
from dandi_pipeline_tests.end_to_end.equality import plain_engine
from dandi_pipeline_tests.end_to_end.strictness import require_columns, same
from dandi_pipeline_tests.simulators.notion import SimulatedNotion, normalised

IMPATIENT = Limits(attempts=4, read_timeout=0.5, total_timeout=1, first_backoff=0.005, longest_backoff=0.02)
"""As the client's own limits, but for a test that would not wait for the real Notion to recover."""

OVERLAP = timedelta(minutes=3)

MENTION = "mention"
"""What the words of a mention count as, which are the mentioned page's title when they are read."""

UNTIMED = frozenset({"relation", "rollup", "formula", MENTION})
"""Types whose values change on pages that nobody edited."""

_COLUMNS = {
    "notion_pages": {
        "source",
        "data_source_id",
        "page_id",
        "created",
        "last_edited",
        "title",
        "url",
        "in_trash",
        "cells",
        "metadata",
        "content_hash",
    },
    "schemas": {"source", "partition", "name", "metadata", "content_hash"},
}
"""Every column that is compared, but for the hash, which is over what is compared."""


@dataclass(frozen=True)
class Difference:
    """What is not as a perfect mirror would have it. `types` are those of the values that differ in a page that is."""

    partition: str
    page: str
    what: str
    types: frozenset[str] = frozenset()

    @property
    def untimed(self) -> str:
        """Why Notion moves no time for it: a page is gone, or computed anew; "" where it does move one."""
        if self.what == "left behind":
            return "a page that is gone"
        return "/".join(sorted(self.types)) if self.what == "differs" and self.types <= UNTIMED else ""


class Rig:
    """Syncs `notion` into the mirror at `url`: all of its databases, unless others are named."""

    def __init__(
        self,
        notion: SimulatedNotion,
        url: str,
        *,
        limits: Limits = IMPATIENT,
        page_size: int = LARGEST_PAGE,
        databases: Sequence[str] | None = None,
        data_sources: Sequence[str] = (),
    ) -> None:
        self.notion = notion
        self.world = notion.world
        self.url = url
        self.limits = limits
        self.page_size = page_size
        self.databases = databases
        self.data_sources = list(data_sources)

    def open_platform(self) -> NotionPlatform:
        return self.opening()()

    def opening(self) -> Callable[[], NotionPlatform]:
        """Return how to open the platform, also in another process."""
        return partial(
            workspace_at,
            self.notion.api_url,
            self.notion.token,
            self.limits,
            databases=list(self.world.databases) if self.databases is None else self.databases,
            data_sources=self.data_sources,
            page_size=self.page_size,
        )

    def platform(self) -> AbstractContextManager[NotionPlatform]:
        """Lend a platform that is closed afterwards."""
        return closing(self.open_platform())

    def sync(self, **options: Any) -> Mapping[str, PartitionReport]:
        """Run one sync to its end; return the partitions' reports by key."""
        with self.platform() as platform, open_mirror(self.url) as mirror:
            sync = Sync("notion", platform, mirror, SyncOptions(**options))
            return {report.partition: report for report in sync.run(sync.plan(), "run")}

    def sweep(self) -> Mapping[str, PartitionReport]:
        """Run one sync that reads every page."""
        return self.sync(full=True)

    def settle(self) -> None:
        """Let so much time pass that all edits are settled, and sync until nothing is stale."""
        self.world.clock.advance(OVERLAP.total_seconds() + 60)
        self.sync()
        assert self.stale() == ()

    def stale(self) -> tuple[str, ...]:
        """Return the partitions that a sync would work on."""
        with self.platform() as platform, open_mirror(self.url) as mirror:
            return Sync("notion", platform, mirror, SyncOptions()).plan().keys

    def differences(self) -> list[Difference]:
        """Return what is not as a perfect mirror would have it; empty means equal value by value."""
        expected, held, schemas = self.world.snapshot(), self.pages(), self.schemas()
        found: list[Difference] = [*self._beside()]
        for partition, state in expected.items():
            found += _compare(partition, state["pages"], held.pop(partition, {}))
            if not same(schemas.pop(partition, None), state["data_source"]):
                found.append(Difference(partition, "", "schema"))
        found += [Difference(partition, "", "partition left behind") for partition in {*held, *schemas}]
        return found

    def _beside(self) -> Iterator[Difference]:
        """Yield where a column is not what its row's own JSON says, or what the data source says for all its pages."""
        trashed = {source.id for source in self.world.data_sources.values() if source.in_trash}
        for row in self._rows("notion_pages"):
            page, partition = parsed(row["metadata"]), row["data_source_id"]
            cells = {value["id"]: cell_of(value) for value in page["properties"].values()}
            title = next(
                plain_text(value["title"]) for value in page["properties"].values() if value["type"] == "title"
            )
            told = {
                "source": "notion",
                "page_id": page["id"],
                "created": canonical_instant(page["created_time"]),
                "last_edited": canonical_instant(page["last_edited_time"]),
                "title": title or None,
                "url": page["url"],
                "in_trash": page["in_trash"] or partition in trashed,
                "cells": {name: cell for name, cell in cells.items() if cell is not None},
            }
            for name, value in told.items():
                if not same(_spelled(name, row[name]), value):
                    yield Difference(partition, row["page_id"], f"its {name} is not that of its JSON: {row[name]!r}")
        for row in self._rows("schemas"):
            schema = parsed(row["metadata"])
            if (row["source"], row["name"]) != ("notion", plain_text(schema["title"])):
                yield Difference(row["partition"], "", "its name is not that of its JSON")

    def _rows(self, table: str) -> list[dict[str, Any]]:
        with plain_engine(self.url).connect() as connection:
            result = connection.execute(sa.text(f"SELECT * FROM {table}"))
            require_columns(table, result.keys(), _COLUMNS[table])
            return [dict(row) for row in result.mappings()]

    def differences_of(self, partition: str) -> list[Difference]:
        """Return those of one data source."""
        return [difference for difference in self.differences() if difference.partition == partition]

    def deleted(self) -> set[str]:
        """Return the ids of the pages that were ever deleted from the mirror."""
        return {name for kind, record, name in self.changes() if (kind, record) == ("delete", "page")}

    def pages(self) -> dict[str, dict[str, Any]]:
        """Return the mirror's pages as Notion said them, by data source and id."""
        pages: dict[str, dict[str, Any]] = {}
        for partition, page, metadata in self.select("SELECT data_source_id, page_id, metadata FROM notion_pages"):
            pages.setdefault(partition, {})[page] = normalised(parsed(metadata))
        return pages

    def schemas(self) -> dict[str, Any]:
        """Return the mirror's data sources as Notion said them, by id."""
        rows = self.select("SELECT partition, metadata FROM schemas")
        return {partition: normalised(parsed(metadata)) for partition, metadata in rows}

    def cells(self, page_id: str) -> Any:
        ((cells,),) = self.select("SELECT cells FROM notion_pages WHERE page_id = :page", page=page_id)
        return parsed(cells)

    def select(self, statement: str, **named: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query, as a user of the mirror would see them."""
        with plain_engine(self.url).connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(statement), named)]

    def changes(self) -> list[tuple[Any, ...]]:
        """Return kind and record of every change, oldest first."""
        return self.select("SELECT kind, record, name FROM change_log ORDER BY sequence")

    def asked(self) -> Mapping[str, int]:
        """Return how many requests of each kind came since this was last asked."""
        counts: Mapping[str, int] = self.notion.requests.counts()["by_kind"]
        self.notion.requests.reset()
        return {kind: count for kind, count in counts.items() if count}


def workspace_at(api_url: str, token: str, limits: Limits, **details: Any) -> NotionPlatform:
    """Open a workspace; `details` are those of the platform."""
    client = HttpClient(
        api_url,
        user_agent="tests",
        authorization=f"Bearer {token}",
        headers={"Notion-Version": VERSION},
        limits=limits,
        refusal=refusal_for("NOTION_TOKEN"),
    )
    return NotionPlatform(client, overlap=OVERLAP, first_backoff=limits.first_backoff, **details)


def parsed(document: Any) -> Any:
    """Return JSON as one database hands it out, parsed, or as the other does, not."""
    return orjson.loads(document) if isinstance(document, str) else document


def _compare(partition: str, expected: Mapping[str, Any], held: Mapping[str, Any]) -> Iterator[Difference]:
    yield from (Difference(partition, page, "missing") for page in expected.keys() - held.keys())
    yield from (Difference(partition, page, "left behind") for page in held.keys() - expected.keys())
    for page in expected.keys() & held.keys():
        if not same(expected[page], held[page]):
            yield Difference(partition, page, "differs", _differing_types(expected[page], held[page]))


def _differing_types(expected: Mapping[str, Any], held: Mapping[str, Any]) -> frozenset[str]:
    """Return the types of the values that differ; "page" stands for anything beside them."""
    ours, theirs = held["properties"], expected["properties"]
    types = {
        _differing_type(ours.get(name), theirs.get(name))
        for name in {*ours, *theirs}
        if not same(ours.get(name), theirs.get(name))
    }
    beside = not same({**expected, "properties": None}, {**held, "properties": None})
    return frozenset(types | ({"page"} if beside else set()))


def _differing_type(ours: Any, theirs: Any) -> str:
    if same(_unmentioned(ours), _unmentioned(theirs)):
        return MENTION
    return str((theirs or ours)["type"])


def _unmentioned(value: Any) -> Any:
    """Return a value without the words of its mentions, wherever they are: in a rollup as well."""
    if isinstance(value, list):
        return [_unmentioned(item) for item in value]
    if not isinstance(value, dict):
        return value
    words = {"plain_text": None} if value.get("type") == "mention" else {}
    return {name: _unmentioned(item) for name, item in {**value, **words}.items()}


def _spelled(name: str, value: Any) -> Any:
    """Return a column's value as both databases mean it."""
    if name in ("created", "last_edited"):
        return canonical_instant(value if isinstance(value, str) else value.isoformat())
    if name == "in_trash":
        return bool(value)
    return parsed(value) if name == "cells" else value
