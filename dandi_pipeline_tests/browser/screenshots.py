"""`python -m dandi_pipeline_tests.browser.screenshots`: takes the pictures of Dagster's UI and of our pages anew."""

import sys
import tempfile
from pathlib import Path

from dandi_pipeline_tests.browser.chromium import open_pages
from dandi_pipeline_tests.browser.explored import explored
from dandi_pipeline_tests.browser.scene import DANDISETS, scene

PAGES = {
    "explore": ("/", "Access"),
    "explore-dandiset": ("/dandisets/000001", "Growth"),
    "explore-sql": ("/sql?q=SELECT+dandiset_id,+name,+size+FROM+dandisets+ORDER+BY+size+DESC+LIMIT+5", "Answer"),
}

IMAGES = Path(__file__).parents[2] / "docs" / "images"


def main() -> int:
    """Set the scene and save each page; says what it has written."""
    IMAGES.mkdir(exist_ok=True)
    take_pages()
    with tempfile.TemporaryDirectory() as folder, scene(Path(folder)) as shown, open_pages(shown.url) as pages:
        log_line = f"{DANDISETS} dandisets checked, 3 to sync"
        pictures = {
            "asset": ("/assets/dandi/assets?view=overview", "one row an asset", "Columns"),
            "changes": ("/assets/dandi/assets?view=events", "what changed", "rows_held"),
            "partition": ("/assets/dandi/assets?view=partitions&partition=000004", "Metadata", "last_change"),
            "run": (f"/runs/{shown.second}", log_line),
            "automation": ("/automation", "dandi_full_check", "ago"),
        }
        for name, (path, *texts) in pictures.items():
            pages.open(path, *texts)
            if name == "run":
                pages.show(log_line)
            if name == "automation":
                pages.switches(4)
            pages.save(IMAGES / f"{name}.png")
            print(IMAGES / f"{name}.png")
    return 0


def take_pages() -> None:
    """Save the pages of `dandi-pipeline explore`."""
    with tempfile.TemporaryDirectory() as folder, explored(Path(folder)) as address, open_pages(address) as pages:
        for name, (path, *texts) in PAGES.items():
            pages.open(path, *texts)
            pages.save(IMAGES / f"{name}.png")
            print(IMAGES / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
