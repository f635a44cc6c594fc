"""Loads an archive's dandisets and their assets into SQLite with dlt's `rest_api` source, as its guide shows it.

Run by the interpreter of an environment that has dlt: `python dlt_load.py API_URL DATABASE_FILE FOLDER`. Prints the
seconds that the load took. A second run with the same arguments loads the same again and merges it.
"""

# mypy: ignore-errors
# dlt is not among the packages that the project or its tests need.

import sys
import time

import dlt
from dlt.sources.rest_api import rest_api_source

PAGE_SIZE = 1000


def archive(api_url: str):
    """Return the source: dandisets, and for each the assets of its draft, fetched side by side."""
    return rest_api_source(
        {
            "client": {"base_url": f"{api_url}/", "paginator": {"type": "json_link", "next_url_path": "next"}},
            "resource_defaults": {"write_disposition": "merge", "parallelized": True},
            "resources": [
                {
                    "name": "dandisets",
                    "primary_key": "identifier",
                    "endpoint": {
                        "path": "dandisets/",
                        "params": {"page_size": PAGE_SIZE, "ordering": "id"},
                        "data_selector": "results",
                    },
                },
                {
                    "name": "assets",
                    "primary_key": ["_dandisets_identifier", "asset_id"],
                    "include_from_parent": ["identifier"],
                    "endpoint": {
                        "path": "dandisets/{resources.dandisets.identifier}/versions/draft/assets/",
                        "params": {"page_size": PAGE_SIZE, "order": "path", "metadata": "true"},
                        "data_selector": "results",
                    },
                },
            ],
        }
    )


def main() -> None:
    """Load once."""
    api_url, file, folder = sys.argv[1:]
    source = archive(api_url)
    source.max_table_nesting = 0  # metadata as one JSON column each, as the mirror has it
    pipeline = dlt.pipeline(
        "archive",
        pipelines_dir=folder,
        destination=dlt.destinations.sqlalchemy(f"sqlite:///{file}"),
        dataset_name="main",
    )
    started = time.monotonic()
    pipeline.run(source)
    print(time.monotonic() - started)


if __name__ == "__main__":
    main()
