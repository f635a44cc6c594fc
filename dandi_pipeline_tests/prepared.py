"""A home and a mirror that nobody has used, made once a process and copied: to make one takes half a second.

What comes of a first use is tested where nothing was prepared: `orchestration/test_home.py`, `mirror/test_opening.py`
and the fixtures called `empty_…` and `fresh_…`.
"""

import shutil
import tempfile
from atexit import register
from functools import cache
from pathlib import Path

from dandi_pipeline.catalogue import open_mirror
from dandi_pipeline.orchestration.instance import open_instance, prepare_home
from dandi_pipeline.settings.values import sqlite_url


def place_home(path: Path) -> Path:
    """Make `path` a DAGSTER_HOME as its first use leaves it, and return it."""
    shutil.copytree(_prepared() / "home", path)
    path.chmod(0o700)
    return path


def place_mirror(path: Path) -> str:
    """Make the file `path` a mirror that holds nothing, and return its URL."""
    shutil.copyfile(_prepared() / "mirror.sqlite", path)
    return sqlite_url(path)


@cache
def _prepared() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="prepared-"))
    register(shutil.rmtree, folder, ignore_errors=True)
    with open_instance(prepare_home(folder / "home")) as instance:
        instance.all_instigator_state()
    open_mirror(sqlite_url(folder / "mirror.sqlite")).close()
    return folder
