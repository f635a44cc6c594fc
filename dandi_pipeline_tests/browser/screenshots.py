"""`python -m dandi_pipeline_tests.browser.screenshots`: takes the README's pictures of Dagster's UI anew."""

import sys
import tempfile
from pathlib import Path

from dandi_pipeline_tests.browser.chromium import open_pages
from dandi_pipeline_tests.browser.scene import DANDISETS, scene

IMAGES = Path(__file__).parents[2] / "docs" / "images"


def main() -> int:
    """Set the scene and save each page; says what it has written."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, scene(Path(folder)) as shown, open_pages(shown.url) as pages:
        log_line = f"{DANDISETS} dandisets checked, 3 to sync"
        pictures = {
            "partition": ("/assets/dandi/assets?view=partitions&partition=000004", "Metadata", "unchanged"),
            "run": (f"/runs/{shown.second}", log_line),
            "automation": ("/automation", "dandi_full_check", "ago"),
        }
        for name, (path, *texts) in pictures.items():
            pages.open(path, *texts)
            if name == "run":
                pages.show(log_line)
            if name == "automation":
                pages.switches(3)
            pages.save(IMAGES / f"{name}.png")
            print(IMAGES / f"{name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
