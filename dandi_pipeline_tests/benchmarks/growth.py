"""How time, memory and the database grow with the archive, and with one dandiset."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from dandi_pipeline_tests.benchmarks.loaders import Loaded, load
from dandi_pipeline_tests.benchmarks.static_archive import static_archive
from dandi_pipeline_tests.benchmarks.tables import Scale, Table

LARGE = 10_000
"""Assets of each dandiset of an archive, about the size of large real ones."""

_TOTALS = {Scale.QUICK: (10_000, 40_000), Scale.FULL: (10_000, 100_000, 1_000_000)}
_SINGLE = {Scale.QUICK: 20_000, Scale.FULL: 60_000}


def measure(scale: Scale) -> Table:
    """Copy archives of growing size into SQLite, each in a process of its own."""
    archives = {f"{total:,} assets": [LARGE] * (total // LARGE) for total in _TOTALS[scale]}
    archives[f"{_SINGLE[scale]:,} assets of one dandiset"] = [_SINGLE[scale]]
    return Table(
        title="Growth",
        command=scale.command("growth"),
        columns=("archive", "seconds", "CPU µs an asset", "peak MB", "database MB", "bytes an asset"),
        rows=tuple((name, *_measured(sizes)) for name, sizes in archives.items()),
        notes=(
            f"First copies from a static server; dandisets of {LARGE:,} assets, each with 2.4 kB of metadata and the"
            " paths of real ones where these are at hand. SQLite, with its indexes built. CPU time is the sync's own,"
            " whatever else the machine does.",
        ),
    )


def _measured(sizes: Sequence[int]) -> tuple[str, ...]:
    total = sum(sizes)
    loaded, size = _copied(sizes)
    return (
        f"{loaded.seconds:.1f}",
        f"{loaded.cpu_seconds / total * 1e6:.1f}",
        f"{loaded.peak_megabytes:.0f}",
        f"{size / 1e6:,.0f}",
        f"{size / total:,.0f}",
    )


def _copied(sizes: Sequence[int]) -> tuple[Loaded, int]:
    """Return what a copy took, and the bytes of the database."""
    with static_archive(*sizes) as api_url, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "mirror.sqlite"
        return load("sync", api_url, f"sqlite:///{file}"), file.stat().st_size
