"""Opening a mirror creates, upgrades or refuses it; peeking leaves no trace."""

import re
import sqlite3
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from dandi_pipeline.catalogue import FACET_SCHEMA, open_mirror, peek_mirror
from dandi_pipeline.errors import DatabaseUnavailable, MirrorBusy, PipelineError
from dandi_pipeline.mirror import Mirror, migrations
from dandi_pipeline.mirror.schema import METADATA
from dandi_pipeline.mirror.sqlite import SqliteDialect
from dandi_pipeline_tests.mirror.records import ASSET, PARTS, SOURCE, asset, engine_of, opened, query, store, writing
from dandi_pipeline_tests.postgresql import PostgresqlServer

OPEN_AT_A_SIGNAL = """
import sys
from dandi_pipeline.catalogue import open_mirror
print("ready", flush=True)
sys.stdin.readline()
with open_mirror(sys.argv[1], patience=30) as mirror:
    assert mirror.states("dandi") == {}
"""


def test_a_new_mirror_is_empty(empty_mirror_url: str) -> None:
    with opened(empty_mirror_url) as mirror:
        assert mirror.states(SOURCE) == {}
        assert mirror.known(SOURCE, "000003", ASSET) == {}
        assert mirror.changes() == []


def test_opening_again_keeps_what_is_there(empty_mirror_url: str) -> None:
    with opened(empty_mirror_url) as mirror:
        store(mirror, asset("a"))
    with opened(empty_mirror_url) as mirror:
        assert list(mirror.known(SOURCE, "000003", ASSET)) == [("draft", "a")]


def test_processes_may_create_one_mirror_at_the_same_time(empty_mirror_url: str) -> None:
    command = [sys.executable, "-c", OPEN_AT_A_SIGNAL, empty_mirror_url]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [(process.returncode, output) for process, output in zip(processes, outputs, strict=True)] == [(0, "")] * 3


def test_the_file_and_its_folders_are_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "mirror.sqlite"
    with opened(f"sqlite:///{path}") as mirror, mirror.session(SOURCE, "000003", PARTS):
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"mirror.sqlite": 0o600, "mirror.sqlite-wal": 0o600, "mirror.sqlite-shm": 0o600}
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in path.parents[:2]] == [0o700, 0o700]


@pytest.mark.parametrize("name", ["with spaces", "100%", "a#b;c=d", "é"])
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    with opened(f"sqlite:///{tmp_path / name}") as mirror:
        store(mirror, asset("a"))
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_file_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseUnavailable, match=r"file/mirror\.sqlite: the mirror's file cannot be created"):
        open_mirror(f"sqlite:///{tmp_path / 'file' / 'mirror.sqlite'}")


def test_opening_waits_for_another_that_is_at_it_before_the_file_has_a_write_ahead_log(tmp_path: Path) -> None:
    path = tmp_path / "mirror.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("CREATE TABLE notes (text)")
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.3, other.execute, ["COMMIT"])
        release.start()
        with opened(f"sqlite:///{path}") as mirror:
            assert mirror.states(SOURCE) == {}
        release.join()


def test_a_full_disk_is_called_one(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "small.sqlite")) as connection:
        connection.execute("PRAGMA max_page_count = 1")
        with pytest.raises(sqlite3.OperationalError) as full:
            connection.execute("CREATE TABLE notes (text)")
    failure = SqliteDialect(tmp_path / "mirror.sqlite", patience=1).diagnose(full.value)
    assert isinstance(failure, DatabaseUnavailable)
    assert str(failure) == f"{tmp_path}/mirror.sqlite: the disk is full; free space there and sync again"


def declared(name: str | None, kind: str, parents: Any) -> bool:
    """Say whether a table is one that both databases have: the index of words is FTS5's tables or a tsvector's."""
    return kind != "table" or not str(name).startswith("dandiset_words")


def test_migrations_and_a_first_sync_lead_to_the_declared_schema(empty_mirror_url: str) -> None:
    with opened(empty_mirror_url) as mirror:
        mirror.complete()
    engine = engine_of(empty_mirror_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": migrations.VERSION_TABLE, "compare_type": True, "include_name": declared}
        )
        assert compare_metadata(context, [METADATA, FACET_SCHEMA.metadata]) == []  # type: ignore[arg-type]
    engine.dispose()


