"""What an operator sees in Dagster's UI: what is mirrored, how fresh it is, what changed and what failed."""

from selenium.webdriver.common.by import By

from dandi_pipeline_tests.browser.chromium import Pages
from dandi_pipeline_tests.browser.scene import DANDISETS, FAILING, Scene


def test_the_catalog_lists_both_assets_of_the_archive_with_their_partitions(pages: Pages, shown: Scene) -> None:
    pages.open("/assets", "dandi / assets", "dandi / dandisets", *2 * [f"{DANDISETS} partitions"])
    assert pages.text.count(f"{DANDISETS} partitions") == 2


def test_a_partition_shows_what_its_last_sync_changed(pages: Pages, shown: Scene) -> None:
    pages.open("/assets/dandi/assets?view=partitions&partition=000001", "Metadata", shown.second[:8])
    table = pages.table()
    counts = {name: int(table[name]) for name in ("checked", "added", "updated", "deleted", "unchanged")}
    assert counts["added"] == 1
    assert counts["updated"] == counts["deleted"] == 0
    assert counts["checked"] == counts["added"] + counts["unchanged"]
    assert table["outcome"] == "synced"


def test_a_failed_partition_shows_as_failed_with_the_reason_and_the_others_as_materialized(
    pages: Pages, shown: Scene
) -> None:
    counts = "Failed (1)", f"Materialized ({DANDISETS - 1})"
    pages.open(f"/assets/dandi/assets?view=partitions&partition={FAILING}", "Metadata", "400 Bad Request", *counts)
    assert f"Run {shown.by_sensor[:8]} failed, and did not materialize this asset." in pages.text
    assert pages.table()["outcome"].splitlines()[0] == "failed"


def test_the_runs_page_lists_syncs_whoever_launched_them(pages: Pages, shown: Scene) -> None:
    pages.open("/runs", shown.by_sensor[:8], shown.second[:8], "dandi_changes", "Manually launched")
    pages.open("/runs", "Failure", "Success")


def test_the_runs_page_says_of_each_sync_what_came_of_it_and_nothing_more(pages: Pages, shown: Scene) -> None:
    pages.open("/runs", "sync/result: 1 failed, 1 updated", "sync/result: 3 updated", f"sync/result: {DANDISETS} added")
    assert pages.text.count("sync/") == 3


def test_a_sync_from_the_command_line_is_a_run_with_its_log(pages: Pages, shown: Scene) -> None:
    pages.open(
        f"/runs/{shown.second}",
        "Success",
        f"INFO\n{DANDISETS} dandisets checked, 3 to sync",
        "INFO\n000001: 1 dandiset updated, 1 version updated, 1 asset added",
        "INFO\n000002: 1 dandiset updated, 1 version updated",
        "INFO\n000003: 1 version added, 1 version updated",
    )


def test_the_sensor_and_both_schedules_are_listed_and_on(pages: Pages, shown: Scene) -> None:
    pages.open("/automation", "dandi_changes", "dandi_full_check", "02:00 AM UTC", "dandi_sweep")
    assert pages.switches(3) == [True, True, True]


def test_the_jobs_page_leads_to_a_launchpad_that_syncs_all_that_is_stale_as_it_stands(
    pages: Pages, shown: Scene
) -> None:
    pages.open("/locations/dandi_pipeline/jobs/sync_dandi", "Any dandisets in one run")
    pages.follow("launchpad", "partitions: []", "No errors", "Launch Run")
    assert not pages.browser.find_elements(By.CSS_SELECTOR, "input[placeholder=Partition]")
