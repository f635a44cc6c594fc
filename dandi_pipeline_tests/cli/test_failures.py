"""Whatever is wrong is said in one line that names it, with the exit code that says who acts."""

import re
import socket
import time

import pytest

from dandi_pipeline_tests.cli.conftest import Finished, Shell, wait_for
from dandi_pipeline_tests.http.scripted_server import ScriptedServer, answer


def the_error(finished: Finished, code: int) -> str:
    """Return the error, which is all that was written."""
    assert (finished.code, finished.out) == (code, ""), finished.err
    assert finished.err.startswith("Error: "), finished.err
    assert finished.err.count("\n") == 1, finished.err
    return finished.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["synk"], "No such command.*synk"),
        (["sync", "--dandisets"], "No such option.*--dandisets.*--dandisets-only"),
        (["sync", "000003"], "unknown target '000003'; accepted: all, dandi"),
        (["sync", "--since"], "'--since' requires an argument"),
        (["sync", "--since", "yesterday"], "'--since': 'yesterday' is not a date; write 2024-01-01"),
        (["sync", "--since", "2024-02-30"], "'2024-02-30' does not exist"),
        (["sync", "--max-assets", "many"], "'--max-assets' / '--max-records': 'many' is not a positive whole number"),
        (["sync", "--max-assets", "0"], "'0' is not a positive whole number"),
        (["sync", "--max-assets=-3"], "'-3' is not a positive whole number"),
        (["sync", "--dandisets-only", "--assets-only"], "--dandisets-only and --assets-only exclude each other"),
        (["sync", "--dandiset-id", "abc"], "'abc' is not a dandiset identifier; write 3"),
        (["sync", "--dandiset-id", ""], "'' is not a dandiset identifier"),
        (["sync", "--dandiset-id", "3\x1b[2J"], "not a dandiset identifier"),
        (["history", "--limit", "none"], "'--limit': 'none' is not a positive whole number"),
    ],
)
def test_a_command_that_cannot_be_meant_is_refused_in_one_line(
    fresh_shell: Shell, arguments: list[str], says: str
) -> None:
    finished = fresh_shell.run(*arguments)
    assert re.search(says, the_error(finished, 2))
    assert "\x1b" not in finished.err
    assert list(fresh_shell.folder.iterdir()) == []


def test_no_command_at_all_shows_the_help(fresh_shell: Shell) -> None:
    finished = fresh_shell.run()
    assert (finished.code, finished.out) == (2, "")
    assert finished.err.startswith("Usage: dandi-pipeline")


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_dandiset_that_does_not_exist_is_named(fresh_shell: Shell, dry: list[str]) -> None:
    assert re.search("000999 .*exist", the_error(fresh_shell.run("sync", "--dandiset-id", "999", *dry), 2))


def test_a_wrong_key_is_refused_and_never_shown(fresh_shell: Shell) -> None:
    finished = fresh_shell.run("sync", DANDI_API_KEY="s3cret-wrong-key")
    assert re.search("key", the_error(finished, 2))
    assert "s3cret" not in finished.err


def test_an_archive_that_cannot_be_reached_is_exit_code_three(fresh_shell: Shell) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/api"
        finished = fresh_shell.run("sync", DANDI_API_URL=url)
    assert (finished.code, finished.out) == (3, "")
    assert re.search(f"^Error: {url}.*: no answer in 6 attempts", finished.err.splitlines()[-1])


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_who_waits_for_a_first_request_to_be_repeated_sees_it_within_three_seconds(
    fresh_shell: Shell, options: list[str]
) -> None:
    with ScriptedServer([answer(status=503)]) as server:
        process = fresh_shell.start("sync", *options, DANDI_API_URL=f"{server.url}/api")
        with process:
            assert process.stderr is not None
            wait_for(lambda: bool(server.requests))
            asked = time.monotonic()
            seen = b""
            while b"attempt 2 of 6 follows" not in seen and (line := process.stderr.readline()):
                seen += line
            waited = time.monotonic() - asked
            process.kill()
    assert b"Fetching dandisets from DANDI API..." in seen
    assert b"503 Service Unavailable" in seen
    assert waited < 3


@pytest.mark.parametrize(("place", "dry"), [("directory", []), ("garbage", []), ("garbage", ["--dry-run"])])
def test_a_database_that_is_none_is_named(fresh_shell: Shell, place: str, dry: list[str]) -> None:
    file = fresh_shell.folder / "mirror.db"
    file.mkdir() if place == "directory" else file.write_bytes(b"this is no database, whatever its name says" * 100)
    assert "mirror.db" in the_error(fresh_shell.run("sync", *dry, MIRROR_DATABASE_URL=f"sqlite:///{file}"), 2)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://me:s3cret@host/db", "MIRROR_DATABASE_URL.*mysql"),
        ("mirror.db", "MIRROR_DATABASE_URL"),
        (
            "postgresql://me:s3cret@127.0.0.1:1/mirror",
            "127.0.0.1:1/mirror: no connection .* check MIRROR_DATABASE_URL$",
        ),
    ],
)
def test_a_database_that_cannot_be_opened_is_named_without_its_password(
    fresh_shell: Shell, url: str, says: str
) -> None:
    finished = fresh_shell.run("sync", MIRROR_DATABASE_URL=url)
    assert re.search(says, the_error(finished, 2))
    assert "s3cret" not in finished.err


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"DANDI_API_URL": "not an address"}, "DANDI_API_URL"),
        ({"DANDI_PIPELINE_SOURCES": "missing.yaml"}, "DANDI_PIPELINE_SOURCES.*missing.yaml"),
        ({"DAGSTER_HOME": "/dev/null/home"}, "/dev/null/home"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(fresh_shell: Shell, environment: dict[str, str], says: str) -> None:
    assert re.search(says, the_error(fresh_shell.run("sync", **environment), 2))


def test_a_typo_in_the_sources_file_is_named_with_its_line(fresh_shell: Shell) -> None:
    (fresh_shell.folder / "sources.yaml").write_text("sources:\n  - platform: dandi\n    evry: 15m\n")
    assert re.search(r"sources\.yaml:3: .*evry.*every", the_error(fresh_shell.run("sync"), 2))


def test_a_sources_file_without_dandi_says_what_to_do(fresh_shell: Shell) -> None:
    (fresh_shell.folder / "sources.yaml").write_text("sources:\n  - platform: dandi\n    enabled: false\n")
    assert re.search(r"sources\.yaml.*enable", the_error(fresh_shell.run("sync"), 2))


def test_a_reader_that_goes_away_is_no_error(fresh_shell: Shell) -> None:
    with fresh_shell.start("--version") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait(timeout=60)) == (b"", 141)
