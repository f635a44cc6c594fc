"""Promises of the environment's settings and of the sources file."""
