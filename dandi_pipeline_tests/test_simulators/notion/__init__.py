"""Tests of the simulated Notion workspace, over its socket."""
