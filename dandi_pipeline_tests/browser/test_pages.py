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
    assert table["last_change"].endswith("UTC: 1 asset added")
    assert int(table["dagster/partition_row_count"]) > 1


def test_a_failed_partition_shows_as_failed_and_the_check_gives_the_reason(pages: Pages, shown: Scene) -> None:
    counts = "Failed (1)", f"Materialized ({DANDISETS - 1})"
    pages.open(f"/assets/dandi/assets?view=partitions&partition={FAILING}", "Metadata", *counts)
    assert f"Run {shown.by_sensor[:8]} failed, and did not materialize this asset." in pages.text
    assert "Observed" not in pages.text
    pages.open("/assets/dandi/dandisets?view=partitions", f"Materialized ({DANDISETS})")
    pages.open("/assets/dandi/assets?view=checks", "synced", "Failed", f"1 of {DANDISETS} dandisets failed")
    pages.open("/assets/dandi/dandisets?view=checks", "synced", "Passed")


def test_an_asset_says_what_it_holds_and_how_it_is_asked_for(pages: Pages, shown: Scene) -> None:
    rows = ("one row an asset of a version", "WHERE source = 'dandi'", "the asset's path")
    pages.open("/assets/dandi/assets?view=overview", *rows, "Source code")
    pages.open("/assets/mirror/draft_files?view=overview", "mirror / asset_files", "FROM draft_files")


def test_a_run_shows_what_it_changed_in_all(pages: Pages, shown: Scene) -> None:
    pages.open("/assets/dandi/assets?view=events", "what changed", "1 asset added", "rows_held", "bytes_received")
    assert int(pages.table()["rows_held"]) > DANDISETS
    assert f"{FAILING} " in pages.text


def test_the_platform_stands_upstream_and_tables_downstream(pages: Pages, shown: Scene) -> None:
    pages.open("/assets/dandi/assets?view=lineage", "dandi", "assets", "mirror", "Table")
    pages.open("/assets/platform/dandi?view=overview", "External Asset", "dandi / dandisets", "dandi / assets")


def test_the_timeline_and_the_job_show_runs_from_the_command_line(pages: Pages, shown: Scene) -> None:
    pages.open("/overview/activity/timeline", "sync_dandi")
    pages.open("/locations/dandi_pipeline/jobs/sync_dandi/runs", shown.first[:8], shown.second[:8])


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


def test_the_sensor_and_both_schedules_are_on_and_pruning_is_off(pages: Pages, shown: Scene) -> None:
    pages.open("/automation", "dandi_changes", "dandi_full_check", "02:00 AM UTC", "dandi_sweep", "prune_history")
    assert pages.switches(4) == [True, True, True, False]


def test_the_jobs_page_leads_to_a_launchpad_that_syncs_all_that_is_stale_as_it_stands(
    pages: Pages, shown: Scene
) -> None:
    pages.open("/locations/dandi_pipeline/jobs/sync_dandi", "Any dandisets in one run")
    pages.follow("launchpad", "partitions: []", "No errors", "Launch Run")
    assert not pages.browser.find_elements(By.CSS_SELECTOR, "input[placeholder=Partition]")
