"""One folder a platform; none of them knows Dagster or SQL."""
