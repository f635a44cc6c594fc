"""Lives through random histories of a platform and its mirror, and counts what happened and what diverged.

`python -m dandi_pipeline_tests.soak --platform notion --histories 1000 --seed 0 --database sqlite`
"""

import argparse
import logging
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from dandi_pipeline_tests.platforms.airtable import histories as airtable
from dandi_pipeline_tests.platforms.notion import histories as notion
from dandi_pipeline_tests.postgresql import running_postgresql
from dandi_pipeline_tests.soak import world_run as dandi
from dandi_pipeline_tests.soak.divergence import Divergence

COUNTED = (
    "histories",
    "upstream edits",
    "syncs",
    "syncs that failed",
    "sweeps",
    "sweeps that failed",
    "kills",
    "concurrent pairs",
    "faults",
)

LASTING = 300.0
"""Seconds for which histories are lived through if nobody says how many or how long."""


@dataclass(frozen=True)
class Histories:
    """The histories of one platform; so many, one after another, may share a database."""

    live: Callable[[int, str, Counter[str]], None]
    sharing: int = 1


PLATFORMS: Mapping[str, Histories] = {
    "dandi": Histories(dandi.random_history, sharing=50),
    "notion": Histories(notion.random_history),
    "airtable": Histories(airtable.random_history),
}


def main() -> int:
    """Run; return 1 if any history diverged."""
    options = _options()
    logging.disable(logging.WARNING)  # attempts that fail are what this is about
    chosen = ["sqlite", "postgresql"] if options.database == "both" else [options.database]
    tallies: dict[str, Counter[str]] = {name: Counter() for name in chosen}
    failures: list[str] = []
    histories, started = PLATFORMS[options.platform], time.monotonic()
    with ExitStack() as stack:
        databases = {name: stack.enter_context(_databases(name, histories.sharing)) for name in chosen}
        for seed in count(options.seed):
            if _enough(options, seed - options.seed, time.monotonic() - started):
                break
            for name, urls in databases.items():
                if problem := _divergence(histories, seed, next(urls), tallies[name]):
                    failures.append(f"{name}: seed {seed}: {problem}")
                    print(failures[-1], flush=True)
            if sys.stderr.isatty():
                print(f"\r{seed - options.seed + 1:,} seeds", end="\r", file=sys.stderr)
    _show(tallies, failures, time.monotonic() - started)
    return 1 if failures else 0


def _divergence(histories: Histories, seed: int, url: str, tally: Counter[str]) -> str | None:
    """Live through one history; return how it diverged, or None."""
    try:
        histories.live(seed, url, tally)
    except Divergence as divergence:
        tally["histories"] += 1
        tally["divergences"] += 1
        return str(divergence)
    return None


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--platform", choices=[*PLATFORMS], default="dandi", help="whose (default: dandi)")
    parser.add_argument("--seconds", type=float, help="for how long (default: 300, or for as many as are asked for)")
    parser.add_argument("--histories", type=int, help="end after so many on each database")
    parser.add_argument("--seed", type=int, default=0, help="of the first one; the next ones follow (default: 0)")
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    options = parser.parse_args()
    if options.seconds is None:
        options.seconds = LASTING if options.histories is None else math.inf
    return options


def _enough(options: argparse.Namespace, done: int, seconds: float) -> bool:
    return bool(seconds >= options.seconds or (options.histories is not None and done >= options.histories))


@contextmanager
def _databases(name: str, sharing: int) -> Iterator[Iterator[str]]:
    """Give an endless supply of database URLs, each so many times."""
    if name == "postgresql":
        with running_postgresql() as server:
            yield (url for _ in count() for url in [server.create_database()] * sharing)
    else:
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            yield _files(Path(folder), sharing)


def _files(folder: Path, sharing: int) -> Iterator[str]:
    """Yield the URLs of SQLite files, each of which is deleted before the next one."""
    for number in count():
        yield from [f"sqlite:///{folder / f'{number}.sqlite'}"] * sharing
        for file in folder.glob(f"{number}.sqlite*"):
            file.unlink()


def _show(tallies: Mapping[str, Counter[str]], failures: list[str], seconds: float) -> None:
    """Print a table of what happened, in Markdown."""
    faults = sorted({name for tally in tallies.values() for name in tally if name.startswith("fault: ")})
    plans = sorted({name for tally in tallies.values() for name in tally if name.startswith("plan: ")})
    edits = sorted({name for tally in tallies.values() for name in tally if name.startswith("edit: ")})
    for tally in tallies.values():
        tally["faults"] = sum(tally[name] for name in faults)
    allowed = sorted({name for tally in tallies.values() for name in tally if name.startswith("allowed: ")})
    print(f"| in {seconds:.0f} s | {' | '.join(tallies)} |")
    print(f"|---|{'---:|' * len(tallies)}")
    for name in [*COUNTED, *plans, *faults, *edits, "differences allowed before the sweep", *allowed, "divergences"]:
        print(f"| {name} | {' | '.join(f'{tally[name]:,}' for tally in tallies.values())} |")
    print(*failures or ["no divergence"], sep="\n")


if __name__ == "__main__":
    sys.exit(main())
