"""The only code that imports Dagster: what it shows, launches, records and remembers of a sync.

Reading belongs in `platforms`, comparing in `sync`, writing in `mirror`; here these become assets, runs and events.
"""
