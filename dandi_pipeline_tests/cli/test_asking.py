"""The commands that ask the mirror, from a shell."""

import json

import pytest

from dandi_pipeline_tests.cli.conftest import Shell
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive

NAMES = "SELECT dandiset_id, asset_count FROM dandisets WHERE dandiset_id < '000003' ORDER BY dandiset_id"


@pytest.fixture
def synced(shell: Shell, archive: SimulatedArchive) -> Shell:
    archive.world.rename_dandiset("000001", "a | b\n\x1b[31mred")
    assert shell.run("sync", "--no-progress").code == 0
    return shell


def test_an_answer_is_shown_in_four_forms(synced: Shell) -> None:
    counts = {row["dandiset_id"]: row["asset_count"] for row in synced.run("query", NAMES, "--format", "json").json}
    assert list(counts) == ["000001", "000002"]
    rows = [f"{identifier},{count}" for identifier, count in counts.items()]
    assert synced.run("query", NAMES, "--format", "csv").out.splitlines() == ["dandiset_id,asset_count", *rows]
    table = synced.run("query", NAMES).out.splitlines()
    assert table[0].split() == ["dandiset_id", "asset_count"]
    assert [line.split() for line in table[1:]] == [row.split(",") for row in rows]
    markdown = synced.run("query", "SELECT name FROM dandisets WHERE dandiset_id = '000001'", "--format", "markdown")
    assert markdown.out.splitlines() == ["| name |", "| --- |", r"| a \| b\n\x1b[31mred |"]


def test_what_changed_is_listed_by_when_what_and_how(synced: Shell, archive: SimulatedArchive) -> None:
    path = min(archive.world.dandisets["000002"].draft.assets)
    archive.world.remove_asset("000002", path)
    assert synced.run("sync").code == 0
    (gone,) = synced.run("changes", "--since", "1h", "--kind", "delete", "--format", "json").json
    assert (gone["partition"], gone["record"], gone["key"], gone["kind"]) == ("000002", "asset", path, "delete")
    everything = synced.run("changes", "--format", "csv").out.splitlines()
    assert everything[0] == "sequence,at,source,partition,record,key,kind,run_id"
    sequences = [int(line.split(",")[0]) for line in everything[1:]]
    assert sequences == sorted(sequences)
    of_one = synced.run("changes", "--dandiset-id", "2", "--format", "csv").out.splitlines()
    assert 1 < len(of_one) < len(everything)
    newest = synced.run("changes", "--limit", "1", "--format", "csv")
    assert newest.out.splitlines()[1:] == everything[-1:]
    assert newest.err == "Only the newest 1 change shown; there are more: --limit allows others.\n"
    assert synced.run("changes", "--since", "2999-01-01").out == "No change.\n"
    assert synced.run("changes", "--since", "2999-01-01", "--format", "json").json == []
    wrong = synced.run("changes", "--since", "lately")
    assert wrong.code == 2
    assert "or how long ago: 12h, 7d, 2w" in wrong.err


def test_what_is_cut_is_told_on_standard_error(synced: Shell) -> None:
    done = synced.run("query", "SELECT path FROM draft_assets", "--limit", "2", "--format", "csv")
    assert len(done.out.splitlines()) == 3
    assert done.err == "Only 2 rows shown; there are more: --limit allows others.\n"


def test_a_question_is_asked_by_its_number(synced: Shell) -> None:
    assert synced.run("query", "q05", "--format", "csv").out.splitlines()[0] == "variable,dandisets,assets"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["query", "DROP TABLE dandisets"], "DROP is not answered; only SELECT is"),
        (["query", "SELECT * FROM rate_budgets"], "there is no public table or view 'rate_budgets'"),
        (["query", "Q99"], "there is no question 'Q99'"),
        (["query", "SELECT 1", "--limit", "0"], "is not a positive whole number"),
        (["export", "partitions", "--format", "csv"], "there is no public table or view 'partitions'"),
        (["query", "SELECT 1", "--as-of", "2001-01-01"], "the first sync ended at"),
    ],
)
def test_a_refusal_is_one_line_and_exit_code_two(synced: Shell, arguments: list[str], why: str) -> None:
    done = synced.run(*arguments)
    assert done.code == 2
    assert why in done.err
    assert done.err.startswith("Error: ")
    assert done.err.count("\n") == 1


def test_the_past_is_asked_with_as_of(synced: Shell, archive: SimulatedArchive) -> None:
    count = "SELECT count(*) AS files FROM draft_files"
    before = synced.run("query", count, "--format", "json").json
    moment = synced.run("query", "SELECT max(at) AS at FROM changes", "--format", "json").json[0]["at"]
    archive.world.add_asset("000001", "sub-new/sub-new.nwb", size=5)
    synced.run("sync", "--no-progress")
    assert synced.run("query", count, "--format", "json").json[0]["files"] == before[0]["files"] + 1
    assert synced.run("query", count, "--format", "json", "--as-of", moment).json == before


def test_an_export_goes_to_a_file_or_to_standard_output(synced: Shell) -> None:
    out = synced.run("export", "dandisets", "--format", "jsonl").out
    assert {json.loads(line)["dandiset_id"] for line in out.splitlines()} >= {"000001", "000002"}
    done = synced.run("export", NAMES, "--format", "parquet", "--output", "names.parquet")
    assert done.err == "2 rows written to names.parquet.\n"
    assert [path.name for path in synced.folder.glob("names*")] == ["names.parquet"]


@pytest.mark.parametrize(
    ("module", "arguments", "extra"),
    [
        ("sqlglot", ["query", "SELECT 1"], "query"),
        ("pyarrow", ["export", "dandisets", "--format", "parquet"], "parquet"),
        ("mcp", ["mcp"], "mcp"),
    ],
)
def test_without_an_extra_a_line_says_how_to_install_it(
    synced: Shell, module: str, arguments: list[str], extra: str
) -> None:
    absent = synced.folder / "absent"
    absent.mkdir()
    (absent / f"{module}.py").write_text(f"raise ImportError('no {module}')\n", encoding="utf-8")
    path = f"{absent}:{synced.environment()['PYTHONPATH']}"
    code, errors = run_apart(synced, arguments, path)
    assert code == 2
    assert f"pip install 'dandi_pipeline[{extra}]'" in errors


def run_apart(shell: Shell, arguments: list[str], path: str) -> tuple[int, str]:
    """Run a command in an interpreter of its own, in which nothing is imported yet."""
    process = shell.start(*arguments, PYTHONPATH=path)
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors.decode()


def test_where_nothing_was_synced_the_command_says_so(shell: Shell) -> None:
    done = shell.run("query", "SELECT 1")
    assert done.code == 2
    assert "there is no mirror yet; dandi-pipeline sync makes it" in done.err
