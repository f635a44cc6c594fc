"""What Dagster's pages say: what an asset holds and how it is asked for, what hangs together, what a run changed.

All of it is made of values, the data dictionary's above all. When an event is written, `recording` decides.
"""

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from dandi_pipeline import platforms
from dandi_pipeline.catalogue import PUBLIC
from dandi_pipeline.mirror import Shown
from dandi_pipeline.mirror.dictionary import PublicColumn, PublicTable
from dandi_pipeline.orchestration.resources import Connections, Store
from dandi_pipeline.orchestration.sources import MirroredSource, partitions_of
from dandi_pipeline.sync.report import Outcome, PartitionReport
from dandi_pipeline.text import excerpt, quantity

Metadata = dict[str, Any]


# Assets


def asset_spec(source: MirroredSource, part: str, connections: Connections) -> dg.AssetSpec:
    """Return what Dagster shows of one part of a source."""
    tables = [PUBLIC[name] for name in source.tables_of(part)]
    return dg.AssetSpec(
        source.asset_key(part),
        deps=[_platform_key(source)],
        description=_description(source, part, tables, connections.store),
        group_name=source.group,
        kinds={source.platform, connections.store.kind},
        owners=source.owners,
        tags=source.tags,
        partitions_def=partitions_of(source),
        metadata={**_table_metadata(tables[0], connections.store), **_platform_metadata(source, connections)},
    )


def _description(source: MirroredSource, part: str, tables: Sequence[PublicTable], store: Store) -> str:
    noun = source.partition_noun
    held = "; ".join(f"`{table.name}`: {table.meaning}" for table in tables)
    lines = [f"The {part} of {source.title} `{source.alias}` in the mirror, one partition a {noun}. {held}."]
    if source.has_views:
        lines.append(
            f"Each {noun} has a view with a column for each of its properties;"
            " the partition's page and the table of each run name it."
        )
    launching = f"To sync any {noun}s in one run, or all that is stale, see the page of the job `{source.job_name}`."
    return "\n\n".join([*lines, _how_to_ask(tables[0], source.alias, store), launching])


def _how_to_ask(table: PublicTable, alias: str | None, store: Store) -> str:
    sql = ready_sql(table, alias)
    line = " ".join(sql.split())
    return "\n".join(
        [
            f"```sql\n{sql}\n```",
            "",
            f'- in a shell: `dandi-pipeline query "{line}"`',
            "- in Python, as a DataFrame: `from dandi_pipeline import query`,"
            f' then `query.connect().sql("{line}")`; in an asset: `dandi_pipeline.MirrorReader`',
            f"- with any other client of {store.title}: {store.place}",
        ]
    )


_UNASKED = frozenset(["source", "content_hash", "hash"])


def ready_sql(table: PublicTable, alias: str | None) -> str:
    """Return a SELECT that shows what a table holds; of one source if the table tells sources apart."""
    shown = [column.name for column in table.columns if column.name not in _UNASKED and column.type != "json"][:6]
    of_source = alias is not None and any(column.name == "source" for column in table.columns)
    where = f"WHERE source = '{alias}'\n" if of_source else ""
    return f"SELECT {', '.join(shown)}\nFROM {table.name}\n{where}LIMIT 20"


def _table_metadata(table: PublicTable, store: Store) -> Metadata:
    return {
        "dagster/column_schema": dg.TableSchema([_column(column) for column in table.columns]),
        "dagster/table_name": table.name,
        "dagster/storage_kind": store.kind,
        "mirror": dg.MetadataValue.text(store.place),
    }


def _column(column: PublicColumn) -> dg.TableColumn:
    path = f" ({column.path} in the platform's metadata)" if column.path else ""
    return dg.TableColumn(column.name, column.type, f"{column.meaning}{path}")


def _platform_metadata(source: MirroredSource, connections: Connections) -> Metadata:
    """Return where people see the source, and the code that reads it."""
    folder = Path(platforms.__path__[0]) / source.platform
    site = connections.site(source.alias)
    return {
        "dagster/code_references": _code(folder / "platform.py", source.title),
        **({"platform": dg.MetadataValue.url(site)} if site else {}),
    }


def _code(path: Path, label: str) -> dg.CodeReferencesMetadataValue:
    with warnings.catch_warnings():
        # Dagster calls its references beta; it would say so to everybody who loads the definitions.
        warnings.simplefilter("ignore", dg.BetaWarning)
        file = dg.LocalFileCodeReference(file_path=str(path), line_number=1, label=label)
        return dg.CodeReferencesMetadataValue(code_references=[file])


# Lineage


def _platform_key(source: MirroredSource) -> dg.AssetKey:
    """Return a key apart from those of the source's assets: what is selected by these is there to be launched."""
    return dg.AssetKey([*source.look.key_prefix, "platform", source.alias])


def platform_spec(source: MirroredSource, connections: Connections) -> dg.AssetSpec:
    """Return the external asset upstream of a source's: the archive or account itself."""
    return dg.AssetSpec(
        _platform_key(source),
        description=f"{source.title}, as the source `{source.alias}` sees it. The mirror is made equal to it.",
        group_name=source.group,
        kinds={source.platform},
        metadata=_platform_metadata(source, connections),
    )


