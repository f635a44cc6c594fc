"""Writes what a question gives to a file, row by row: CSV, JSON Lines, or Parquet through pyarrow.

Whatever there is of it, a batch is in memory and no more.
"""

import csv
import io
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Literal

from dandi_pipeline.errors import ConfigurationError, QueryRefused
from dandi_pipeline.query.door import UNBOUNDED, Door, Reading, Row
from dandi_pipeline.query.frames import are_instants

Format = Literal["parquet", "csv", "jsonl"]
FORMATS: tuple[Format, ...] = ("parquet", "csv", "jsonl")

HOW_TO_INSTALL = "pip install 'dandi_pipeline[parquet]'"
_BATCH_ROWS = 2000
_BATCH_BYTES = 8 * 1024 * 1024


def export(door: Door, what: str, target: IO[bytes], form: Format) -> int:
    """Write a table, a view or what a SELECT gives to `target`; return the number of rows.

    Raises `QueryRefused` for what cannot be asked, and `ConfigurationError` for Parquet without pyarrow.
    """
    if form == "parquet":
        _pyarrow()
    statement = _statement(door, what)
    with door.reading(statement, bounds=UNBOUNDED, by_text=False) as reading:
        if form == "parquet":
            return _write_parquet(reading, target)
        text = io.TextIOWrapper(target, encoding="utf-8", newline="", write_through=False)
        try:
            return _write_csv(reading, text) if form == "csv" else _write_lines(reading, text)
        finally:
            text.flush()
            text.detach()


def json_line(columns: Sequence[str], row: Row) -> str:
    """Return a row as a JSON object."""
    return json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False, default=_readable)


def _statement(door: Door, what: str) -> str:
    """Return the SELECT that is meant: of a table or view it is all of it, in the order of its key."""
    if any(char.isspace() for char in what.strip()):
        return what
    if what.lower() not in door.public():
        raise QueryRefused(f"there is no public table or view {what!r}; there are: {', '.join(sorted(door.public()))}")
    return f"SELECT * FROM {what}"  # noqa: S608 - a public name, see above


def _write_csv(reading: Reading, target: IO[str]) -> int:
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(reading.columns)
    count = 0
    for batch in reading.batches():
        writer.writerows(batch)
        count += len(batch)
    return count


def _write_lines(reading: Reading, target: IO[str]) -> int:
    count = 0
    for batch in reading.batches():
        target.writelines(json_line(reading.columns, row) + "\n" for row in batch)
        count += len(batch)
    return count


def _write_parquet(reading: Reading, target: IO[bytes]) -> int:
    """Write twice: first to a temporary file, until it is known what each column holds."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogatepass") as spool:
        kinds: list[set[str]] = [set() for _ in reading.columns]
        count = 0
        for batch in reading.batches():
            for row in batch:
                for kind, value in zip(kinds, row, strict=True):
                    kind.add(_kind(value))
                spool.write(json.dumps(row, default=_readable) + "\n")
            count += len(batch)
        spool.seek(0)
        _write_typed(spool, reading.columns, [_type_of(kind) for kind in kinds], target)
    return count


def _write_typed(spool: IO[str], columns: Sequence[str], types: Sequence[str], target: IO[bytes]) -> None:
    pyarrow = _pyarrow()
    arrow = {
        "integer": pyarrow.int64(),
        "number": pyarrow.float64(),
        "boolean": pyarrow.bool_(),
        "instant": pyarrow.timestamp("us", tz="UTC"),
        "text": pyarrow.string(),
        "null": pyarrow.null(),
    }
    schema = pyarrow.schema([(name, arrow[kind]) for name, kind in zip(columns, types, strict=True)])
    with pyarrow.parquet.ParquetWriter(target, schema, compression="zstd") as writer:
        for lines in _batches(spool):
            rows = [json.loads(line) for line in lines]
            arrays = [
                _array(pyarrow, [row[place] for row in rows], kind, schema.field(place).type)
                for place, kind in enumerate(types)
            ]
            writer.write_batch(pyarrow.RecordBatch.from_arrays(arrays, schema=schema))


def _array(pyarrow: Any, values: list[Any], kind: str, arrow_type: Any) -> Any:
    if kind == "instant":
        return pyarrow.array([value and value[:-1] for value in values]).cast(pyarrow.timestamp("us")).cast(arrow_type)
    if kind == "text":
        values = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return pyarrow.array(values, type=arrow_type)


def _batches(spool: IO[str]) -> Iterator[list[str]]:
    """Yield the lines in batches that are bounded in number and in size."""
    batch: list[str] = []
    size = 0
    for line in spool:
        batch.append(line)
        size += len(line)
        if len(batch) == _BATCH_ROWS or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if -(2**63) <= value < 2**63 else "text"
    if isinstance(value, float):
        return "number"
    return "instant" if are_instants([value]) else "text"


def _type_of(kinds: set[str]) -> str:
    """Return the one type that takes all the values of a column."""
    told = kinds - {"null"}
    if len(told) == 1:
        return next(iter(told))
    if not told:
        return "null"
    return "number" if told == {"integer", "number"} else "text"


def _readable(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ConfigurationError(f"Parquet needs pyarrow; install it: {HOW_TO_INSTALL}") from None
    return pyarrow


def whole(path: Path) -> Path:
    """Return where a file is written until it is complete."""
    return path.with_name(f"{path.name}.part")
