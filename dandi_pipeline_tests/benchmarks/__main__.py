"""`make bench`: measures ours side by side with other ways, and prints each table as soon as it is there."""

import argparse
from importlib import import_module
from importlib.util import find_spec

from dandi_pipeline_tests.benchmarks.circumstances import circumstances
from dandi_pipeline_tests.benchmarks.page import PAGE, replace_section
from dandi_pipeline_tests.benchmarks.tables import Scale, Table

MODULES = {
    "server": "server",
    "load": "load",
    "successor": "successor",
    "incremental": "incremental",
    "growth": "growth",
    "questions": "questions",
    "dagster": "dagster_events",
    "budgets": "budgets",
}
"""The benchmarks by name, in the order of the page; each module measures with its `measure(scale) -> Table`."""


def main() -> None:
    """Measure the named benchmarks, or all of them."""
    there = [name for name, module in MODULES.items() if find_spec(_path(module))]
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"which of {', '.join(there)}; all if none is named")
    parser.add_argument("--full", action="store_true", help="at the scale of the page, which takes its time")
    parser.add_argument(
        "--write", action="store_true", help=f"put each table on {PAGE.name}, with machine and versions"
    )
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(there)):
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(there)}")
    for name in options.names or there:
        table: Table = import_module(_path(MODULES[name])).measure(Scale.FULL if options.full else Scale.QUICK)
        print(f"\n{table.to_markdown()}", flush=True)
        if options.write:
            _write(name, table)


def _path(module: str) -> str:
    return f"dandi_pipeline_tests.benchmarks.{module}"


def _write(name: str, table: Table) -> None:
    """Replace the benchmark's section of the page, and say there on what it was measured."""
    section = f"{table.to_markdown()}\n\nMeasured by `{table.command}` on {circumstances()}."
    page = replace_section(PAGE.read_text(encoding="utf-8"), name, section, list(MODULES))
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
