"""`verify` finds what differs, whatever the timestamps say, and `--repair` mends it."""

import sqlite3
from contextlib import closing

import pytest

from dandi_pipeline_tests.cli.conftest import Shell
from dandi_pipeline_tests.simulators.dandi import SimulatedArchive


@pytest.fixture
def synced(shell: Shell) -> Shell:
    assert shell.run("sync").code == 0
    return shell


def tamper(shell: Shell, *statements: str) -> None:
    with closing(sqlite3.connect(shell.folder / ".dagster_home" / "mirror.sqlite")) as database, database:
        for statement in statements:
            database.execute(statement)


def test_an_equal_mirror_is_said_to_be_equal_and_nothing_is_written(synced: Shell) -> None:
    before = synced.run("history", "--json").json
    done = synced.run("verify")
    assert (done.code, done.out) == (0, "4 dandisets verified: 4 equal, 0 differ\n")
    assert synced.run("history", "--json").json == before


def test_every_difference_is_reported_by_kind_and_repaired(synced: Shell) -> None:
    tamper(
        synced,
        "UPDATE assets SET content_hash = '', size = 0"
        " WHERE rowid = (SELECT min(rowid) FROM assets WHERE dandiset_id = '000001')",
        "DELETE FROM assets WHERE rowid = (SELECT max(rowid) FROM assets WHERE dandiset_id = '000002')",
        "INSERT INTO versions SELECT source, dandiset_id, '0.1.2', status, name, created, modified, asset_count,"
        " size, license, doi, metadata, content_hash FROM versions WHERE dandiset_id = '000003' AND version = 'draft'",
    )
    found = synced.run("verify", "--json")
    assert found.code == 1
    assert found.json["differing"] == {
        "000001": {"asset": {"different": 1}},
        "000002": {"asset": {"missing from the mirror": 1}},
        "000003": {"version": {"left behind": 1}},
    }
    assert synced.run("verify").code == 1

    repaired = synced.run("verify", "--repair")
    assert repaired.code == 0
    assert "3 differ; 3 repaired by run" in repaired.out
    assert synced.run("verify").code == 0


def test_a_change_that_moves_no_timestamp_is_found(synced: Shell, archive: SimulatedArchive) -> None:
    asset = next(iter(archive.world.dandisets["000002"].draft.assets.values()))
    archive.world.rewrite_asset(asset.asset_id, metadata={**asset.metadata, "keywords": ["changed in silence"]})
    assert synced.run("sync", "--json").json["assets"]["updated"] == 0
    done = synced.run("verify", "--dandiset-id", "2", "--json")
    assert (done.code, done.json["differing"]) == (1, {"000002": {"asset": {"different": 1}}})
    advised = synced.run("verify", "--dandiset-id", "2").out
    assert "run with --repair to bring them up to date (no plain sync sees what moved no timestamp)" in advised
    assert "or sync" not in advised


def test_a_partition_that_cannot_be_read_is_an_error_not_an_equality(synced: Shell, archive: SimulatedArchive) -> None:
    archive.faults.add("without_field", name="path", kind="assets_full", path="000002")
    done = synced.run("verify", "--json")
    assert done.code == 1
    assert [(error["partition"], error["group"]) for error in done.json["errors"]] == [("000002", "contract")]


def test_without_a_mirror_there_is_nothing_to_verify(shell: Shell) -> None:
    done = shell.run("verify")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-1].startswith("Error: there is no mirror yet")
