"""Shows that each protection has a test that fails without it: `python -m dandi_pipeline_tests.mutants`.

Each mutant is one change of one line, made in a copy of the package in a temporary folder, where the test that is
named beside it must fail. Before any mutant the same tests must pass in an unchanged copy.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GUARDS = "dandi_pipeline_tests/end_to_end/test_guards.py"
OPERATIONS = "dandi_pipeline_tests/end_to_end/test_operations.py"
NEWEST = "dandi_pipeline_tests/end_to_end/test_newest_first.py"
LIMITS = "dandi_pipeline_tests/sync/test_guard.py::test_exactly_the_limit_passes"


@dataclass(frozen=True)
class Mutant:
    """In `file` of the package, `line` becomes `mutated`; then `test` fails."""

    name: str
    file: str
    line: str
    mutated: str
    test: str


MUTANTS = (
    Mutant(
        "the last torn reading also deletes",
        "sync/partition.py",
        "            return self._commit(session, reading, None, torn=torn)",
        "            self._delete(session, reading, known)\n"
        "            return self._commit(session, reading, None, torn=torn)",
        f"{GUARDS}::test_a_reading_that_is_torn_to_the_last_deletes_nothing",
    ),
    Mutant(
        "listed assets missing from their metadata page are tolerated",
        "platforms/dandi/reading.py",
        "        if wanted:\n",
        "        if not wanted and wanted:\n",
        f"{GUARDS}::test_an_asset_that_its_page_with_metadata_lacks_is_not_deleted",
    ),
    Mutant(
        "an empty zarr is taken as unchanged",
        "platforms/dandi/reading.py",
        'columns["zarr"] is None else known[_SIZE] != 0',
        'columns["zarr"] is None else True',
        f"{GUARDS}::test_an_empty_zarr_is_never_taken_for_unchanged",
    ),
    Mutant(
        "the listing may say that there is more",
        "platforms/dandi/api.py",
        "== count and not more:",
        "== count:",
        f"{GUARDS}::test_a_list_whose_last_page_names_another_is_not_believed",
    ),
    Mutant(
        "hidden dandisets count as held",
        "sync/engine.py",
        "for key, tokens in stored.items() if tokens and HIDDEN_TOKEN not in tokens.values()]",
        "for key, tokens in stored.items()]",
        f"{GUARDS}::test_hidden_dandisets_are_looked_up_a_few_at_a_time_and_are_no_losses",
    ),
    Mutant(
        "every hidden dandiset is looked up",
        "sync/planning.py",
        "return None if options.full else HIDDEN_LOOK_UPS",
        "return None",
        f"{GUARDS}::test_hidden_dandisets_are_looked_up_a_few_at_a_time_and_are_no_losses",
    ),
    Mutant(
        "the unreachable are never counted anew",
        "sync/engine.py",
        "isinstance(report.error, PlatformUnreachable) else 0",
        "isinstance(report.error, PlatformUnreachable) else unreachable",
        f"{GUARDS}::test_dandisets_that_cannot_be_reached_here_and_there_stop_nothing",
    ),
    Mutant(
        "a sync that is left goes on",
        "sync/reading.py",
        "if self._tools.stopping.is_set():",
        "if not self._tools.stopping:",
        f"{GUARDS}::test_a_sync_that_is_left_commits_nothing_more",
    ),
    Mutant(
        "a withdrawn call still counts",
        "sync/workers.py",
        "                share.queue.remove(task)\n                self.taken(share, task)\n",
        "                share.queue.remove(task)\n",
        "dandi_pipeline_tests/sync/test_workers.py::test_what_an_error_withdrew_counts_no_more",
    ),
    Mutant("the floor of records", "sync/planning.py", "going > RECORD_FLOOR", "going >= RECORD_FLOOR", LIMITS),
    Mutant(
        "the share of records",
        "sync/planning.py",
        "going > held * RECORD_SHARE",
        "going >= held * RECORD_SHARE",
        LIMITS,
    ),
    Mutant(
        "the floor of partitions", "sync/planning.py", "going > PARTITION_FLOOR", "going >= PARTITION_FLOOR", LIMITS
    ),
    Mutant(
        "the share of partitions",
        "sync/planning.py",
        "going > held * PARTITION_SHARE",
        "going >= held * PARTITION_SHARE",
        LIMITS,
    ),
    Mutant(
        "the longest pause",
        "http/client.py",
        "failure.pause > self._limits.longest_pause",
        "failure.pause >= self._limits.longest_pause",
        "dandi_pipeline_tests/http/test_client.py::TestRetryAfter::test_exactly_the_longest_wait_is_waited",
    ),
    Mutant(
        "the largest partitions first",
        "orchestration/automation.py",
        "for item in reversed(due)]",
        "for item in due]",
        "dandi_pipeline_tests/orchestration/test_sensor.py::test_the_largest_partition_waits_for_the_last_run",
    ),
    Mutant(
        "no licence",
        "platforms/dandi/records.py",
        '"license": _license(metadata),',
        '"license": None,',
        "dandi_pipeline_tests/end_to_end/test_equal.py::test_the_oracle_compares_every_column_with_its_type",
    ),
    Mutant(
        "any 404 means that something is gone",
        "http/client.py",
        "answer.status == 404 and answer.members is not None",
        "answer.status == 404",
        "dandi_pipeline_tests/http/test_client.py::TestRetryAfter"
        "::test_a_404_that_is_no_json_object_says_nothing_of_the_resource",
    ),
    Mutant(
        "a named dandiset is gone by one answer",
        "sync/engine.py",
        "        if few and not any(",
        "        if few or not any(",
        f"{GUARDS}::test_named_dandisets_that_are_gone_pass_the_guard_like_all_others",
    ),
    Mutant(
        "no guard where dandisets go while they are read",
        "sync/reading.py",
        "                tools.guard(listing)\n",
        "",
        f"{GUARDS}::test_dandisets_that_go_while_they_are_read_pass_the_guard_too",
    ),
    Mutant(
        "the token takes the published version as the dandiset's page shows it",
        "platforms/dandi/api.py",
        '"most_recent_published_version": self._newest_published(identifier)}',
        '"most_recent_published_version": row["most_recent_published_version"]}',
        f"{OPERATIONS}::test_a_list_and_a_look_up_agree_after_an_older_version_was_corrected[sqlite]",
    ),
    Mutant(
        "a published version with zarrs is taken as unchanged",
        "platforms/dandi/reading.py",
        "if digested[version] == held[version] == count",
        "if held[version] == count",
        f"{OPERATIONS}::test_the_zarrs_of_published_versions_are_followed[sqlite]",
    ),
    Mutant(
        "newest first: no overlap",
        "platforms/dandi/plan.py",
        "OVERLAP = timedelta(hours=1)",
        "OVERLAP = timedelta(0)",
        f"{NEWEST}::test_a_change_that_is_committed_after_a_reading_is_seen_by_the_next[sqlite-12-1.0]",
    ),
    Mutant(
        "newest first: from the present time on",
        "platforms/dandi/reading.py",
        "instant((before - OVERLAP).isoformat())",
        "instant((now - OVERLAP).isoformat())",
        f"{NEWEST}::test_what_came_long_before_the_draft_moved_last_is_seen",
    ),
    Mutant(
        "newest first: times that went far back",
        "platforms/dandi/reading.py",
        "return None if now < before - OVERLAP else",
        "return",
        f"{NEWEST}::test_a_draft_whose_time_was_in_the_future_is_listed_whole",
    ),
    Mutant(
        "newest first: the count",
        "platforms/dandi/reading.py",
        "surplus = len(paths) - newest.count",
        "surplus = 0",
        f"{NEWEST}::test_what_has_left_is_found_by_the_count",
    ),
    Mutant(
        "newest first: blobs without sha256",
        "platforms/dandi/reading.py",
        "if known[_SHA256] is None and known[_ZARR] is None]",
        "if False]",
        f"{NEWEST}::test_a_sha256_that_comes_is_seen_when_its_draft_moves",
    ),
    Mutant(
        "newest first: zarrs",
        "platforms/dandi/reading.py",
        "if self._is_known_zarr(path) and path not in newest.ids}",
        "if False}",
        f"{NEWEST}::test_a_zarr_that_is_opened_again_is_seen_when_its_draft_moves",
    ),
    Mutant(
        "newest first: assets of one time",
        "platforms/dandi/api.py",
        'BY_PATH, NEWEST_FIRST = "path", "-modified,path"',
        'BY_PATH, NEWEST_FIRST = "path", "-modified"',
        f"{NEWEST}::test_assets_of_one_time_are_all_seen_though_pages_end_among_them",
    ),
    Mutant(
        "newest first: another page is answered",
        "platforms/dandi/api.py",
        "if where and portion.number > 1 and",
        "if where and portion.number > 1000 and",
        f"{NEWEST}::test_a_page_of_the_newest_that_is_another_is_not_believed",
    ),
    Mutant(
        "newest first: a count that is not the row's",
        "platforms/dandi/reading.py",
        "newest.count != self._shelf.asset_count or",
        "False or",
        f"{NEWEST}::test_one_that_left_a_large_draft_is_searched_for",
    ),
    Mutant(
        "sweeps: no dandiset has its turn",
        "platforms/dandi/reading.py",
        "self._full = request.full and (request.round is None or in_turn(self._identifier, request.round))",
        "self._full = request.full and request.round is None",
        f"{NEWEST}::test_what_is_corrected_in_place_is_found_within_so_many_rounds_of_sweeps",
    ),
    Mutant(
        "sweeps: a list is not asked for",
        "platforms/dandi/reading.py",
        "if self._request.max_records or self._request.full or not details:",
        "if self._request.max_records or not details:",
        f"{NEWEST}::test_a_sweep_that_lists_finds_what_has_come_or_left_late_and_what_changed_without_a_trace",
    ),
)


def copied(folder: Path, mutant: Mutant | None = None) -> Path:
    """Copy the package and its tests into a folder, changed by a mutant; its line must be there exactly once."""
    for name in ("dandi_pipeline", "dandi_pipeline_tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    if mutant:
        file = folder / "dandi_pipeline" / mutant.file
        text = file.read_text()
        if text.count(mutant.line) != 1:
            raise SystemExit(f"{mutant.name}: {mutant.file} has {text.count(mutant.line)} times {mutant.line!r}")
        file.write_text(text.replace(mutant.line, mutant.mutated))
    return folder


def passes(folder: Path, tests: Iterable[str], *, expected_to_fail: bool = True) -> bool:
    """Run tests in a copy; raise for anything but passing or failing, such as a test that is not there."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    run = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    if run.returncode not in (0, 1):
        raise SystemExit(run.stdout[-2_000:] + run.stderr[-2_000:])
    if run.returncode and not expected_to_fail:
        print(run.stdout[-2_000:])
    return run.returncode == 0


def main() -> int:
    """Try every mutant, or those whose names hold a word of the command line; return 1 if one survives."""
    chosen = [mutant for mutant in MUTANTS if all(word in mutant.name for word in sys.argv[1:])]
    with tempfile.TemporaryDirectory() as folder:
        if not passes(copied(Path(folder)), dict.fromkeys(mutant.test for mutant in chosen), expected_to_fail=False):
            print("the tests fail without any mutant")
            return 1
    survivors = 0
    for mutant in chosen:
        with tempfile.TemporaryDirectory() as folder:
            survived = passes(copied(Path(folder), mutant), [mutant.test])
        survivors += survived
        print(f"{'SURVIVES' if survived else 'dies'}: {mutant.name} ({mutant.file})", flush=True)
    print(f"{len(chosen)} tried, {survivors} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
