"""Runs a demonstration in `.demo/`, which is made anew each time."""

import argparse
import sys

from dandi_pipeline_tests.demo.archive import show_archive
from dandi_pipeline_tests.demo.platforms import show_platforms
from dandi_pipeline_tests.demo.stage import StepFailed, clear_stage

DEMONSTRATIONS = {"dandi": show_archive, "all": show_platforms}


def main() -> int:
    """Run the demonstration that is asked for; return the exit code of the first step that failed, or 0."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--platforms", choices=DEMONSTRATIONS, default="dandi", help="of which platforms it is")
    parser.add_argument("--ui", action="store_true", help="leave Dagster's UI running on the result")
    options = parser.parse_args()
    clear_stage()
    try:
        DEMONSTRATIONS[options.platforms](ui=options.ui)
    except StepFailed as failed:
        return failed.code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
