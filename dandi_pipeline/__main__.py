"""Lets `python -m dandi_pipeline` be the same as `dandi-pipeline`."""

from dandi_pipeline.cli.main import run

if __name__ == "__main__":
    run()