def test_every_revision_is_known_by_name_in_order() -> None:
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    known = [revision.revision for revision in script.walk_revisions()]
    assert tuple(reversed(known)) == migrations.REVISIONS


@pytest.mark.parametrize("opening", [open_mirror, peek_mirror])
def test_a_mirror_of_a_newer_version_is_refused(empty_mirror_url: str, opening: type[Mirror]) -> None:
    with opened(empty_mirror_url):
        pass
    query(empty_mirror_url, "UPDATE mirror_schema SET version_num = '9999'")
    with pytest.raises(DatabaseUnavailable, match=r"newer version of dandi_pipeline \(schema 9999"):
        open_mirror(empty_mirror_url)
    with pytest.raises(DatabaseUnavailable, match="upgrade the package"):
        peek_mirror(empty_mirror_url)


def test_a_failed_creation_leaves_nothing_half_made(empty_mirror_url: str) -> None:
    query(empty_mirror_url, "CREATE TABLE versions (mine TEXT)")
    with pytest.raises(DatabaseUnavailable, match="versions"):
        open_mirror(empty_mirror_url)
    query(empty_mirror_url, "DROP TABLE versions")
    with opened(empty_mirror_url) as mirror:
        assert mirror.states(SOURCE) == {}


def test_peeking_where_no_mirror_is_creates_nothing(tmp_path: Path, empty_postgresql_url: str) -> None:
    assert peek_mirror(f"sqlite:///{tmp_path / 'new' / 'mirror.sqlite'}") is None
    assert list(tmp_path.iterdir()) == []
    assert peek_mirror(empty_postgresql_url) is None
    assert query(empty_postgresql_url, "SELECT 1 FROM pg_class WHERE relname = 'mirror_schema'") == []


def test_peeking_reads_and_leaves_no_trace(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'mirror.sqlite'}"
    with opened(url) as mirror:
        store(mirror, asset("a"))
    before = (tmp_path / "mirror.sqlite").read_bytes()
    peeked = peek_mirror(url)
    assert peeked is not None
    with peeked:
        assert list(peeked.known(SOURCE, "000003", ASSET)) == [("draft", "a")]
    assert [file.name for file in tmp_path.iterdir()] == ["mirror.sqlite"]
    assert (tmp_path / "mirror.sqlite").read_bytes() == before


def test_a_peeked_mirror_cannot_be_written(empty_mirror_url: str) -> None:
    with opened(empty_mirror_url) as mirror:
        store(mirror, asset("a"))
    peeked = peek_mirror(empty_mirror_url)
    assert peeked is not None
    with peeked, pytest.raises(DatabaseUnavailable, match=r"read.?only"):
        peeked.record_failure(SOURCE, "000003", ["assets"], run_id="run", group="transient", message="no")


def test_what_is_no_database_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "mirror.sqlite"
    path.write_text("these are notes, not a database\n" * 100)
    with pytest.raises(DatabaseUnavailable) as caught:
        open_mirror(f"sqlite:///{path}")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["mysql://user:s3cret@host/mirror", "sqlite://", "sqlite:///:memory:", "sqlite:///file?timeout=1", "s3cret", ""],
)
def test_a_url_the_mirror_cannot_use_is_refused_without_repeating_secrets(url: str) -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        open_mirror(url)
    assert "s3cret" not in str(caught.value)


def test_an_unreachable_server_is_named_without_its_password() -> None:
    with pytest.raises(
        DatabaseUnavailable, match=r"postgresql://127\.0\.0\.1:1/mirror: .*MIRROR_DATABASE_URL"
    ) as caught:
        open_mirror("postgresql://user:s3cret@127.0.0.1:1/mirror?application_name=s3cret")
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_short_scheme_of_hosting_providers_is_understood(empty_postgresql_url: str) -> None:
    with opened(empty_postgresql_url.replace("postgresql://", "postgres://")) as mirror:
        assert mirror.states(SOURCE) == {}


