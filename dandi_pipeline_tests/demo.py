"""`make demo`: the whole job against a simulated archive, with no network.

Copies an archive, changes a few things in it, copies what changed, and shows what the mirror says of it. Everything
lies in `.demo/`, made anew each time.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import sqlalchemy as sa

FOLDER = Path(".demo")

EDITS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("a file is added", "add_asset", {"dandiset_id": "000001", "path": "sub-new/sub-new_ecephys.nwb", "size": 4096}),
    ("a dandiset is renamed", "rename_dandiset", {"dandiset_id": "000002", "name": "Place fields, revisited"}),
    ("a dandiset is published", "publish", {"dandiset_id": "000003"}),
    ("a dandiset is created", "create_dandiset", {"name": "A new dandiset"}),
)


def main() -> int:
    """Run the demonstration; return the exit code of the first step that failed, or 0."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--ui", action="store_true", help="leave Dagster's UI running on the result")
    options = parser.parse_args()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(mode=0o700)
    with simulated_archive() as api_url:
        environ = environment(api_url)
        return demonstrate(api_url, environ) or (serve_ui(environ) if options.ui else 0)


def demonstrate(api_url: str, environ: Mapping[str, str]) -> int:
    """Sync, edit, sync again, and show what the mirror holds."""
    title("1. The first sync copies everything")
    code = pipeline(environ, "sync")
    seen = last_change(environ)
    title("2. Meanwhile, in the archive")
    for what, operation, arguments in EDITS:
        control(api_url, operation, arguments)
        print(f"- {what}: {operation}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})")
    remove_and_edit(api_url)
    title("3. The next sync brings only what changed")
    code = code or pipeline(environ, "sync")
    title("4. The change feed says what that was")
    show(environ, "SELECT sequence, partition, record, key, kind FROM changes WHERE sequence > :seen", seen=seen)
    title("5. The mirror answers in SQL: the largest formats of all drafts")
    show(
        environ,
        "SELECT encoding_format, count(*) AS files, sum(size) / 1000000000 AS gigabytes"
        " FROM draft_assets GROUP BY encoding_format ORDER BY gigabytes DESC",
    )
    title("6. Both syncs are runs in Dagster's history")
    return code or pipeline(environ, "history")


def remove_and_edit(api_url: str) -> None:
    """Change two files that a first look at the archive finds."""
    rows = requests.get(f"{api_url}/dandisets/000001/versions/draft/assets/?order=path", timeout=10).json()["results"]
    control(api_url, "remove_asset", {"dandiset_id": "000001", "path": rows[0]["path"]})
    print(f"- a file is removed: {rows[0]['path']}")
    control(api_url, "edit_asset", {"dandiset_id": "000001", "path": rows[1]["path"], "metadata": {"keywords": ["x"]}})
    print(f"- a file's metadata is edited: {rows[1]['path']}")


@contextmanager
def simulated_archive() -> Iterator[str]:
    """Serve a simulated archive in a process of its own; yield its API URL."""
    command = [sys.executable, "-m", "dandi_pipeline_tests.simulators.dandi"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def environment(api_url: str) -> dict[str, str]:
    """Return an environment in which everything lies below `.demo/` and nothing of the caller's is used."""
    home = FOLDER.absolute() / "dagster_home"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DANDI_", "MIRROR_"))}
    return {**inherited, "DANDI_API_URL": api_url, "DAGSTER_HOME": str(home)}


def pipeline(environ: Mapping[str, str], *arguments: str) -> int:
    """Run a command as a user would."""
    print(f"$ dandi-pipeline {' '.join(arguments)}", flush=True)
    return subprocess.run(
        [sys.executable, "-m", "dandi_pipeline", *arguments], env=dict(environ), check=False
    ).returncode


def serve_ui(environ: Mapping[str, str]) -> int:
    """Serve Dagster's UI on the demonstration's mirror until interrupted."""
    title("Dagster's UI on the same mirror (Ctrl-C ends it)")
    try:
        return pipeline(environ, "ui")
    except KeyboardInterrupt:
        return 0


def control(api_url: str, operation: str, arguments: Mapping[str, Any]) -> None:
    """Change the simulated archive."""
    url = f"{api_url.removesuffix('/api')}/control/ops"
    requests.post(url, json={"op": operation, "arguments": arguments}, timeout=10).raise_for_status()


def last_change(environ: Mapping[str, str]) -> int:
    """Return the newest change's number."""
    return int(query(environ, "SELECT coalesce(max(sequence), 0) FROM changes")[1][0][0])


def show(environ: Mapping[str, str], statement: str, **named: Any) -> None:
    """Print a query and its answer."""
    names, rows = query(environ, statement, **named)
    print(f"sql> {statement}")
    texts = [names, *([str(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def query(environ: Mapping[str, str], statement: str, **named: Any) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Ask the demonstration's mirror, read-only."""
    path = Path(environ["DAGSTER_HOME"]) / "mirror.sqlite"
    engine = sa.create_engine(f"sqlite:///file:{path}?mode=ro&uri=true", poolclass=sa.NullPool)
    with engine.connect() as connection:
        result = connection.execute(sa.text(statement), named)
        return list(result.keys()), [tuple(row) for row in result]


def title(text: str) -> None:
    """Print a heading."""
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
