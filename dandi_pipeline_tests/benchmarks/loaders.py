"""Copies an archive into an empty database, in a process of its own: our sync, or the same done by hand.

`python -m dandi_pipeline_tests.benchmarks.loaders {sync,sync-without-facets,by-hand} API_URL DATABASE_URL` prints what
it took as JSON.
"""

import csv
import io
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from typing import Any

import psycopg2
import requests
import sqlalchemy as sa

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.http.client import Limits
from dandi_pipeline.sync.engine import Sync
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline_tests.end_to_end.rig import dandi_at
from dandi_pipeline_tests.memory import peak_bytes

Row = tuple[Any, ...]

_COLUMNS = "dandiset_id, asset_id, path, size, created, modified, blob, zarr, metadata"
_TABLE = f"CREATE TABLE assets ({_COLUMNS.replace(',', ' TEXT,').replace('size TEXT', 'size BIGINT')} TEXT)"


@dataclass(frozen=True)
class Loaded:
    """What a load took: seconds from the first request to the last commit, and the process's largest memory.

    `cpu_seconds` are the process's own, which do not depend on what else the machine does.
    """

    seconds: float
    cpu_seconds: float
    peak_megabytes: float


def load(how: str, api_url: str, database_url: str) -> Loaded:
    """Run one load in a fresh process."""
    command = [sys.executable, "-m", __name__, how, api_url, database_url]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Loaded(**json.loads(done.stdout))


def sync_without_facets(api_url: str, database_url: str) -> None:
    """Copy everything but derive nothing from assets."""
    sync(api_url, database_url, derives_facets=False)


def sync(api_url: str, database_url: str, *, derives_facets: bool = True) -> None:
    """Copy everything as `dandi-pipeline sync` does, but without Dagster."""
    platform = dandi_at(api_url, Limits(), derives_facets=derives_facets)
    with closing(platform), open_mirror(database_url) as mirror:
        engine = Sync("dandi", platform, mirror, SyncOptions())
        for report in engine.run(engine.plan(), "run"):
            if report.error:
                raise report.error


def by_hand(api_url: str, database_url: str) -> None:
    """Copy every asset into one plain table, as a short script would: fetch, parse, insert, page after page."""
    url = sa.make_url(database_url)
    if url.get_backend_name() == "sqlite":
        _into_sqlite(_pages(api_url), str(url.database))
    else:
        _into_postgresql(_pages(api_url), database_url)


def _into_sqlite(pages: Iterator[list[Row]], file: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(_TABLE)
        for rows in pages:
            connection.executemany(f"INSERT INTO assets VALUES ({', '.join('?' * 9)})", rows)
        connection.commit()


def _into_postgresql(pages: Iterator[list[Row]], url: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(_TABLE)
        for rows in pages:
            text = io.StringIO()
            csv.writer(text).writerows(rows)
            text.seek(0)
            cursor.copy_expert("COPY assets FROM STDIN (FORMAT csv)", text)
        connection.commit()


def _pages(api_url: str) -> Iterator[list[Row]]:
    with requests.Session() as session:
        for dandiset in session.get(f"{api_url}/dandisets/?page_size=1000", timeout=60).json()["results"]:
            identifier = dandiset["identifier"]
            for page in count(1):
                answer = session.get(
                    f"{api_url}/dandisets/{identifier}/versions/draft/assets/",
                    params={"order": "path", "metadata": "true", "page_size": "1000", "page": str(page)},
                    timeout=60,
                ).json()
                yield [_row(identifier, asset) for asset in answer["results"]]
                if answer["next"] is None:
                    break


def _row(identifier: str, asset: dict[str, Any]) -> Row:
    plain = (asset[name] for name in ("asset_id", "path", "size", "created", "modified", "blob", "zarr"))
    return (identifier, *plain, json.dumps(asset["metadata"]))


def main() -> None:
    """Load as the arguments say and print what it took."""
    how, api_url, database_url = sys.argv[1:]
    work = {"sync": sync, "sync-without-facets": sync_without_facets, "by-hand": by_hand}[how]
    started, cpu_started = time.perf_counter(), time.process_time()
    work(api_url, database_url)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_megabytes": peak_bytes() / 2**20}))


if __name__ == "__main__":
    main()