def table_specs(sources: Sequence[MirroredSource], store: Store) -> list[dg.AssetSpec]:
    """Return the external assets downstream: each table and view that people query, with what it is made of.

    A table is one, however many sources have rows in it.
    """
    if not sources:
        return []
    made_by = _made_by(sources)
    root = _root(sources)
    present = _present(made_by)
    return [
        dg.AssetSpec(
            [*root, name],
            deps=[*made_by.get(name, ()), *([*root, other] for other in PUBLIC[name].made_of if other in present)],
            description=f"{_sentence(PUBLIC[name].meaning)}\n\n{_how_to_ask(PUBLIC[name], None, store)}",
            group_name=sources[0].look.group or root[-1],
            kinds={"view" if PUBLIC[name].is_view else "table", store.kind},
            metadata=_table_metadata(PUBLIC[name], store),
        )
        for name in present
    ]


def _root(sources: Sequence[MirroredSource]) -> list[str]:
    """Return what the keys of tables begin with: no source's alias, with which its assets' keys begin."""
    name = "mirror"
    while name in {source.alias for source in sources}:
        name += "_tables"
    return [*sources[0].look.key_prefix, name]


def _made_by(sources: Iterable[MirroredSource]) -> dict[str, list[dg.AssetKey]]:
    """Return by which assets each table of records is filled."""
    made: dict[str, list[dg.AssetKey]] = {}
    for source in sources:
        for part in source.parts:
            for name in source.tables_of(part):
                made.setdefault(name, []).append(source.asset_key(part))
    return made


def _present(records: Iterable[str]) -> list[str]:
    """Return the tables of records, and all that is made of some of them, in the dictionary's order."""
    found = set(records)
    while more := {name for name, table in PUBLIC.items() if name not in found and found & set(table.made_of)}:
        found |= more
    return [name for name in PUBLIC if name in found]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


# What a run changed

_LISTED = 100
_SAMPLED_COLUMNS = 8


def cell(text: object, longest: int = 300) -> str:
    """Return a value for a cell of a Markdown table, where it stands as it is.

    An underscore within a word means nothing in Markdown, and escaped it would break the addresses in messages.
    """
    return _MEANT.sub(r"\\\g<0>", excerpt("" if text is None else str(text), longest))


_MEANT = re.compile(r"[\\`*\[\]<>|]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|~(?=~)")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown, of cells that are Markdown already."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *lines])


def linked(key: str, address: str) -> str:
    """Return a partition's key as a cell, leading to where people see it on the web."""
    escaped = address.replace("(", "%28").replace(")", "%29").replace("|", "%7C").replace("<", "%3C")
    return f"[{cell(key)}]({escaped})" if address else cell(key)


def told(key: str, name: str, source: MirroredSource) -> str:
    """Return what people are told of a partition: the name that they gave it, with its key; of a dandiset, the key."""
    return f"{name} ({key})" if name and source.has_views else key


def changes_table(source: MirroredSource, part: str, reports: Iterable[PartitionReport]) -> str | None:
    """Return what a run did to the partitions of a part, the largest changes first; None if nothing."""
    changed = sorted(_changed(source, part, reports), key=lambda report: -_size(report))
    if not changed:
        return None
    rows = [
        (linked(report.partition, report.address), cell(report.name), cell(_what(part, report)))
        for report in changed[:_LISTED]
    ]
    more = len(changed) - len(rows)
    shown = table([source.partition_noun, "name", "what changed"], rows)
    return f"{shown}\n\n… and {quantity(more, source.partition_noun)} more" if more else shown


def _changed(source: MirroredSource, part: str, reports: Iterable[PartitionReport]) -> Iterator[PartitionReport]:
    for report in reports:
        of_part = source.of_part(part, report)
        if of_part.changed or report.outcome in (Outcome.REMOVED, Outcome.HIDDEN) or _failed(part, report):
            yield of_part


def _failed(part: str, report: PartitionReport) -> bool:
    return report.error is not None and part in report.parts


def _what(part: str, report: PartitionReport) -> str:
    """Say how a partition came out, e.g. "2 assets added" or "failed: …"."""
    if _failed(part, report):
        return f"{report.outcome.value}: {report.error}"
    ending = "" if report.outcome in (Outcome.SYNCED, Outcome.FAILED) else report.outcome.value
    return ", ".join(filter(None, (report.changes, ending)))


def _size(report: PartitionReport) -> int:
    return sum(tally.changed for tally in report.tallies.values())


def most_changed(source: MirroredSource, part: str, reports: Iterable[PartitionReport]) -> str | None:
    """Return the partition of which most was added or updated, to be shown in part; None if none was."""
    sizes = {
        report.partition: sum(tally.added + tally.updated for tally in source.of_part(part, report).tallies.values())
        for report in reports
        if report.outcome is not Outcome.REMOVED
    }
    largest = max(sizes, key=lambda key: sizes[key], default=None)
    return largest if largest is not None and sizes[largest] else None


def sample_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a few rows as a table, cut to what can be read on a page."""
    shown = [[cell(value, 80) for value in row[:_SAMPLED_COLUMNS]] for row in rows]
    return table([cell(column, 60) for column in columns[:_SAMPLED_COLUMNS]], shown)


def views_table(source: MirroredSource, shown: Mapping[str, Shown], rows_held: Mapping[str, int]) -> str | None:
    """Return the partitions by name, with their views; None where records have tables alone."""
    if not shown:
        return None
    by_name = sorted(shown.items(), key=lambda item: (item[1].name, item[0]))
    rows = [
        (cell(each.name), f"`{each.view}`", f"{rows_held.get(key, 0):,}", cell(key)) for key, each in by_name[:_LISTED]
    ]
    return table([source.partition_noun, "view", "rows", "key"], rows)
