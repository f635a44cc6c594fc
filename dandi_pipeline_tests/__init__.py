"""Tests of dandi_pipeline: over real sockets, real databases and a real Dagster instance."""
