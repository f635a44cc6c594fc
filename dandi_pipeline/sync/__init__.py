"""Planning, reading, comparing and reporting, for any platform; no Dagster, no SQL."""