# -- servers that refuse, and what they say ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@s3cret@host/db",
        "postgresql://u:p@s3cret/x@host/db",
        "postgresql://u:p@s3cret?x@host/db",
        "postgres://u:p:q@s3cret@host/db",
        "postgresql://host/db?user=u&password=p@s3cret",
    ],
)
def test_a_password_that_was_not_quoted_is_not_shown_by_half(url: str) -> None:
    for opening in (open_mirror, peek_mirror):
        with pytest.raises(DatabaseUnavailable, match="write it as %40") as caught:
            opening(url)
        assert "s3cret" not in str(caught.value)


def test_a_quoted_password_and_a_user_at_a_server_are_understood() -> None:
    with pytest.raises(DatabaseUnavailable, match=r"^postgresql://127\.0\.0\.1:1/db: no connection") as caught:
        open_mirror("postgresql://me@server:p%40s3cret@127.0.0.1:1/db?sslpassword=s3cret")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_character_is_refused_when_it_is_opened(
    postgresql_server: PostgresqlServer, encoding: str
) -> None:
    name = f"narrow_{encoding.lower()}"
    postgresql_server.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0")
    url = re.sub("/test_[0-9a-f]+", f"/{name}", postgresql_server.create_database())
    for opening in (open_mirror, peek_mirror):
        with pytest.raises(DatabaseUnavailable, match=rf"encoding is {encoding}.*ENCODING 'UTF8'"):
            opening(url)


@pytest.fixture
def weak(postgresql_server: PostgresqlServer, empty_postgresql_url: str) -> Iterator["Weak"]:
    weak = Weak(postgresql_server, empty_postgresql_url, f"weak_{uuid.uuid4().hex[:8]}")
    postgresql_server.execute(f"CREATE ROLE {weak.user} LOGIN")
    with opened(empty_postgresql_url):
        yield weak


@dataclass(frozen=True)
class Weak:
    """A user of a mirror that is another's, with limits."""

    server: PostgresqlServer
    owners_url: str
    user: str

    @property
    def url(self) -> str:
        return self.owners_url.replace("postgres@", f"{self.user}@")

    def alter(self, what: str) -> None:
        self.server.execute(f"ALTER ROLE {self.user} {what}")


def failure_of(url: str) -> PipelineError:
    with pytest.raises(PipelineError) as caught, opened(url, patience=2) as mirror:
        store(mirror, asset("a"))
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_statement_timeout_is_told_as_one(weak: Weak) -> None:
    weak.alter("SUPERUSER")
    weak.alter("SET statement_timeout = '300ms'")
    engine = engine_of(weak.owners_url)
    with engine.begin() as connection:
        connection.execute(sa.text("LOCK TABLE assets IN SHARE MODE"))
        failure = failure_of(weak.url)
    engine.dispose()
    assert isinstance(failure, DatabaseUnavailable)
    assert "the server cancelled a statement (canceling statement due to statement timeout" in str(failure)
    assert "SET statement_timeout = 0" in str(failure)


def test_a_statement_timeout_while_others_write_tells_of_those(weak: Weak) -> None:
    weak.alter("SUPERUSER")
    weak.alter("SET statement_timeout = '300ms'")
    with writing(weak.owners_url):
        failure = failure_of(weak.url)
    assert isinstance(failure, MirrorBusy)
    assert "held by other writers" in str(failure)


def test_missing_rights_are_told_as_such(weak: Weak) -> None:
    failure = failure_of(weak.url)
    assert isinstance(failure, DatabaseUnavailable)
    assert "permission denied" in str(failure)
    assert "the user needs CREATE on the schema" in str(failure)


def test_a_database_that_takes_no_writes_is_told_as_such(weak: Weak) -> None:
    weak.alter("SUPERUSER")
    weak.alter("SET default_transaction_read_only = on")
    failure = failure_of(weak.url)
    assert isinstance(failure, DatabaseUnavailable)
    assert "read-only transaction" in str(failure)
    assert "name the primary" in str(failure)


def test_a_user_without_a_connection_left_is_told_so(weak: Weak) -> None:
    weak.alter("CONNECTION LIMIT 0")
    failure = failure_of(weak.url)
    assert isinstance(failure, MirrorBusy)
    assert "the server has no connection left" in str(failure)
