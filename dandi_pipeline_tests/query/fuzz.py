"""Random statements against the door; `python -m dandi_pipeline_tests.query.fuzz --seconds 3600 --seed 1`.

Pieces of hostile and of harmless statements are put together at random. Nothing that comes of it may write, show the
secret, or live longer than its limit, whichever layer stands in its way.
"""

import argparse
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from dandi_pipeline.errors import PipelineError, QueryStopped
from dandi_pipeline.query.door import Bounds, Door
from dandi_pipeline_tests.postgresql import running_postgresql
from dandi_pipeline_tests.query import statements
from dandi_pipeline_tests.query.conftest import LOGGED, PRIVATE_TABLES, SECRET, contents, guarded_mirror, opened_door

SECONDS = 0.3
LATE = 4.0
"""How long a statement may take beyond its seconds on a machine that is busy; what is costly is timed by itself."""

_PIECE = re.compile(r"\w+|'[^']*'|\"[^\"]*\"|--|/\*|\*/|\|\||::|[^\w\s]")
_NAMES = (*PRIVATE_TABLES, "dandisets", "changes", "draft_assets", "sqlite_master", "pg_authid", "secret", "error")
_JOINTS = ("UNION ALL", ",", "WHERE EXISTS (", ")", "AS changes", "WITH changes AS (", "--", "/*", "*/", ";", "'", '"')


def fuzz(door: Door, url: str, *, seconds: float, seed: int) -> Counter[str]:
    """Try statements for so long; return how many were answered, refused and stopped. Raises where one gets through."""
    chance = random.Random(seed)
    corpus = [
        *statements.PRIVATE_READINGS[door.dialect_name],
        *statements.PECULIAR[door.dialect_name],
        *statements.WRITES,
        *statements.HARMLESS,
    ]
    before, ends, tally = contents(url), time.monotonic() + seconds, Counter[str]()
    while time.monotonic() < ends:
        statement = mutated(chance, corpus)
        for by_text, by_engine in ((True, False), (False, True)):
            if by_engine and chance.random() < 0.5:
                continue
            began = time.monotonic()
            tally[_tried(door, statement, by_text=by_text, by_engine=by_engine)] += 1
            took = time.monotonic() - began
            assert took < SECONDS + LATE, f"seed {seed}: {took:.2f} s: {statement}"
    assert contents(url) == before, f"seed {seed}: something was written"
    return tally


def mutated(chance: random.Random, corpus: list[str]) -> str:
    """Return a statement that was made of others."""
    pieces = _PIECE.findall(chance.choice(corpus))
    for _ in range(chance.randint(0, 4)):
        place = chance.randrange(len(pieces) + 1)
        match chance.randrange(5):
            case 0:
                pieces[place:place] = [chance.choice(_JOINTS)]
            case 1:
                pieces[place : place + 1] = [chance.choice(_NAMES)]
            case 2:
                other = _PIECE.findall(chance.choice(corpus))
                start = chance.randrange(len(other))
                pieces[place:place] = other[start : start + chance.randint(1, 12)]
            case 3:
                del pieces[place : place + chance.randint(1, 4)]
            case _:
                pieces = pieces[:place] + [f"{piece} " for piece in pieces[place:]][::-1] if place > 3 else pieces
    return " ".join(pieces)


def _tried(door: Door, statement: str, *, by_text: bool, by_engine: bool) -> str:
    bounds = Bounds(rows=500, size=1_000_000, seconds=SECONDS)
    try:
        with door.reading(statement, bounds=bounds, by_text=by_text, by_engine=by_engine) as reading:
            said = f"{reading.columns} {reading.rows()}"
            outcome = "answered"
    except QueryStopped as error:
        said, outcome = str(error), "stopped"
    except PipelineError as error:
        said, outcome = str(error), "refused"
    # A refusal repeats what it refuses, and so may an answer; the secret stands in no statement.
    secrets = (SECRET,) if "changes" in statement.lower() else (SECRET, LOGGED)
    assert not any(secret in said for secret in secrets), (
        f"by_text={by_text} by_engine={by_engine}: {statement}: {said[:500]}"
    )
    return outcome


def main() -> int:
    """Fuzz both databases, half of the time each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_postgresql() as server:
        for url in (f"sqlite:///{folder}/mirror.sqlite", server.create_database()):
            guarded_mirror(url, Path(folder))
            with opened_door(url) as door:
                tally = fuzz(door, url, seconds=asked.seconds / 2, seed=asked.seed)
                print(door.dialect_name, f"seed {asked.seed}:", dict(tally), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
