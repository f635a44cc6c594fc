"""`verify` finds what differs, whatever the timestamps say, and `--repair` mends it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dandi_pipeline_tests.cli.conftest import Shell
from dandi_pipeline_tests.cli.estate import estate
from dandi_pipeline_tests.cli.test_monitoring import run
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
    assert (done.code, done.out) == (0, "dandi: 4 dandisets verified: 4 equal, 0 differ\n")
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
    (asset,) = found.json["records"]["000001"]
    assert (asset["difference"], asset["fields"]) == ("different", ["size"])
    told = synced.run("verify")
    assert told.code == 1
    assert f"000001: 1 asset different\n  asset {asset['key']} different: size\n" in told.out
    assert "000003: 1 version left behind\n  version 0.1.2 left behind\n" in told.out

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
    assert done.json["records"]["000002"][0]["fields"] == ["metadata.keywords"]
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
    assert done.code == 2
    assert done.out == "dandi: not verified: there is no mirror yet; dandi-pipeline sync makes it\n"


def test_every_source_of_every_platform_is_verified_and_the_worst_decides(tmp_path: Path) -> None:
    with estate(tmp_path) as opened, pytest.MonkeyPatch.context() as patch:
        opened.enter(patch)
        assert [run("sync", alias).code for alias in ("dandi", "tasks", "notes", "stock")] == [0] * 4
        assert run("verify").code == 0
        (base,) = opened.airtable.world.bases.values()
        table = next(iter(base.tables.values()))
        gone = next(iter(table.records))
        opened.airtable.world.delete_record(table.id, gone)
        opened.archive.world.dandisets.clear()
        found = run("verify", "--json")
        assert found.code == 1
        differing = {alias: set(each["differing"]) for alias, each in found.json.items()}
        assert differing["dandi"] == {"000001", "000002", "000003"}
        assert differing["tasks"] == differing["notes"] == set()
        # Other tables link to the record that is gone.
        assert f"{base.id}/{table.id}" in differing["stock"]
        left = {"kind": "record", "key": gone, "difference": "left behind", "fields": []}
        assert left in found.json["stock"]["records"][f"{base.id}/{table.id}"]
        # That all of it went at once is told; that the mirror follows is for a person to allow.
        assert run("verify", "dandi", "--repair").code == 2
        assert run("verify", "stock", "--repair").code == 0
        patch.setenv("NOTION_TOKEN", "wrong")
        refused = run("verify", "--app", "skyflow")
        assert refused.code == 2
        assert refused.out.startswith("tasks: not verified: ")
        assert "stock: 3 tables verified: 3 equal, 0 differ" in refused.out
