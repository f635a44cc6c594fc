"""Runs random worlds for a while: `python -m dandi_pipeline_tests.soak --seconds 300 --seed 0 --database both`."""

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dandi_pipeline_tests.postgresql import running_postgresql
from dandi_pipeline_tests.soak.world_run import Divergence, WorldRun

WORLDS_A_DATABASE = 50
"""Worlds that share a database, each as a source of its own; then comes a fresh one."""

STEPS = 6


def main() -> int:
    """Run; return 1 if any world diverged."""
    options = _options()
    logging.disable(logging.WARNING)  # attempts that fail are what this is about
    chosen = ["sqlite", "postgresql"] if options.database == "both" else [options.database]
    tallies: dict[str, Counter[str]] = {name: Counter() for name in chosen}
    failures: list[str] = []
    started = time.monotonic()
    with ExitStack() as stack:
        databases = {name: stack.enter_context(_databases(name)) for name in chosen}
        seed = options.seed
        while time.monotonic() - started < options.seconds and not _enough(tallies, options.worlds):
            for name, urls in databases.items():
                if problem := run_world(seed, next(urls), tallies[name]):
                    failures.append(f"{name}: seed {seed}: {problem}")
                    print(failures[-1], flush=True)
            seed += 1
            if sys.stderr.isatty():
                print(f"\r{seed - options.seed:,} seeds", end="\r", file=sys.stderr)
    _show(tallies, failures, time.monotonic() - started)
    return 1 if failures else 0


def run_world(seed: int, url: str, tally: Counter[str]) -> str | None:
    """Run one world; return how it diverged, or None."""
    with WorldRun(seed, url, tally) as world:
        try:
            for _ in range(world.chance.randint(2, STEPS)):
                world.step()
            world.finish()
        except Divergence as divergence:
            tally["divergences"] += 1
            return str(divergence)
    return None


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="for how long (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="of the first world; the next ones follow (default: 0)")
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--worlds", type=int, help="end after so many on each database")
    return parser.parse_args()


def _enough(tallies: dict[str, Counter[str]], worlds: int | None) -> bool:
    return worlds is not None and all(tally["worlds"] + tally["divergences"] >= worlds for tally in tallies.values())


@contextmanager
def _databases(name: str) -> Iterator[Iterator[str]]:
    """Give an endless supply of database URLs, each `WORLDS_A_DATABASE` times."""
    if name == "postgresql":
        with running_postgresql() as server:
            yield (url for _ in iter(int, 1) for url in [server.create_database()] * WORLDS_A_DATABASE)
    else:
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            files = (Path(folder) / f"{number}.sqlite" for number in range(sys.maxsize))
            yield (f"sqlite:///{path}" for path in files for _ in range(WORLDS_A_DATABASE))


def _show(tallies: dict[str, Counter[str]], failures: list[str], seconds: float) -> None:
    """Print a table of what happened, in Markdown."""
    counted = ["worlds", "upstream edits", "syncs", "kills", "concurrent pairs"]
    faults = sorted({name for tally in tallies.values() for name in tally if name.startswith("fault: ")})
    edits = sorted({name for tally in tallies.values() for name in tally if name.startswith("edit: ")})
    print(f"| in {seconds:.0f} s | {' | '.join(tallies)} |")
    print(f"|---|{'---:|' * len(tallies)}")
    for name in [*counted, *faults, *edits, "divergences"]:
        print(f"| {name} | {' | '.join(f'{tally[name]:,}' for tally in tallies.values())} |")
    print(*failures or ["no divergence"], sep="\n")


if __name__ == "__main__":
    sys.exit(main())
