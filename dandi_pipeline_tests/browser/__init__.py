"""Dagster's pages in a real browser."""
