"""Writes `sources.schema.json`, by which editors complete and check `sources.yaml`."""

import json

from dandi_pipeline.platforms.registry import SETTINGS
from dandi_pipeline.settings import sources_schema
from dandi_pipeline_tests.documentation.markdown import CHECKOUT


def main() -> None:
    """Write it anew."""
    text = json.dumps(sources_schema(SETTINGS), indent=2, ensure_ascii=False)
    (CHECKOUT / "sources.schema.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
